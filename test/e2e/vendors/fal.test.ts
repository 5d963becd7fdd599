import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { maskPng, png, sha256 } from '../../fixtures/pictures.ts';
import { falSuite, falSyncSuite, startFakeFal } from '../../fixtures/vendors/fake-fal.ts';
import type { FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';
import { inlined, maskEnds } from '../../fixtures/vendors/grey-mask.ts';

vendorSuite(falSuite);
vendorSuite(falSyncSuite);

describe('fal’s queue', () => {
  let fake: FakeVendor;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await startFakeFal('queue');
    const entity = (id: string, more: object): { id: string; provider: string; config: object } => ({
      id,
      provider: 'fal',
      config: { connection: { ...falSuite.connection(fake), ...more }, options: { edition: { enabled: true } } },
    });
    gateway = await startGateway({
      config: gatewayConfig([entity('one', {}), entity('several', { image_key: 'image_urls' })]),
    });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  it('paints anew what the mask leaves open', async () => {
    const response = await openAiClient(gateway).images.edit({
      model: 'one/fal-ai/flux-pro/v1/fill',
      prompt: 'add a boat',
      image: await toFile(png(), 'input.png', { type: 'image/png' }),
      mask: await toFile(maskPng(), 'mask.png', { type: 'image/png' }),
      response_format: 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(1);
    expect(await maskEnds(inlined(fake.last(falSuite.pictures).members['mask_url']), png())).toEqual([255, 0]);
  });

  it('edits several pictures', async () => {
    const inputs = [png({ colour: [1, 2, 3, 255] }), png({ colour: [4, 5, 6, 255] })];
    const response = await openAiClient(gateway).images.edit({
      model: 'several/fal-ai/nano-banana/edit',
      prompt: 'add a boat',
      image: await Promise.all(inputs.map((bytes) => toFile(bytes, 'input.png', { type: 'image/png' }))),
      response_format: 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(1);
    const received = falSuite.inputsOf?.(fake.last(falSuite.pictures)) ?? [];
    expect(received.map(sha256)).toEqual(inputs.map(sha256));
  });

  it('gives the pictures that were not blacked out', async () => {
    const response = await openAiClient(gateway).images.generate({
      model: 'one/fal-ai/flux/schnell',
      prompt: 'a risky lighthouse',
      n: 3,
      response_format: 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(2);
  });

  it('tells pictures that were all blacked out as a refusal', async () => {
    const generating = openAiClient(gateway).images.generate({
      model: 'one/fal-ai/flux/schnell',
      prompt: 'a risky lighthouse',
    });
    expect(await apiError(generating)).toMatchObject({ status: 400, code: 'content_policy_violation' });
  });

  it('cancels a job that nobody waits for any more', async () => {
    const before = fake.to(/\/status$/).length;
    const leaving = new AbortController();
    const generating = openAiClient(gateway).images.generate(
      { model: 'one/fal-ai/flux/schnell', prompt: 'an endless sea' },
      { signal: leaving.signal },
    );
    await fake.until(() => fake.to(/\/status$/).at(before)?.fate === 'answered');
    leaving.abort();
    await expect(generating).rejects.toThrow();
    await fake.until(() => fake.to(/\/cancel$/).length > 0);
    expect(fake.last(/\/cancel$/)).toMatchObject({ method: 'PUT', members: {} });
  });
});
