import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { maskPng, png, pngHeader } from '../../fixtures/pictures.ts';
import { automatic1111Suite } from '../../fixtures/vendors/fake-automatic1111.ts';
import type { FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';
import { inlined, maskEnds } from '../../fixtures/vendors/grey-mask.ts';

vendorSuite(automatic1111Suite);

describe('automatic1111, called through the gateway,', () => {
  let fake: FakeVendor;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await automatic1111Suite.start();
    const config = { connection: automatic1111Suite.connection(fake), options: { edition: { enabled: true } } };
    gateway = await startGateway({ config: gatewayConfig([{ id: 'webui', provider: 'automatic1111', config }]) });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  it('makes several pictures in one batch, and leaves out the sheet of all of them', async () => {
    const before = fake.requests.length;
    const response = await openAiClient(gateway).images.generate({ model: 'webui/default', prompt: 'a cat', n: 4 });
    const pictures = picturesOf(response);
    expect(pictures.map((picture) => pngHeader(picture).width)).toEqual([8, 8, 8, 8]);
    expect(fake.requests).toHaveLength(before + 1);
    expect(fake.last().members).toEqual({ prompt: 'a cat', batch_size: 4 });
  });

  it('paints anew what is white in the mask', async () => {
    const file = { type: 'image/png' };
    const response = await openAiClient(gateway).images.edit({
      model: 'webui/default',
      prompt: 'add a boat',
      image: await toFile(png(), 'input.png', file),
      mask: await toFile(maskPng(), 'mask.png', file),
    });
    expect(picturesOf(response)).toHaveLength(1);
    expect(await maskEnds(inlined(fake.last(/img2img$/).members['mask']), png())).toEqual([255, 0]);
  });

  it('knows a checkpoint that is not there for a model that is not', async () => {
    const call = openAiClient(gateway).images.generate({ model: 'webui/dreams.safetensors', prompt: 'a cat' });
    expect(await apiError(call)).toMatchObject({ status: 404, code: 'model_not_found' });
  });
});
