import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { formatOf, maskPng, png } from '../../fixtures/pictures.ts';
import { stabilitySuite } from '../../fixtures/vendors/fake-stability.ts';
import type { FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';
import { maskEnds } from '../../fixtures/vendors/grey-mask.ts';
import { quickPolls } from '../../fixtures/vendors/quick-polls.ts';

vendorSuite(stabilitySuite);

describe('stability’s other models', () => {
  let fake: FakeVendor;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await stabilitySuite.start();
    const config = { connection: stabilitySuite.connection(fake), options: { edition: { enabled: true } } };
    gateway = await startGateway({
      config: gatewayConfig([{ id: 'one', provider: 'stability', config }], { pipelines: { images: quickPolls } }),
    });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  const edit = async (model: string, more: { mask?: File; prompt?: string } = {}) =>
    openAiClient(gateway).images.edit({
      model: `one/${model}`,
      prompt: 'add a boat',
      image: await toFile(png(), 'input.png', { type: 'image/png' }),
      response_format: 'b64_json',
      ...more,
    });

  it('paint anew what the mask leaves open', async () => {
    const mask = await toFile(maskPng(), 'mask.png', { type: 'image/png' });
    expect(picturesOf(await edit('inpaint', { mask }))).toHaveLength(1);
    const sent = fake.last(/inpaint$/).files.find(({ name }) => name === 'mask')?.data;
    expect(await maskEnds(sent ?? Buffer.alloc(0), png())).toEqual([255, 0]);
  });

  it('follow the upscaling to its end', async () => {
    expect(picturesOf(await edit('upscale/creative'))).toHaveLength(1);
    expect(fake.to(/^\/v2beta\/results\//)).toHaveLength(3);
  });

  it('remove a background without words', async () => {
    expect(picturesOf(await edit('remove-background')).map(formatOf)).toEqual(['png']);
    expect(fake.last(/remove-background$/).members).toEqual({});
  });

  it('tell a refusal of the prompt in their own words', async () => {
    const error = await apiError(edit('inpaint', { prompt: 'something forbidden' }));
    expect(error).toMatchObject({ status: 400, code: 'content_policy_violation' });
    expect(error.message).toContain('flagged by our content moderation system');
  });
});
