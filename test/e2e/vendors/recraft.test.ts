import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { dataUri, maskPng, png } from '../../fixtures/pictures.ts';
import { postJson } from '../../fixtures/setting.ts';
import { recraftSuite, startFakeRecraft } from '../../fixtures/vendors/fake-recraft.ts';
import type { FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';
import { inlined, maskEnds } from '../../fixtures/vendors/grey-mask.ts';

vendorSuite(recraftSuite);

describe('recraft’s other ways', () => {
  let fake: FakeVendor;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await startFakeRecraft();
    const connection = recraftSuite.connection(fake);
    const options = { edition: { enabled: true } };
    gateway = await startGateway({
      config: gatewayConfig([{ id: 'vendor', provider: 'recraft', config: { connection, options } }]),
    });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  it('paints anew what the mask leaves open', async () => {
    const response = await openAiClient(gateway).images.edit({
      model: 'vendor/recraftv3',
      prompt: 'add a boat',
      image: await toFile(png(), 'input.png', { type: 'image/png' }),
      mask: await toFile(maskPng(), 'mask.png', { type: 'image/png' }),
      n: 2,
      response_format: 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(2);
    const { path, members } = fake.last(recraftSuite.pictures);
    expect(path).toBe('/v1/images/inpaint');
    expect(await maskEnds(inlined(members['mask_url']), png())).toEqual([255, 0]);
  });

  it('removes a background without a word', async () => {
    const body = { model: 'vendor/remove-background', image: dataUri(png()), response_format: 'b64_json' };
    const answer = await postJson(`${gateway.url}/v1/images/edits`, body);
    expect(answer.status).toBe(200);
    expect(await answer.json()).toMatchObject({ data: [{ b64_json: png().toString('base64') }] });
    expect(fake.last(recraftSuite.pictures).path).toBe('/v1/images/removeBackground');
  });

  it('makes no pictures from words with a tool', async () => {
    const generating = openAiClient(gateway).images.generate({ model: 'vendor/vectorize', prompt: 'a lighthouse' });
    expect(await apiError(generating)).toMatchObject({ status: 501, code: 'operation_not_supported' });
  });
});
