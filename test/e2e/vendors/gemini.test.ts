import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { geminiSuite, startFakeGemini } from '../../fixtures/vendors/fake-gemini.ts';
import { upstreamKey, type FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';

vendorSuite(geminiSuite);

describe('gemini’s other ways', () => {
  let fake: FakeVendor;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await startFakeGemini();
    const entity = (id: string, connection: object): { id: string; provider: string; config: object } => ({
      id,
      provider: 'gemini',
      config: {
        connection: { base_url: fake.origin, token: upstreamKey, ...connection },
        options: { edition: { enabled: true } },
      },
    });
    gateway = await startGateway({
      config: gatewayConfig([entity('native', {}), entity('like-openai', { api: 'openai' })]),
    });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  it('asks Imagen for several pictures at once', async () => {
    const before = fake.requests.length;
    const response = await openAiClient(gateway).images.generate({
      model: 'native/imagen-4.0-generate-001',
      prompt: 'a lighthouse',
      n: 3,
      size: '1536x1024',
      moderation: 'low',
      response_format: 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(3);
    expect(fake.requests.length - before).toBe(1);
  });

  it('tells a prompt that Imagen does not take as a refusal', async () => {
    const generating = openAiClient(gateway).images.generate({
      model: 'native/imagen-4.0-generate-001',
      prompt: 'something forbidden',
    });
    expect(await apiError(generating)).toMatchObject({ status: 400, code: 'content_policy_violation' });
  });

  it('tells the size that was made, and the tokens', async () => {
    const response = await openAiClient(gateway).images.generate({
      model: 'native/gemini-3-pro-image',
      prompt: 'a lighthouse',
      size: '1536x1024',
    });
    expect(response.size).toBe('1264x848');
    expect(response.usage).toMatchObject({ input_tokens: 12, output_tokens: 1120, total_tokens: 1132 });
    expect(picturesOf(response)).toHaveLength(1);
  });

  it('speaks the route that looks like OpenAI’s', async () => {
    const response = await openAiClient(gateway).images.generate({
      model: 'like-openai/imagen-4.0-generate-001',
      prompt: 'a lighthouse',
      n: 2,
      size: '1024x1024',
      style: 'vivid',
    });
    expect(picturesOf(response)).toHaveLength(2);
    expect(fake.last().path).toBe('/v1beta/openai/images/generations');
  });

  it('tells that current models do not answer there', async () => {
    const generating = openAiClient(gateway).images.generate({
      model: 'like-openai/gemini-3.1-flash-image',
      prompt: 'a lighthouse',
    });
    expect(await apiError(generating)).toMatchObject({ status: 404, code: 'model_not_found' });
  });
});
