import { describe, expect, it } from 'vitest';
import { automatic1111 } from '../../../src/providers/automatic1111.ts';
import { Secret } from '../../../src/secret.ts';
import { automatic1111Fixtures } from '../../fixtures/providers/automatic1111.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { providerContract } from '../provider-contract.ts';

const settings = providerConfig(automatic1111, {});

providerContract({ definition: automatic1111, settings, fixtures: automatic1111Fixtures });

describe('AUTOMATIC1111', () => {
  const provider = automatic1111.create(settings);

  it('is shown its user and password as HTTP Basic authentication', () => {
    expect(provider.authorise(new Secret('user:päss'))).toEqual({ authorization: 'Basic dXNlcjpww6Rzcw==' });
    expect(provider.authorise(undefined)).toEqual({});
  });

  it.each([
    ['low', 15],
    ['standard', 25],
    ['hd', 50],
    ['max', 100],
  ])('spends on the quality %s %i steps', (quality, steps) => {
    const { request } = provider.encode(makeTargetCall({ model: 'default', parameters: { quality } }));
    expect(request.body).toMatchObject({ value: { steps } });
  });

  it('lets no caller reach the settings of the server', () => {
    for (const operation of ['generation', 'edition'] as const) {
      const further = provider.capabilities('default', operation)?.further;
      for (const name of ['override_settings', 'script_name', 'alwayson_scripts', 'save_images']) {
        expect(further).not.toContain(name);
      }
    }
  });
});
