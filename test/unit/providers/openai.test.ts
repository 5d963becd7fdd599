import { describe, expect, it } from 'vitest';
import type { ImageParameters, TargetCall } from '../../../src/pipeline/call.ts';
import type { EncodedCall, Provider } from '../../../src/providers/provider.ts';
import { openai } from '../../../src/providers/openai.ts';
import { Secret } from '../../../src/secret.ts';
import { png } from '../../fixtures/pictures.ts';
import { makeTargetCall, uploaded } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';

const create = (connection: object = {}): Provider => openai.create(providerConfig(openai, { connection }));
const provider = create();

/** What goes out besides model and prompt, and what was left out. */
function fitted(
  model: string,
  parameters: ImageParameters,
  more: Partial<TargetCall> = {},
): Pick<EncodedCall, 'dropped'> & { readonly sent: object } {
  const { request, dropped } = provider.encode(makeTargetCall({ model, parameters, ...more }));
  if (request.body.kind !== 'json') throw new Error('not a generation');
  const members = Object.entries(request.body.value ?? {});
  return { sent: Object.fromEntries(members.filter(([name]) => name !== 'model' && name !== 'prompt')), dropped };
}

const gptImage = ['gpt-image-2', 'gpt-image-2.5-flare', 'gpt-image-1', 'gpt-image-1-mini', 'chatgpt-image-latest'];
const unheardOf = ['gpt-image-9', 'ft:gpt-image-2:acme', 'picture-1'];

describe('openai', () => {
  it.each([
    ['gpt-image-2', ['generation', 'edition'], 10, 'b64_json'],
    ['picture-1', ['generation', 'edition'], 10, 'b64_json'],
    ['dall-e-2', ['generation', 'edition'], 10, 'url'],
    ['dall-e-3', ['generation'], 1, 'url'],
  ])('knows what %s can do', (model, operations, maxImages, nativeForm) => {
    expect(provider.capabilities(model)).toEqual({ operations, maxImages, nativeForm });
  });

  it('sends the organisation and the project where there are any', () => {
    const headers = create({ organization: 'org-1', project: 'proj-1' }).encode(makeTargetCall()).request.headers;
    expect(headers).toEqual({
      accept: 'application/json',
      'openai-organization': 'org-1',
      'openai-project': 'proj-1',
    });
  });

  it('sends the credential as a bearer token', () => {
    expect(provider.authorise(new Secret('sk-1'))).toEqual({ authorization: 'Bearer sk-1' });
  });

  it.each([
    ['https://proxy.example.com/openai/v1', 'https://proxy.example.com'],
    ['http://127.0.0.1:8080/v1///', 'http://127.0.0.1:8080'],
  ])('works at %s', (baseUrl, origin) => {
    const elsewhere = create({ base_url: baseUrl });
    expect(elsewhere.origin).toBe(origin);
    const { url } = elsewhere.encode(makeTargetCall()).request;
    expect(url).toBe(`${baseUrl.replace(/\/+$/, '')}/images/generations`);
  });

  describe.each([...gptImage, ...unheardOf])('with %s', (model) => {
    it.each(['url', 'b64_json', 'b64_ephemeral', undefined] as const)('never sends response_format (%s)', (format) => {
      expect(fitted(model, {}, { responseFormat: format })).toEqual({ sent: {}, dropped: [] });
    });

    it.each([
      ['auto', 'auto'],
      ['low', 'low'],
      ['max', 'max'],
      ['standard', 'auto'],
      ['hd', 'high'],
    ])('speaks its own words of quality: %s is %s', (asked, quality) => {
      expect(fitted(model, { quality: asked })).toEqual({ sent: { quality }, dropped: [] });
    });

    it('leaves style and seed out, and says so', () => {
      expect(fitted(model, { style: 'vivid', seed: 7, user: 'u' })).toEqual({
        sent: { user: 'u' },
        dropped: ['seed', 'style'],
      });
    });

    it('sends any size and format', () => {
      const parameters = { size: '1920x1088', outputFormat: 'svg', outputCompression: 0, background: 'transparent' };
      expect(fitted(model, parameters)).toEqual({
        sent: { size: '1920x1088', output_format: 'svg', output_compression: 0, background: 'transparent' },
        dropped: [],
      });
    });
  });

  it.each([
    ['gpt-image-1', true],
    ['gpt-image-1.5', true],
    ['gpt-image-1-2025-04-23', true],
    ['gpt-image-1.5-2025-12-16', true],
    ['gpt-image-1-mini', false],
    ['gpt-image-2', false],
    ['gpt-image-2-2026-04-21', false],
    ['dall-e-2', false],
    ['picture-1', false],
  ])('sends input_fidelity to %s: %s', (model, taken) => {
    expect(fitted(model, { inputFidelity: 'high' })).toEqual(
      taken ? { sent: { input_fidelity: 'high' }, dropped: [] } : { sent: {}, dropped: ['input_fidelity'] },
    );
  });

  describe.each(['dall-e-3', 'dall-e-2'])('with %s', (model) => {
    it.each([
      ['url', 'url'],
      ['b64_json', 'b64_json'],
      ['b64_ephemeral', 'b64_json'],
    ] as const)('sends response_format: %s as %s', (responseFormat, response_format) => {
      expect(fitted(model, {}, { responseFormat })).toEqual({ sent: { response_format }, dropped: [] });
    });

    it('leaves out what only GPT Image knows, and says so', () => {
      const parameters = {
        background: 'opaque',
        moderation: 'low',
        outputFormat: 'png',
        outputCompression: 9,
        seed: 1,
      };
      expect(fitted(model, { n: 1, ...parameters })).toEqual({
        sent: { n: 1 },
        dropped: ['seed', 'background', 'moderation', 'output_format', 'output_compression'],
      });
    });

    it('sends a size, but not that the model may choose: it always does', () => {
      expect(fitted(model, { size: '1024x1024' })).toEqual({ sent: { size: '1024x1024' }, dropped: [] });
      expect(fitted(model, { size: 'auto' })).toEqual({ sent: {}, dropped: [] });
    });
  });

  it.each([
    ['hd', 'hd'],
    ['high', 'hd'],
    ['standard', 'standard'],
    ['medium', 'standard'],
    ['auto', undefined],
  ])('tells DALL·E 3 the quality in its words: %s is %s', (asked, quality) => {
    expect(fitted('dall-e-3', { quality: asked })).toEqual({
      sent: quality === undefined ? {} : { quality },
      dropped: [],
    });
  });

  it('tells DALL·E 3 the style', () => {
    expect(fitted('dall-e-3', { style: 'natural' })).toEqual({ sent: { style: 'natural' }, dropped: [] });
  });

  it('leaves style and quality out for DALL·E 2, which has one of each, and says so', () => {
    expect(fitted('dall-e-2', { style: 'natural', quality: 'hd' })).toEqual({
      sent: {},
      dropped: ['style', 'quality'],
    });
    for (const quality of ['standard', 'auto', 'medium', undefined]) {
      expect(fitted('dall-e-2', { quality })).toEqual({ sent: {}, dropped: [] });
    }
  });

  it('fits the parameters of an edit in the same way', () => {
    const call = makeTargetCall({
      operation: 'edition',
      images: [uploaded(png(), 'image/png')],
      parameters: { quality: 'hd', style: 'vivid', n: 3 },
      responseFormat: 'url',
    });
    const { request, dropped } = provider.encode(call);
    const fields = request.body.kind === 'multipart' ? request.body.parts.filter(({ kind }) => kind === 'field') : [];
    expect(fields).toEqual([
      { kind: 'field', name: 'model', value: 'gpt-image-2' },
      { kind: 'field', name: 'prompt', value: 'a lighthouse' },
      { kind: 'field', name: 'n', value: '3' },
      { kind: 'field', name: 'quality', value: 'high' },
    ]);
    expect(dropped).toEqual(['style']);
  });
});
