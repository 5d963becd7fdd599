import { describe, expect, it } from 'vitest';
import { recraft } from '../../../src/providers/recraft.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { recraftFixtures } from '../../fixtures/providers/recraft.ts';
import { providerContract } from '../provider-contract.ts';

providerContract({ definition: recraft, settings: providerConfig(recraft, {}), fixtures: recraftFixtures });

describe('what Recraft’s models take', () => {
  const provider = recraft.create(providerConfig(recraft, { connection: { strength: 0.9 } }));

  it.each([
    ['recraftv4_1', '1024x1024', '1024x1024'],
    ['recraftv4_1', '1792x1024', '1344x768'],
    ['recraftv4_1', '2:3', '832x1280'],
    ['recraftv4_1_pro', '1024x1024', '2048x2048'],
    ['recraftv4_1_pro', '1536x768', '3072x1536'],
    ['recraftv4_pro_vector', '16:9', '2688x1536'],
    ['recraftv4_1_utility', '1024x1536', '832x1280'],
    ['recraftv3', '1792x1024', '1820x1024'],
    ['recraftv2_vector', '1024x1536', '1024x1536'],
    ['recraftv5', '1536x1024', '1280x832'],
  ])('%s makes of %s a size of its own: %s', (model, asked, size) => {
    const { request } = provider.encode(makeTargetCall({ model, parameters: { size: asked } }));
    expect(request.body).toMatchObject({ value: { size } });
  });

  it('says nothing of a size that is left to Recraft', () => {
    const { body } = provider.encode(makeTargetCall({ model: 'recraftv3', parameters: { size: 'auto' } })).request;
    expect(body).toEqual({ kind: 'json', value: { prompt: 'a lighthouse', model: 'recraftv3' } });
  });

  it.each([
    ['recraftv3', 'native'],
    ['recraftv2_vector', 'native'],
    ['recraftv4', undefined],
    ['recraftv4_1_styles', undefined],
  ])('takes a style by name: %s', (model, style) => {
    expect(provider.capabilities(model, 'generation')?.parameters.style).toBe(style);
    expect(provider.capabilities(model, 'edition')?.parameters.style).toBe(style);
  });

  it.each([
    ['remove-background', true],
    ['crisp-upscale', true],
    ['creative-upscale', true],
    ['vectorize', true],
    ['erase-region', true],
    ['replace-background', undefined],
  ])('has the tool %s for pictures only; without words: %s', (name, promptOptional) => {
    const capabilities = provider.capabilities(name, 'edition');
    expect(provider.capabilities(name, 'generation')).toBeUndefined();
    expect(capabilities).toMatchObject({ maxImages: 1, parameters: {} });
    expect(capabilities?.promptOptional).toBe(promptOptional);
    expect(capabilities?.mask).toBe(name === 'erase-region' ? 'white' : undefined);
  });

  it('takes the strength of the connection', () => {
    const { body } = provider.encode(makeTargetCall({ model: 'recraftv3', operation: 'edition' })).request;
    expect(body).toMatchObject({ value: { strength: 0.9 } });
  });
});
