import { describe, expect, it } from 'vitest';
import { replicate } from '../../../src/providers/replicate.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { maskFixtures, replicateFixtures, severalFixtures } from '../../fixtures/providers/replicate.ts';
import { providerContract } from '../provider-contract.ts';

providerContract({
  definition: replicate,
  settings: providerConfig(replicate, {}),
  fixtures: replicateFixtures,
});

providerContract({
  definition: replicate,
  settings: providerConfig(replicate, { connection: { image_key: 'image_input', size_as: 'pixels' } }),
  fixtures: severalFixtures,
});

providerContract({
  definition: replicate,
  settings: providerConfig(replicate, { connection: { image_key: 'image' } }),
  fixtures: maskFixtures,
});

describe('what Replicate’s models take', () => {
  const connect = (connection: object) => replicate.create(providerConfig(replicate, { connection }));

  it('asks for as many pictures in one prediction as the entity says', () => {
    expect(connect({}).capabilities('a/b', 'generation')).toMatchObject({ maxImages: 4 });
    expect(connect({ max_outputs: 1 }).capabilities('a/b', 'generation')).toMatchObject({ maxImages: 1 });
    expect(connect({}).capabilities('a/b', 'edition')).toMatchObject({ maxImages: 1 });
  });

  it.each([
    ['input_image', 1, undefined],
    ['image', 1, 'white'],
    ['image_input', 10, undefined],
    ['input_images', 10, undefined],
  ])('with %s takes %i pictures, and a mask: %s', (imageKey, max, mask) => {
    const capabilities = connect({ image_key: imageKey }).capabilities('a/b', 'edition');
    expect(capabilities?.inputs).toEqual({ max, as: 'bytes' });
    expect(capabilities?.mask).toBe(mask);
  });

  it.each(['../../account', 'a/..', '..', 'a/b/c', 'flux', 'a/b?c'])('leads nowhere else for the model %j', (model) => {
    const { url, body } = connect({}).encode(makeTargetCall({ model })).request;
    expect(url).toBe('https://api.replicate.com/v1/predictions');
    expect(body).toMatchObject({ value: { version: model } });
  });
});
