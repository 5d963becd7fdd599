import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/body/byte-source.ts';
import type { TargetCall } from '../../../src/pipeline/call.ts';
import { ConfigError } from '../../../src/pipeline/stage.ts';
import { azureOpenAi } from '../../../src/providers/azure-openai.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { Secret } from '../../../src/secret.ts';
import { azureOpenAiBase, azureOpenAiConfig, azureOpenAiFixtures } from '../../fixtures/providers/azure-openai.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { providerContract } from '../provider-contract.ts';

providerContract({
  definition: azureOpenAi,
  settings: providerConfig(azureOpenAi, azureOpenAiConfig),
  fixtures: azureOpenAiFixtures,
  base: azureOpenAiBase,
});

const create = (connection: object): Provider => azureOpenAi.create(providerConfig(azureOpenAi, { connection }));

/** Where a call goes, and the model that is named in it. */
function sent(connection: object, given: Partial<TargetCall> = {}): readonly [string, unknown] {
  const { url, body } = create(connection).encode(makeTargetCall(given)).request;
  return [url, body.kind === 'json' ? Object.entries(body.value ?? {}).find(([name]) => name === 'model')?.[1] : body];
}

describe('azure-openai', () => {
  const resource = { resource_name: 'pinhole' };
  const home = 'https://pinhole.openai.azure.com/openai';
  it.each([
    [{}, `${home}/deployments/gpt-image-2/images/generations?api-version=2025-04-01-preview`, undefined],
    [
      { deployment_id: 'pictures' },
      `${home}/deployments/pictures/images/generations?api-version=2025-04-01-preview`,
      undefined,
    ],
    [
      { api_version: '2024-02-01' },
      `${home}/deployments/gpt-image-2/images/generations?api-version=2024-02-01`,
      undefined,
    ],
    [{ api_version: 'v1' }, `${home}/v1/images/generations`, 'gpt-image-2'],
    [{ api_version: 'v1', deployment_id: 'pictures' }, `${home}/v1/images/generations`, 'pictures'],
    [{ api_version: 'preview' }, `${home}/v1/images/generations?api-version=preview`, 'gpt-image-2'],
  ])('with %j asks at %s', (connection, url, model) => {
    expect(sent({ ...resource, ...connection })).toEqual([url, model]);
  });

  it.each([
    ['https://pinhole.services.ai.azure.com/', 'https://pinhole.services.ai.azure.com/openai/v1/images/generations'],
    ['https://front.example.com/azure//', 'https://front.example.com/azure/openai/v1/images/generations'],
  ])('works at the endpoint %s', (base_url, url) => {
    const connection = { base_url, resource_name: 'ignored', api_version: 'v1' };
    expect(sent(connection)[0]).toBe(url);
    expect(create(connection).origin).toBe(new URL(url).origin);
  });

  it.each(['.', '..'])('does not let the name %s lead elsewhere', (model) => {
    expect(() => sent(resource, { model })).toThrow('no model');
    expect(sent({ ...resource, api_version: 'v1' }, { model })).toEqual([`${home}/v1/images/generations`, model]);
  });

  it('needs to be told where the resource is', () => {
    expect(() => create({})).toThrow(ConfigError);
    expect(() => create({})).toThrow('resource_name');
  });

  it.each([
    [{ api_version: 'latest' }, 'v1, preview, or a date'],
    [{ resource_name: 'a.example.com/' }, 'letters, digits and hyphens'],
    [{ auth: 'basic' }, 'api-key or bearer'],
  ])('does not take %j', (connection, message) => {
    expect(() => create({ ...resource, ...connection })).toThrow(message);
  });

  it('sends a key, or an Entra token', () => {
    const token = new Secret('secret-1');
    expect(create(resource).authorise(token)).toEqual({ 'api-key': 'secret-1' });
    expect(create({ ...resource, auth: 'bearer' }).authorise(token)).toEqual({ authorization: 'Bearer secret-1' });
  });

  it('edits by forms only, which hold no links, files of OpenAI’s, or moderation', () => {
    const provider = create(resource);
    for (const model of ['gpt-image-2', 'gpt-image-1', 'dall-e-2', 'pictures']) {
      const { inputs, parameters } = provider.capabilities(model, 'edition') ?? {};
      expect(inputs).toEqual({ max: model === 'dall-e-2' ? 1 : 16, as: 'bytes' });
      expect(parameters).not.toHaveProperty('moderation');
      expect('inputFidelity' in (parameters ?? {})).toBe(model === 'gpt-image-1');
    }
    expect(provider.capabilities('dall-e-3', 'edition')).toBeUndefined();
    expect(provider.capabilities('gpt-image-2', 'generation')?.parameters).toHaveProperty('moderation');
  });

  it('lets another provider try where the resource is blocked, and shows no code that only repeats the status', async () => {
    const fault = (status: number, error: object): ReturnType<Provider['fault']> =>
      create(resource).fault({ status, headers: {}, body: bytesSource(Buffer.from(JSON.stringify({ error }))) });
    const message = 'Your resource has been temporarily blocked because …';
    expect(await fault(403, { code: 'Forbidden', message })).toMatchObject({ code: 'upstream_error', curable: true });
    expect(await fault(429, { code: '429', message: 'Retry after 20 seconds.' })).toMatchObject({
      publicCode: 'rate_limit_exceeded',
      retryAfterMs: 20_000,
    });
    expect(await fault(404, { code: 'DeploymentNotFound' })).toMatchObject({ publicCode: 'model_not_found' });
    expect(await fault(400, { code: 'invalid_value' })).toMatchObject({ publicCode: 'invalid_value' });
  });
});
