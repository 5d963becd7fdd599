import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { maskPng, png } from '../../fixtures/pictures.ts';
import { ideogramSuite, ideogramV4Suite, startFakeIdeogram } from '../../fixtures/vendors/fake-ideogram.ts';
import type { FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';
import { maskEnds } from '../../fixtures/vendors/grey-mask.ts';

vendorSuite(ideogramSuite);
vendorSuite(ideogramV4Suite);

describe('ideogram’s other ways', () => {
  let fake: FakeVendor;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await startFakeIdeogram();
    const connection = ideogramSuite.connection(fake);
    const options = { edition: { enabled: true } };
    gateway = await startGateway({
      config: gatewayConfig([{ id: 'vendor', provider: 'ideogram', config: { connection, options } }]),
    });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  it('paints anew what the mask leaves open', async () => {
    const response = await openAiClient(gateway).images.edit({
      model: 'vendor/ideogram-v3',
      prompt: 'add a boat',
      image: await toFile(png(), 'input.png', { type: 'image/png' }),
      mask: await toFile(maskPng(), 'mask.png', { type: 'image/png' }),
      size: '1024x1024',
      response_format: 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(1);
    const { path, files } = fake.last(ideogramSuite.pictures);
    expect(path).toBe('/v1/ideogram-v3/edit');
    expect(await maskEnds(files.at(1)?.data ?? Buffer.alloc(0), png())).toEqual([0, 255]);
  });

  it('gives the pictures that are safe', async () => {
    const response = await openAiClient(gateway).images.generate({
      model: 'vendor/ideogram-v3',
      prompt: 'a risky lighthouse',
      n: 3,
      response_format: 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(2);
    expect(response.data?.[0]?.revised_prompt).toBe('a risky lighthouse, at dusk');
  });

  it('tells a prompt that fails the checks as a refusal', async () => {
    const generating = openAiClient(gateway).images.generate({
      model: 'vendor/ideogram-v3',
      prompt: 'something utterly wrong',
    });
    expect(await apiError(generating)).toMatchObject({ status: 400, code: 'content_policy_violation' });
  });

  it('asks for a model that it does not know by its name in the path', async () => {
    const response = await openAiClient(gateway).images.generate({
      model: 'vendor/ideogram-4-5',
      prompt: 'a lighthouse',
      n: 2,
      size: '1024x1024',
      response_format: 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(2);
  });
});
