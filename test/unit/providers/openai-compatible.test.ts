import { describe, expect, it } from 'vitest';
import { isJsonObject } from '../../../src/json.ts';
import { wireNames, type TargetCall } from '../../../src/pipeline/call.ts';
import { openaiCompatible } from '../../../src/providers/openai-compatible.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { Secret } from '../../../src/secret.ts';
import { png } from '../../fixtures/pictures.ts';
import { makeTargetCall, uploaded } from '../../fixtures/providers/calls.ts';
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
    const everything = Object.keys(wireNames).toSorted();
    const generation = provider.capabilities('whatever', 'generation');
    expect(generation).toMatchObject({ maxImages: 10, nativeForm: 'unknown', further: 'any' });
    expect(Object.keys(generation?.parameters ?? {}).toSorted()).toEqual(everything);
    const edition = provider.capabilities('whatever', 'edition');
    expect(edition).toMatchObject({ maxImages: 10, inputs: { max: 16, as: 'bytes' }, mask: 'alpha' });
    expect(Object.keys(edition?.parameters ?? {}).toSorted()).toEqual(
      everything.filter((name) => name !== 'moderation'),
    );
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

  describe('with a header that has a place for the key', () => {
    const provider = create({ headers: { 'X-Key': 'Key {api_key}, {api_key}', 'X-Tenant': 'a' } });

    it('sends the key there, and nowhere else', () => {
      expect(provider.authorise(new Secret('sk-$&'))).toEqual({ 'x-key': 'Key sk-$&, sk-$&' });
      expect(provider.encode(makeTargetCall()).request.headers).toEqual({
        'x-tenant': 'a',
        accept: 'application/json',
      });
    });

    it('leaves the header out without a key', () => {
      expect(provider.authorise(undefined)).toEqual({});
    });
  });

  describe('with names of the service’s own', () => {
    const connection = { param_mappings: { n: 'num_images', model: 'engine', style: false, seed: null, user: true } };
    const provider = create(connection);
    const membersOf = (call: Partial<TargetCall>): object => {
      const { body } = provider.encode(makeTargetCall(call)).request;
      return body.kind === 'json' && isJsonObject(body.value) ? body.value : {};
    };

    it('sends parameters under these names, and never what it may not', () => {
      const parameters = { n: 2, style: 'vivid', seed: 7, user: 'u', size: 'auto' };
      expect(membersOf({ parameters, responseFormat: 'url' })).toEqual({
        engine: 'gpt-image-2',
        prompt: 'a lighthouse',
        num_images: 2,
        user: 'u',
        size: 'auto',
        response_format: 'url',
      });
    });

    it('says what it takes', () => {
      const parameters = provider.capabilities('whatever', 'generation')?.parameters ?? {};
      expect(parameters).toMatchObject({ n: 'mapped', size: 'native', user: 'native' });
      expect(parameters).not.toHaveProperty('style');
      expect(parameters).not.toHaveProperty('seed');
    });

    it('lets no caller’s member take the place of a parameter, and says so', () => {
      const call = { unknown: { engine: 'dearest', num_images: 99, steps: 4 } };
      expect(membersOf(call)).toEqual({ engine: 'gpt-image-2', prompt: 'a lighthouse', steps: 4 });
      expect(provider.encode(makeTargetCall(call)).dropped).toEqual(['engine', 'num_images']);
    });

    it('names the fields of a form alike', () => {
      const call = makeTargetCall({
        operation: 'edition',
        images: [uploaded(png(), 'image/png')],
        parameters: { n: 2 },
      });
      const { body } = provider.encode(call).request;
      expect(body.kind === 'multipart' ? body.parts.map(({ name }) => name) : []).toEqual([
        'engine',
        'prompt',
        'num_images',
        'image',
      ]);
    });

    it('asks for several pictures in several requests where the service has no word for their number', () => {
      const single = create({ param_mappings: { n: false } });
      expect(single.capabilities('whatever', 'generation')).toMatchObject({
        maxImages: 1,
        parameters: { n: 'mapped' },
      });
      expect(single.encode(makeTargetCall({ parameters: { n: 1 } })).request.body).toMatchObject({
        value: { model: 'gpt-image-2', prompt: 'a lighthouse' },
      });
    });

    it.each([
      [{ nn: 'x' }, 'nn'],
      [{ n: '' }, 'empty'],
      [{ n: 5 }, 'must be'],
    ])('does not take %j for names', (param_mappings, message) => {
      expect(() => create({ param_mappings })).toThrow(message);
    });
  });

  it('adds members to each body, where the caller has none of the same name', () => {
    const provider = create({ additional_body_params: { steps: 30, quality: 'low', safety: { level: 2 }, n: 4 } });
    const call = makeTargetCall({ parameters: { quality: 'high' }, unknown: { steps: 4 } });
    expect(provider.encode(call).request.body).toEqual({
      kind: 'json',
      value: { model: 'gpt-image-2', prompt: 'a lighthouse', steps: 4, quality: 'high', safety: { level: 2 }, n: 4 },
    });
    const edit = makeTargetCall({ operation: 'edition', images: [uploaded(png(), 'image/png')] });
    expect(provider.encode(edit).request.body).toMatchObject({
      kind: 'multipart',
      parts: expect.arrayContaining([{ kind: 'field', name: 'safety', value: '{"level":2}' }]),
    });
  });

  it('edits by JSON where the service wants it', () => {
    const provider = create({ edit_body: 'json' });
    expect(provider.capabilities('whatever', 'edition')).toMatchObject({
      parameters: { moderation: 'native' },
      inputs: { as: 'bytes', files: true },
    });
    const call = makeTargetCall({ operation: 'edition', images: [uploaded(png(), 'image/png')] });
    expect(provider.encode(call).request.body).toMatchObject({
      kind: 'json',
      value: { images: [{ image_url: { prefix: 'data:image/png;base64,' } }] },
    });
  });

  it('asks for no more pictures at once than the service makes', () => {
    expect(create({ max_images: 4 }).capabilities('whatever', 'edition')?.maxImages).toBe(4);
  });
});
