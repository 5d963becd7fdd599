import { describe, expect, it } from 'vitest';
import type { ImageParameters } from '../../../src/pipeline/call.ts';
import { grok } from '../../../src/providers/grok.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { grokFixtures } from '../../fixtures/providers/grok.ts';
import { providerContract } from '../provider-contract.ts';

providerContract({
  definition: grok,
  settings: providerConfig(grok, {}),
  fixtures: grokFixtures,
  emptyIsRefusal: true,
});

describe('xAI', () => {
  const provider = grok.create(providerConfig(grok, {}));
  const model = 'grok-imagine-image-2.0';
  const sent = (parameters: ImageParameters): unknown => {
    const { body } = provider.encode(makeTargetCall({ model, parameters })).request;
    return body.kind === 'json' ? body.value : undefined;
  };

  it.each([
    ['1024x1024', '1:1', '1k'],
    ['1536x1024', '3:2', '1k'],
    ['1024x1792', '9:16', '2k'],
    ['2048x2048', '1:1', '2k'],
    ['1000x450', '20:9', '1k'],
    ['9:19', '9:19.5', undefined],
  ])('makes the size %s the ratio %s at %s', (size, ratio, resolution) => {
    expect(sent({ size })).toEqual({
      model,
      prompt: 'a lighthouse',
      aspect_ratio: ratio,
      ...(resolution === undefined ? {} : { resolution }),
    });
  });

  it('knows that only 2.0 has qualities', () => {
    const taken = (name: string): readonly string[] =>
      Object.keys(provider.capabilities(name, 'generation')?.parameters ?? {});
    expect(taken('grok-imagine-image')).toEqual(['n', 'size', 'user']);
    expect(taken(model)).toContain('quality');
    expect(taken('grok-imagine-image-3.0')).toContain('quality');
  });

  it.each([
    ['https://api.x.ai', 'https://api.x.ai/v1/images/generations'],
    ['https://api.x.ai/', 'https://api.x.ai/v1/images/generations'],
    ['http://127.0.0.1:8080/mirror', 'http://127.0.0.1:8080/mirror/images/generations'],
  ])('asks %s at %s', (base, url) => {
    const elsewhere = grok.create(providerConfig(grok, { connection: { base_url: base } }));
    expect(elsewhere.encode(makeTargetCall({ model })).request.url).toBe(url);
  });
});
