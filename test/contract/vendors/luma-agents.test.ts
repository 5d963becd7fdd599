import { describe, expect, it } from 'vitest';
import { lumaAgents } from '../../../src/providers/luma-agents.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { lumaAgentsFixtures } from '../../fixtures/providers/luma-agents.ts';
import { providerContract } from '../provider-contract.ts';

providerContract({
  definition: lumaAgents,
  settings: providerConfig(lumaAgents, {}),
  fixtures: lumaAgentsFixtures,
  samples: { style: 'manga' },
});

describe('the Luma Agents API', () => {
  it('has its path put behind a host alone', () => {
    const connection = { base_url: 'https://agents.lumalabs.ai' };
    const provider = lumaAgents.create(providerConfig(lumaAgents, { connection }));
    expect(provider.encode(makeTargetCall({ model: 'uni-1' })).request.url).toBe(
      'https://agents.lumalabs.ai/v1/generations',
    );
  });
});
