import { describe, expect, it } from 'vitest';
import { hive } from '../../../src/providers/hive.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { hiveFixtures, hiveFlatFixtures } from '../../fixtures/providers/hive.ts';
import { providerContract } from '../provider-contract.ts';

providerContract({ definition: hive, settings: providerConfig(hive, {}), fixtures: hiveFixtures });

providerContract({
  definition: hive,
  settings: providerConfig(hive, { connection: { body: 'flat' } }),
  fixtures: hiveFlatFixtures,
});

describe('Hive', () => {
  const provider = hive.create(providerConfig(hive, {}));

  it('has no edits', () => {
    expect(provider.capabilities('stabilityai/sdxl', 'edition')).toBeUndefined();
  });

  it('takes what a picture is not to show with SDXL only', () => {
    const further = (model: string): unknown => provider.capabilities(model, 'generation')?.further;
    expect(further('hive/sdxl-enhanced')).toContain('negative_prompt');
    expect(further('flux-schnell-enhanced')).not.toContain('negative_prompt');
  });

  it.each(['../../v2/task/sync', 'a/./b', 'a//b', 'stabilityai/'])(
    'keeps the model %j from leading elsewhere',
    (model) => {
      expect(() => provider.encode(makeTargetCall({ model }))).toThrow(
        expect.objectContaining({ code: 'model_not_found', param: 'model' }),
      );
    },
  );

  it('writes whatever a model is called into one address', () => {
    const { url } = provider.encode(makeTargetCall({ model: 'a/b?c=d#e\ud800' })).request;
    expect(url).toBe('https://api.thehive.ai/api/v3/a/b%3Fc%3Dd%23e%EF%BF%BD');
  });
});
