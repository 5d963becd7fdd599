import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { formatOf, maskPng, png, sha256 } from '../../fixtures/pictures.ts';
import { blackForestLabsSuite } from '../../fixtures/vendors/fake-black-forest-labs.ts';
import type { FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';
import { maskEnds } from '../../fixtures/vendors/grey-mask.ts';
import { quickPolls } from '../../fixtures/vendors/quick-polls.ts';

vendorSuite(blackForestLabsSuite);

describe('FLUX', () => {
  let fake: FakeVendor;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await blackForestLabsSuite.start();
    const config = { connection: blackForestLabsSuite.connection(fake), options: { edition: { enabled: true } } };
    gateway = await startGateway({
      // Under the shorter of its two names.
      config: gatewayConfig([{ id: 'one', provider: 'bfl', config }], { pipelines: { images: quickPolls } }),
    });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  it('is asked after where its answer says, and the picture fetched without the key', async () => {
    const before = fake.requests.length;
    const response = await openAiClient(gateway).images.generate({
      model: 'one/flux-2-pro',
      prompt: 'a lighthouse',
      response_format: 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(1);
    expect(fake.requests.slice(before).map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /v1/flux-2-pro',
      'GET /cluster-eu1/v1/get_result',
      'GET /cluster-eu1/v1/get_result',
      'GET /cluster-eu1/v1/get_result',
      expect.stringMatching(/^GET \/delivery\//),
    ]);
  });

  it('takes several pictures at once', async () => {
    const inputs = [png({ colour: [1, 2, 3, 255] }), png({ colour: [4, 5, 6, 255] })];
    const response = await openAiClient(gateway).images.edit({
      model: 'one/flux-2-max',
      prompt: 'put them together',
      image: await Promise.all(inputs.map((bytes) => toFile(bytes, 'input.png', { type: 'image/png' }))),
      response_format: 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(1);
    const received = blackForestLabsSuite.inputsOf?.(fake.last(blackForestLabsSuite.pictures)) ?? [];
    expect(received.map(sha256)).toEqual(inputs.map(sha256));
  });

  it('fills what the mask leaves open', async () => {
    const response = await openAiClient(gateway).images.edit({
      model: 'one/flux-pro-1.0-fill',
      prompt: 'add a boat',
      image: await toFile(png(), 'input.png', { type: 'image/png' }),
      mask: await toFile(maskPng(), 'mask.png', { type: 'image/png' }),
      response_format: 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(1);
    const mask = Buffer.from(String(fake.last(/fill$/).members['mask']), 'base64');
    expect(await maskEnds(mask, png())).toEqual([255, 0]);
  });

  it.each(['flux-pro-1.1', 'flux-pro-1.1-ultra', 'flux-dev', 'flux-kontext-pro', 'flux-3-image'])(
    'takes what common clients send in the terms of %s',
    async (model) => {
      const response = await openAiClient(gateway).images.generate({
        model: `one/${model}`,
        prompt: 'a lighthouse',
        size: '1792x1024',
        quality: 'hd',
        style: 'vivid',
        moderation: 'low',
        response_format: 'b64_json',
      });
      expect(picturesOf(response)).toHaveLength(1);
    },
  );

  it('gives the file format that the vendor does not write', async () => {
    const response = await openAiClient(gateway).images.generate({
      model: 'one/flux-2-pro',
      prompt: 'a lighthouse',
      output_format: 'webp',
      response_format: 'b64_json',
    });
    expect(picturesOf(response).map(formatOf)).toEqual(['webp']);
  });

  it('tells the reasons of a refusal', async () => {
    const generating = openAiClient(gateway).images.generate({ model: 'one/flux-2-pro', prompt: 'forbidden' });
    const error = await apiError(generating);
    expect(error).toMatchObject({ status: 400, code: 'content_policy_violation' });
    expect(error.message).toContain('Derivative Works Filter');
  });

  it('tells a job that failed as the vendor’s failure, not worth another try', async () => {
    const generating = openAiClient(gateway).images.generate({ model: 'one/flux-2-pro', prompt: 'a failing one' });
    const error = await apiError(generating);
    expect(error).toMatchObject({ status: 502, code: 'upstream_error' });
    expect(error.headers?.get('x-should-retry')).toBe('false');
  });
});
