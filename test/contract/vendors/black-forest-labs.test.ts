import { describe, expect, it } from 'vitest';
import { blackForestLabs } from '../../../src/providers/black-forest-labs.ts';
import type { TargetCall } from '../../../src/pipeline/call.ts';
import { Secret } from '../../../src/secret.ts';
import { blackForestLabsFixtures } from '../../fixtures/providers/black-forest-labs.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { providerContract } from '../provider-contract.ts';

const settings = providerConfig(blackForestLabs, {});
providerContract({ definition: blackForestLabs, settings, fixtures: blackForestLabsFixtures });

const providerAt = (baseUrl: string) =>
  blackForestLabs.create(providerConfig(blackForestLabs, { connection: { base_url: baseUrl } }));

describe('black-forest-labs', () => {
  const provider = blackForestLabs.create(settings);
  const membersOf = (call: TargetCall): unknown => {
    const { body } = provider.encode(call).request;
    return body.kind === 'json' ? body.value : undefined;
  };

  it('sends the key in a header of its own', () => {
    expect(provider.authorise(new Secret('k-1'))).toEqual({ 'x-key': 'k-1' });
  });

  it.each([
    ['https://api.bfl.ai/v1', 'https://api.bfl.ai', true],
    ['https://api.bfl.ai/v1', 'https://api.us2.bfl.ai', true],
    ['https://api.eu.bfl.ai/v1', 'https://api.eu4.bfl.ai', true],
    ['https://api.bfl.ai/v1', 'http://api.eu1.bfl.ai', false],
    ['https://api.bfl.ai/v1', 'https://api.eu1.bfl.ai:8443', false],
    ['https://api.bfl.ai/v1', 'https://evilbfl.ai', false],
    ['https://api.bfl.ai/v1', 'https://bfl.ai.example.com', false],
    ['https://api.bfl.ai/v1', 'null', false],
    ['http://127.0.0.1:4000/v1', 'http://127.0.0.1:4000', true],
    ['http://127.0.0.1:4000/v1', 'http://127.0.0.1:4001', false],
    ['http://127.0.0.1:4000/v1', 'https://api.bfl.ai', false],
  ])('with the API at %s, reaches %s: %s', (base, origin, expected) => {
    expect(providerAt(base).reaches?.(origin)).toBe(expected);
  });

  it.each([
    ['flux-2-pro', undefined, {}],
    ['flux-2-pro', '1024x1024', { width: 1024, height: 1024 }],
    ['flux-2-flex', '4096x4096', { width: 2048, height: 2048 }],
    ['flux-2-klein-4b', '16:9', { width: 1360, height: 768 }],
    ['flux-9-mega', '1000x1000', { width: 1008, height: 1008 }],
    ['flux-pro-1.1', undefined, { width: 1024, height: 1024 }],
    ['flux-pro-1.1', '1792x1024', { width: 1440, height: 832 }],
    ['flux-dev', '100x100', { width: 256, height: 256 }],
    ['flux-pro-1.1-ultra', 'auto', { aspect_ratio: '1:1' }],
    ['flux-kontext-pro', undefined, {}],
    ['flux-kontext-max', '1024x1792', { aspect_ratio: '9:16' }],
    ['flux-3-image', undefined, {}],
    ['flux-3-image', '1024x1024', { aspect_ratio: '1:1', resolution: '1k' }],
    ['flux-3-image', '4096x2048', { aspect_ratio: '2:1', resolution: '4k' }],
    ['flux-3-image', '16:9', { aspect_ratio: '16:9' }],
  ])('asks %s for %s in its own terms', (model, size, expected) => {
    expect(membersOf(makeTargetCall({ model, parameters: { size } }))).toEqual({ prompt: 'a lighthouse', ...expected });
  });

  it('prefers what the caller says in the vendor’s own words', () => {
    const call = makeTargetCall({
      model: 'flux-kontext-pro',
      parameters: { size: '1024x1024', moderation: 'low' },
      unknown: { aspect_ratio: '21:9', safety_tolerance: 0 },
    });
    expect(membersOf(call)).toEqual({ prompt: 'a lighthouse', aspect_ratio: '21:9', safety_tolerance: 0 });
  });

  it('raises no tolerance where pictures go in with Kontext, and takes a mask with one model only', () => {
    expect(provider.capabilities('flux-kontext-pro', 'edition')?.parameters).not.toHaveProperty('moderation');
    expect(provider.capabilities('flux-pro-1.0-fill', 'edition')).toMatchObject({
      mask: 'white',
      promptOptional: true,
    });
    expect(provider.capabilities('flux-pro-1.0-fill', 'generation')).toBeUndefined();
    expect(provider.capabilities('flux-pro-1.0-expand', 'edition')?.mask).toBeUndefined();
    expect(provider.capabilities('flux-2-pro', 'edition')).toMatchObject({ inputs: { max: 8, as: 'bytes' } });
    expect(provider.capabilities('flux-dev', 'edition')).toBeUndefined();
    expect(provider.capabilities('flux-3-image', 'generation')?.parameters).not.toHaveProperty('seed');
  });
});
