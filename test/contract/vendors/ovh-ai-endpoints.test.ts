import { describe, expect, it } from 'vitest';
import { ovhAiEndpoints } from '../../../src/providers/ovh-ai-endpoints.ts';
import { Secret } from '../../../src/secret.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { ovhAiEndpointsFixtures } from '../../fixtures/providers/ovh-ai-endpoints.ts';
import { providerContract } from '../provider-contract.ts';

const settings = providerConfig(ovhAiEndpoints, {});

providerContract({ definition: ovhAiEndpoints, settings, fixtures: ovhAiEndpointsFixtures });

describe('ovh-ai-endpoints', () => {
  const provider = ovhAiEndpoints.create(settings);

  it('generates, and does not edit', () => {
    expect(provider.capabilities('whatever', 'generation')).toMatchObject({ maxImages: 10, further: 'any' });
    expect(provider.capabilities('whatever', 'edition')).toBeUndefined();
  });

  it('works without a key, at its own pace', () => {
    expect(ovhAiEndpoints.tokenOptional).toBe(true);
    expect(provider.authorise(undefined)).toEqual({});
    expect(provider.authorise(new Secret('sk-1'))).toEqual({ authorization: 'Bearer sk-1' });
  });
});
