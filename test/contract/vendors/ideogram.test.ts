import { describe, expect, it } from 'vitest';
import { ideogram } from '../../../src/providers/ideogram.ts';
import { Secret } from '../../../src/secret.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { ideogramFixtures } from '../../fixtures/providers/ideogram.ts';
import { providerContract } from '../provider-contract.ts';

providerContract({ definition: ideogram, settings: providerConfig(ideogram, {}), fixtures: ideogramFixtures });

describe('what Ideogram’s models take', () => {
  const provider = ideogram.create(providerConfig(ideogram, {}));
  const { encode } = provider;

  it('sends the key in a header of its own', () => {
    expect(provider.authorise(new Secret('k-1'))).toEqual({ 'api-key': 'k-1' });
  });

  it.each([
    ['ideogram-v3', '/v1/ideogram-v3/generate'],
    ['V_3', '/v1/ideogram-v3/generate'],
    ['v3', '/v1/ideogram-v3/generate'],
    ['V_3_0', '/v1/ideogram-v3/generate'],
    ['ideogram-v4', '/v1/ideogram-v4/generate'],
    ['V_4', '/v1/ideogram-v4/generate'],
    ['ideogram-4-5', '/v2/image/generate/ideogram-4-5'],
    ['z-image', '/v2/image/generate/z-image'],
    ['../../secrets', '/v2/image/generate/..%2F..%2Fsecrets'],
  ])('asks for %s at %s', (model, path) => {
    expect(encode(makeTargetCall({ model })).request.url).toBe(`https://api.ideogram.ai${path}`);
  });

  it.each(['', '.', '..'])('refuses the model %j, which leads elsewhere', (model) => {
    expect(() => encode(makeTargetCall({ model }))).toThrow(expect.objectContaining({ code: 'model_not_found' }));
  });

  it.each([
    ['ideogram-v3', '1024x1024', 'resolution', '1024x1024'],
    ['ideogram-v3', '832x1216', 'resolution', '832x1216'],
    ['ideogram-v3', '1024x1536', 'aspect_ratio', '2x3'],
    ['ideogram-v3', '1792x1024', 'aspect_ratio', '16x9'],
    ['ideogram-v3', '3:1', 'aspect_ratio', '3x1'],
    ['ideogram-v4', '1024x1024', 'resolution', '2048x2048'],
    ['ideogram-v4', '1024x1792', 'resolution', '1440x2560'],
    ['ideogram-v4', '3072x1280', 'resolution', '3072x1280'],
  ])('tells %s the size %s as %s %s', (model, size, name, value) => {
    const { body } = encode(makeTargetCall({ model, parameters: { size } })).request;
    expect(body).toMatchObject({ parts: [{}, { kind: 'field', name, value }] });
  });

  it.each([
    ['ideogram-v3', 'edition', 8, 'black'],
    ['ideogram-v4', 'edition', 1, undefined],
    ['ideogram-v3', 'generation', 8, undefined],
    ['ideogram-4-5', 'generation', 8, undefined],
  ] as const)('%s makes in one %s as many pictures: %i, with the mask %s', (model, operation, maxImages, mask) => {
    const capabilities = provider.capabilities(model, operation);
    expect(capabilities?.maxImages).toBe(maxImages);
    expect(capabilities?.mask).toBe(mask);
  });

  it('edits with the two versions only whose form is known', () => {
    expect(provider.capabilities('ideogram-4-5', 'edition')).toBeUndefined();
  });
});
