import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { vendorSuite } from '../../contract/vendor-suite.ts';
import { gatewayConfig } from '../../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../../fixtures/openai-client.ts';
import { png } from '../../fixtures/pictures.ts';
import { azureBlocked, azureOpenAiSuite, startFakeAzureOpenAi } from '../../fixtures/vendors/fake-azure-openai.ts';
import { upstreamKey, type FakeVendor } from '../../fixtures/vendors/fake-vendor.ts';

vendorSuite(azureOpenAiSuite);

describe('azure-openai’s other ways', () => {
  let fake: FakeVendor;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await startFakeAzureOpenAi();
    const entity = (id: string, connection: object): { id: string; provider: string; config: object } => ({
      id,
      provider: 'azure-openai',
      config: {
        connection: { base_url: fake.origin, token: upstreamKey, ...connection },
        options: { edition: { enabled: true } },
      },
    });
    const entities = [
      entity('fixed', { deployment_id: 'my pictures' }),
      entity('v1', { api_version: 'v1', auth: 'bearer', token: 'entra-8f2c41d7' }),
      entity('preview', { api_version: 'preview', deployment_id: 'my pictures' }),
      entity('old', { api_version: '2024-02-01' }),
    ];
    gateway = await startGateway({ config: gatewayConfig(entities) });
  });
  afterAll(async () => {
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  it.each([
    ['fixed', '/openai/deployments/my%20pictures/images/generations', '2025-04-01-preview'],
    ['v1', '/openai/v1/images/generations', null],
    ['preview', '/openai/v1/images/generations', 'preview'],
  ])('makes pictures by the entity %s', async (entity, path, version) => {
    const response = await openAiClient(gateway).images.generate({
      model: `${entity}/gpt-image-2`,
      prompt: 'a lighthouse',
      n: 2,
    });
    expect(picturesOf(response)).toHaveLength(2);
    expect(response.usage).toMatchObject({ total_tokens: 1106 });
    const request = fake.last();
    expect([request.path, request.query.get('api-version')]).toEqual([path, version]);
  });

  it('edits on the newer path', async () => {
    const image = await toFile(png(), 'input.png', { type: 'image/png' });
    const response = await openAiClient(gateway).images.edit({ model: 'v1/gpt-image-2', prompt: 'a boat', image });
    expect(picturesOf(response)).toHaveLength(1);
    expect(fake.last()).toMatchObject({ path: '/openai/v1/images/edits', members: { model: 'gpt-image-2' } });
  });

  it('tells a deployment that does not exist as a model, and so a version that knows no edits', async () => {
    const missing = openAiClient(gateway).images.generate({ model: 'v1/picture-1', prompt: 'a lighthouse' });
    expect(await apiError(missing)).toMatchObject({ status: 404, code: 'model_not_found' });
    const image = await toFile(png(), 'input.png', { type: 'image/png' });
    const edit = openAiClient(gateway).images.edit({ model: 'old/gpt-image-2', prompt: 'a boat', image });
    expect(await apiError(edit)).toMatchObject({ status: 404 });
  });

  it('tells a blocked resource as a failure of the provider, not as a refusal of the prompt', async () => {
    fake.next(azureBlocked);
    const blocked = openAiClient(gateway).images.generate({ model: 'v1/gpt-image-2', prompt: 'a lighthouse' });
    expect(await apiError(blocked)).toMatchObject({ status: 502, code: 'upstream_error' });
  });
});
