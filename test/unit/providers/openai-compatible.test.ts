import { describe, expect, it } from 'vitest';
import { openaiCompatible } from '../../../src/providers/openai-compatible.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';

const create = (connection: object = {}): Provider =>
  openaiCompatible.create(
    providerConfig(openaiCompatible, { connection: { base_url: 'http://127.0.0.1:8000/v1', ...connection } }),
  );

describe('openai-compatible', () => {
  it('needs to be told where the service is', () => {
    expect(() => providerConfig(openaiCompatible, {})).toThrow('base_url');
  });

  it('works without a token', () => {
    expect(openaiCompatible.tokenOptional).toBe(true);
    expect(create().authorise(undefined)).toEqual({});
  });

  it('supposes that every model can do everything, and that its answers are not always what OpenAI’s are', () => {
    const provider = create();
    expect(provider.capabilities('whatever')).toEqual({
      operations: ['generation', 'edition'],
      maxImages: 10,
      nativeForm: 'unknown',
    });
    expect(provider.speaksOpenAi).toBe(false);
  });

  it('goes by a name of its own where it has one', () => {
    expect(create({ provider_name: 'vllm' }).names).toEqual(['vllm']);
    expect(create().names).toEqual([]);
  });

  it('sends the headers of the file in lower case, and none that would be refused', () => {
    const { headers } = create({ headers: { 'X-Tenant': 'a', 'x-other': 'b' } }).encode(makeTargetCall()).request;
    expect(headers).toEqual({ 'x-tenant': 'a', 'x-other': 'b', accept: 'application/json' });
  });

  it.each(['gpt-image-2', 'dall-e-2', 'dall-e-3', 'black-forest-labs/flux:schnell'])(
    'sends all parameters as they are, response_format included, to %s',
    (model) => {
      const parameters = { n: 10, size: 'auto', quality: 'hd', style: 'vivid', seed: 7, inputFidelity: 'high' };
      const { request, dropped } = create().encode(makeTargetCall({ model, parameters, responseFormat: 'url' }));
      expect(request.body).toEqual({
        kind: 'json',
        value: {
          model,
          prompt: 'a lighthouse',
          n: 10,
          size: 'auto',
          quality: 'hd',
          style: 'vivid',
          seed: 7,
          input_fidelity: 'high',
          response_format: 'url',
        },
      });
      expect(dropped).toEqual([]);
    },
  );
});
