import { describe, expect, it } from 'vitest';
import { luma } from '../../../src/providers/luma.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { lumaFixtures } from '../../fixtures/providers/luma.ts';
import { providerContract } from '../provider-contract.ts';

providerContract({ definition: luma, settings: providerConfig(luma, {}), fixtures: lumaFixtures });

describe('Luma’s Dream Machine', () => {
  it('has its path put behind a host alone', () => {
    const provider = luma.create(providerConfig(luma, { connection: { base_url: 'https://api.lumalabs.ai' } }));
    const { url } = provider.encode(makeTargetCall({ model: 'photon-1' })).request;
    expect(url).toBe('https://api.lumalabs.ai/dream-machine/v1/generations/image');
  });

  it('takes one picture, by its link', () => {
    const provider = luma.create(providerConfig(luma, {}));
    expect(provider.capabilities('photon-1', 'edition')?.inputs).toEqual({ max: 1, as: 'link' });
  });
});
