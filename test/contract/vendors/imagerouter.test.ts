import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/body/byte-source.ts';
import { imagerouter } from '../../../src/providers/imagerouter.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { imagerouterFixtures } from '../../fixtures/providers/imagerouter.ts';
import { providerContract } from '../provider-contract.ts';

const settings = providerConfig(imagerouter, {});

providerContract({ definition: imagerouter, settings, fixtures: imagerouterFixtures });

const provider = imagerouter.create(settings);

describe('imagerouter', () => {
  it('makes one picture a request, with or without words', () => {
    for (const operation of ['generation', 'edition'] as const) {
      expect(provider.capabilities('test/test', operation)).toMatchObject({ maxImages: 1, promptOptional: true });
    }
    expect(provider.capabilities('test/test', 'edition')).toMatchObject({
      inputs: { max: 16, as: 'bytes' },
      mask: 'alpha',
    });
  });

  it.each([
    ['auto', undefined],
    ['standard', undefined],
    ['low', 'low'],
    ['medium', 'medium'],
    ['high', 'high'],
    ['hd', 'high'],
    ['xhigh', 'high'],
    ['max', 'high'],
  ])('has for the quality %s: %s', (quality, expected) => {
    const { request, dropped } = provider.encode(makeTargetCall({ parameters: { quality, n: 1 } }));
    const value = expected === undefined ? {} : { quality: expected };
    expect(request.body).toEqual({
      kind: 'json',
      value: { model: 'gpt-image-2', prompt: 'a lighthouse', ...value },
    });
    expect(dropped).toEqual([]);
  });

  it.each(['url', 'b64_json', 'b64_ephemeral'] as const)('knows the form %s', (responseFormat) => {
    expect(provider.encode(makeTargetCall({ responseFormat })).request.body).toMatchObject({
      value: { response_format: responseFormat },
    });
  });

  it.each([
    [429, { 'ratelimit-reset': '7' }, 7000],
    [429, { 'ratelimit-reset': '7', 'retry-after': '9' }, 7000],
    [429, { 'retry-after': '9' }, 9000],
    [429, { 'ratelimit-reset': 'soon' }, undefined],
    [503, { 'ratelimit-reset': '7' }, undefined],
  ])('reads how long to wait after %i from %j', async (status, headers, retryAfterMs) => {
    expect(await provider.fault({ status, headers, body: bytesSource(new Uint8Array()) })).toMatchObject({
      retryAfterMs,
    });
  });
});
