import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { formatOf, maskPng, png } from '../../fixtures/pictures.ts';
import { replicateSuite, startFakeReplicate } from '../../fixtures/vendors/fake-replicate.ts';
import type { FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';
import { inlined, maskEnds } from '../../fixtures/vendors/grey-mask.ts';

vendorSuite(replicateSuite);

describe('replicate’s predictions', () => {
  let fake: FakeVendor;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await startFakeReplicate();
    const connection = replicateSuite.connection(fake);
    const entity = {
      id: 'vendor',
      provider: 'replicate',
      config: { connection, options: { edition: { enabled: true } } },
    };
    gateway = await startGateway({ config: gatewayConfig([entity]) });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  it('paints anew what the mask leaves open', async () => {
    const response = await openAiClient(gateway).images.edit({
      model: 'vendor/acme/inpaint',
      prompt: 'add a boat',
      image: await toFile(png(), 'input.png', { type: 'image/png' }),
      mask: await toFile(maskPng(), 'mask.png', { type: 'image/png' }),
      output_format: 'jpeg',
      response_format: 'b64_json',
    });
    expect(picturesOf(response).map(formatOf)).toEqual(['jpeg']);
    const { input } = fake.last(/\/predictions$/).members;
    const { mask } = { mask: undefined, ...(input as object) };
    expect(await maskEnds(inlined(mask), png())).toEqual([255, 0]);
  });

  it('runs a version of a model', async () => {
    const response = await openAiClient(gateway).images.generate({
      model: 'vendor/black-forest-labs/flux-schnell:5599ed30703defd1d160a25a63321b4dec97101d98b4674bcc56e41f62f35637',
      prompt: 'a lighthouse',
      n: 2,
      output_format: 'png',
      response_format: 'b64_json',
    });
    expect(picturesOf(response).map(formatOf)).toEqual(['png', 'png']);
    expect(fake.last(/\/predictions$/).path).toBe('/v1/predictions');
  });

  it('cancels a prediction that nobody waits for any more', async () => {
    const looks = /\/v1\/predictions\/\w+$/;
    const before = fake.to(looks).length;
    const leaving = new AbortController();
    const generating = openAiClient(gateway).images.generate(
      { model: 'vendor/black-forest-labs/flux-schnell', prompt: 'an endless sea' },
      { signal: leaving.signal },
    );
    await fake.until(() => fake.to(looks).at(before)?.fate === 'answered');
    leaving.abort();
    await expect(generating).rejects.toThrow();
    await fake.until(() => fake.to(/\/cancel$/).length > 0);
    expect(fake.last(/\/cancel$/)).toMatchObject({ method: 'POST', members: {} });
  });
});
