import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/body/byte-source.ts';
import type { TargetCall } from '../../../src/pipeline/call.ts';
import { gemini } from '../../../src/providers/gemini.ts';
import { Secret } from '../../../src/secret.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { geminiFixtures, geminiOpenAiFixtures } from '../../fixtures/providers/gemini.ts';
import { providerContract } from '../provider-contract.ts';

providerContract({ definition: gemini, settings: providerConfig(gemini, {}), fixtures: geminiFixtures });

describe('on the route that looks like OpenAI’s', () => {
  const settings = providerConfig(gemini, {
    connection: { api: 'openai', base_url: 'https://generativelanguage.googleapis.com/v1beta/openai' },
  });
  providerContract({ definition: gemini, settings, fixtures: geminiOpenAiFixtures });

  it('has no edits, and asks Gemini models for one picture at a time', () => {
    const provider = gemini.create(settings);
    expect(provider.capabilities('imagen-4.0-generate-001', 'edition')).toBeUndefined();
    expect(provider.capabilities('gemini-2.5-flash-image', 'generation')?.maxImages).toBe(1);
  });

  it('sends the key as a bearer token', () => {
    expect(gemini.create(settings).authorise(new Secret('k'))).toEqual({ authorization: 'Bearer k' });
  });
});

describe('gemini', () => {
  const provider = gemini.create(providerConfig(gemini, {}));
  const bodyOf = (call: Partial<TargetCall>): unknown => provider.encode(makeTargetCall(call)).request.body;
  const sizeOf = (model: string, size: string): unknown => {
    const body = bodyOf({ model, parameters: { size } });
    return (body as { value: { generationConfig: { imageConfig?: unknown } } }).value.generationConfig.imageConfig;
  };

  it.each([
    ['gemini-3.1-flash-image', '512x512', { aspectRatio: '1:1', imageSize: '512' }],
    ['gemini-3.1-flash-image', '1024x1024', { aspectRatio: '1:1', imageSize: '1K' }],
    ['gemini-3.1-flash-image', '1024x4096', { aspectRatio: '1:4', imageSize: '4K' }],
    ['gemini-3.1-flash-image', '8:1', { aspectRatio: '8:1' }],
    ['gemini-3.1-flash-lite-image', '2048x512', { aspectRatio: '4:1' }],
    ['gemini-3-pro-image', '512x512', { aspectRatio: '1:1', imageSize: '1K' }],
    ['gemini-3-pro-image', '1792x1024', { aspectRatio: '16:9', imageSize: '2K' }],
    ['gemini-3-pro-image', '2048x512', { aspectRatio: '21:9', imageSize: '2K' }],
    ['gemini-3-pro-image', '1584x672', { aspectRatio: '21:9', imageSize: '1K' }],
    ['gemini-3-pro-image', '3168x1344', { aspectRatio: '21:9', imageSize: '2K' }],
    ['gemini-2.5-flash-image', '1536x672', { aspectRatio: '21:9' }],
    ['gemini-2.5-flash-image', '2048x2048', { aspectRatio: '1:1' }],
    ['gemini-4-image', '4096x3072', { aspectRatio: '4:3', imageSize: '4K' }],
    ['gemini-3-pro-image', 'auto', undefined],
  ])('makes of a size what %s knows: %s', (model, size, imageConfig) => {
    expect(sizeOf(model, size)).toEqual(imageConfig);
  });

  it.each([
    ['imagen-4.0-generate-001', '1024x1024', { aspectRatio: '1:1', sampleImageSize: '1K' }],
    ['imagen-4.0-ultra-generate-001', '1200x1600', { aspectRatio: '3:4', sampleImageSize: '2K' }],
    ['imagen-4.0-fast-generate-001', '2048x2048', { aspectRatio: '1:1' }],
    ['imagen-3.0-generate-002', '1536x1024', { aspectRatio: '4:3' }],
    ['imagen-4.0-generate-001', '16:9', { aspectRatio: '16:9' }],
  ])('makes of a size what %s knows: %s', (model, size, parameters) => {
    expect(bodyOf({ model, parameters: { size } })).toEqual({
      kind: 'json',
      value: { instances: [{ prompt: 'a lighthouse' }], parameters: { sampleCount: 1, ...parameters } },
    });
  });

  it('edits with Gemini models only', () => {
    expect(provider.capabilities('gemini-3-pro-image', 'edition')?.inputs).toEqual({ max: 14, as: 'bytes' });
    expect(provider.capabilities('gemini-3-pro-image', 'generation')?.inputs).toBeUndefined();
    expect(provider.capabilities('imagen-4.0-generate-001', 'edition')).toBeUndefined();
  });

  it('understands members in both spellings', () => {
    const { further } = provider.capabilities('gemini-3-pro-image', 'generation') ?? {};
    expect(further).toEqual(expect.arrayContaining(['aspectRatio', 'aspect_ratio', 'safety_settings', 'tools']));
  });

  it.each(['gemini-3-pro-image', 'imagen-4.0-generate-001'])('sends on all further members that %s takes', (model) => {
    for (const name of provider.capabilities(model, 'generation')?.further ?? []) {
      const body = bodyOf({ model, unknown: { [name]: 'a-telling-value' } });
      expect([name, JSON.stringify(body)]).toEqual([name, expect.stringContaining('a-telling-value')]);
    }
  });

  it.each([
    ['https://generativelanguage.googleapis.com', '/v1beta/models/m:generateContent'],
    ['https://generativelanguage.googleapis.com/', '/v1beta/models/m:generateContent'],
    ['https://generativelanguage.googleapis.com/v1beta/openai', '/v1beta/models/m:generateContent'],
    ['https://generativelanguage.googleapis.com/v1', '/v1/models/m:generateContent'],
    ['https://proxy.example.com/google/v1beta/', '/google/v1beta/models/m:generateContent'],
  ])('completes the base %s', (base, path) => {
    const at = gemini.create(providerConfig(gemini, { connection: { base_url: base } }));
    const { url } = at.encode(makeTargetCall({ model: 'm' })).request;
    expect(new URL(url).pathname).toBe(path);
  });

  it('keeps a model’s name within its place in the address', () => {
    const { url } = provider.encode(makeTargetCall({ model: '../x?y' })).request;
    expect(url).toBe('https://generativelanguage.googleapis.com/v1beta/models/..%2Fx%3Fy:generateContent');
  });

  it('waits as long as the document says', async () => {
    const details = [{ '@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '34.5s' }];
    const document = { error: { code: 429, message: 'Quota exceeded.', status: 'RESOURCE_EXHAUSTED', details } };
    const body = bytesSource(Buffer.from(JSON.stringify(document)));
    expect(await provider.fault({ status: 429, headers: {}, body })).toMatchObject({ retryAfterMs: 34_500 });
  });

  it('puts the key into a header of Google’s', () => {
    expect(provider.authorise(new Secret('k'))).toEqual({ 'x-goog-api-key': 'k' });
  });
});
