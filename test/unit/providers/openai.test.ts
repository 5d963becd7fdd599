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

const first = ['gpt-image-1', 'gpt-image-1.5', 'gpt-image-1-mini', 'chatgpt-image-latest'];
const second = ['gpt-image-2', 'gpt-image-2-2026-04-21'];
const latest = [
  'gpt-image-2.5-flare',
  'gpt-image-2.5-sunburst-2026-09-08',
  'gpt-image-9',
  'ft:gpt-image-2:acme',
  'picture-1',
];

describe('openai', () => {
  it.each([
    ['gpt-image-2', 'generation', { maxImages: 10, nativeForm: 'b64_json' }],
    ['gpt-image-2', 'edition', { inputs: { max: 16, as: 'bytes', files: true }, mask: 'alpha' }],
    ['picture-1', 'generation', { maxImages: 10, nativeForm: 'b64_json' }],
    ['dall-e-2', 'generation', { maxImages: 10, nativeForm: 'url' }],
    ['dall-e-2', 'edition', { inputs: { max: 1, as: 'bytes' }, mask: 'alpha' }],
    ['dall-e-3', 'generation', { maxImages: 1, nativeForm: 'url' }],
  ] as const)('knows what %s can do: %s', (model, operation, expected) => {
    expect(provider.capabilities(model, operation)).toMatchObject(expected);
  });

  it('cannot edit with DALL·E 3', () => {
    expect(provider.capabilities('dall-e-3', 'edition')).toBeUndefined();
  });

  const common = ['n', 'quality', 'size', 'user'];
  const ofGptImage = [...common, 'background', 'moderation', 'outputCompression', 'outputFormat'].toSorted();
  it.each([
    ...[...first, ...second, ...latest].map((model) => [model, ofGptImage] as const),
    ['dall-e-3', ['n', 'quality', 'size', 'style', 'user']],
    ['dall-e-2', common],
  ] as const)('knows the parameters of %s', (model, names) => {
    expect(Object.keys(provider.capabilities(model, 'generation')?.parameters ?? {}).toSorted()).toEqual(names);
  });

  it.each([
    ['gpt-image-1', true],
    ['gpt-image-1.5', true],
    ['gpt-image-1-2025-04-23', true],
    ['gpt-image-1.5-2025-12-16', true],
    ['gpt-image-1-mini', false],
    ['chatgpt-image-latest', false],
    ['gpt-image-2', false],
    ['gpt-image-2-2026-04-21', false],
    ['dall-e-2', false],
    ['picture-1', false],
  ])('takes input_fidelity in edits with %s: %s', (model, taken) => {
    expect('inputFidelity' in (provider.capabilities(model, 'edition')?.parameters ?? {})).toBe(taken);
    expect(provider.capabilities(model, 'generation')?.parameters).not.toHaveProperty('inputFidelity');
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

  describe.each([...first, ...second, ...latest])('with %s', (model) => {
    it.each(['url', 'b64_json', 'b64_ephemeral', undefined] as const)('never sends response_format (%s)', (format) => {
      expect(fitted(model, {}, { responseFormat: format })).toEqual({ sent: {}, dropped: [] });
    });

    it.each([
      ['auto', 'auto'],
      ['low', 'low'],
      ['standard', 'auto'],
      ['hd', 'high'],
    ])('speaks its own words of quality: %s is %s', (asked, quality) => {
      expect(fitted(model, { quality: asked })).toEqual({ sent: { quality }, dropped: [] });
    });

    it('sends any size in pixels, and any format', () => {
      const parameters = { size: '1920x1088', outputFormat: 'svg', outputCompression: 0, background: 'transparent' };
      expect(fitted(model, parameters)).toEqual({
        sent: { size: '1920x1088', output_format: 'svg', output_compression: 0, background: 'transparent' },
        dropped: [],
      });
    });
  });

  it.each([
    ...[...first, ...second].flatMap((model) => [[model, 'xhigh', 'high'] as const, [model, 'max', 'high'] as const]),
    ...latest.flatMap((model) => [[model, 'xhigh', 'xhigh'] as const, [model, 'max', 'max'] as const]),
  ])('has of %s for the quality %s what comes nearest: %s', (model, asked, quality) => {
    expect(fitted(model, { quality: asked })).toEqual({ sent: { quality }, dropped: [] });
  });

  it.each([
    ['16:9', '1360x768'],
    ['1:1', '1024x1024'],
    ['21:9', '1568x672'],
    ['4:1', '1776x592'],
    ['1:9', '592x1776'],
  ])('has pixels for the ratio %s with models that make any size: %s', (size, expected) => {
    for (const model of [...second, ...latest]) {
      expect(fitted(model, { size })).toEqual({ sent: { size: expected }, dropped: [] });
    }
  });

  it.each([
    ...first.flatMap((model) => [
      [model, '16:9', '1536x1024'] as const,
      [model, '2:3', '1024x1536'] as const,
      [model, '1:1', '1024x1024'] as const,
    ]),
    ['dall-e-3', '16:9', '1792x1024'],
    ['dall-e-3', '9:16', '1024x1792'],
    ['dall-e-3', '1:1', '1024x1024'],
    ['dall-e-2', '16:9', '1024x1024'],
  ] as const)('has of %s for the ratio %s the size that comes nearest: %s', (model, size, expected) => {
    expect(fitted(model, { size })).toEqual({ sent: { size: expected }, dropped: [] });
  });

  describe.each(['dall-e-3', 'dall-e-2'])('with %s', (model) => {
    it.each([
      ['url', 'url'],
      ['b64_json', 'b64_json'],
      ['b64_ephemeral', 'b64_json'],
    ] as const)('sends response_format: %s as %s', (responseFormat, response_format) => {
      expect(fitted(model, {}, { responseFormat })).toEqual({ sent: { response_format }, dropped: [] });
    });

    it('sends a size, but not that the model may choose: it always does', () => {
      expect(fitted(model, { size: '1024x1024' })).toEqual({ sent: { size: '1024x1024' }, dropped: [] });
      expect(fitted(model, { size: 'auto' })).toEqual({ sent: {}, dropped: [] });
    });
  });

  it.each([
    ['hd', 'hd'],
    ['high', 'hd'],
    ['xhigh', 'hd'],
    ['max', 'hd'],
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

  it('leaves the quality out for DALL·E 2, which has only one, and says so where it is not the one', () => {
    for (const quality of ['hd', 'high', 'max']) {
      expect(fitted('dall-e-2', { quality })).toEqual({ sent: {}, dropped: ['quality'] });
    }
    for (const quality of ['standard', 'auto', 'medium', undefined]) {
      expect(fitted('dall-e-2', { quality })).toEqual({ sent: {}, dropped: [] });
    }
  });

  it('fits the parameters of an edit in the same way', () => {
    const call = makeTargetCall({
      operation: 'edition',
      images: [uploaded(png(), 'image/png')],
      parameters: { quality: 'hd', size: '3:2', n: 3 },
      responseFormat: 'url',
    });
    const { request, dropped } = provider.encode(call);
    const fields = request.body.kind === 'multipart' ? request.body.parts.filter(({ kind }) => kind === 'field') : [];
    expect(fields).toEqual([
      { kind: 'field', name: 'model', value: 'gpt-image-2' },
      { kind: 'field', name: 'prompt', value: 'a lighthouse' },
      { kind: 'field', name: 'n', value: '3' },
      { kind: 'field', name: 'size', value: '1248x832' },
      { kind: 'field', name: 'quality', value: 'high' },
    ]);
    expect(dropped).toEqual([]);
  });
});
