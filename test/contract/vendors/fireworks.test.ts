import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/body/byte-source.ts';
import type { TargetCall } from '../../../src/pipeline/call.ts';
import { fireworks } from '../../../src/providers/fireworks.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { fireworksFixtures } from '../../fixtures/providers/fireworks.ts';
import { png } from '../../fixtures/pictures.ts';
import { providerContract } from '../provider-contract.ts';

const settings = providerConfig(fireworks, {});
providerContract({ definition: fireworks, settings, fixtures: fireworksFixtures });

describe('fireworks', () => {
  const provider = fireworks.create(settings);
  const membersOf = (call: TargetCall): unknown => {
    const { body } = provider.encode(call).request;
    return body.kind === 'json' ? body.value : undefined;
  };

  it.each([
    ['flux-1-schnell-fp8', 'workflows/accounts/fireworks/models/flux-1-schnell-fp8/text_to_image'],
    ['accounts/fireworks/models/flux-1-dev-fp8', 'workflows/accounts/fireworks/models/flux-1-dev-fp8/text_to_image'],
    ['accounts/mine/models/tuned flux', 'workflows/accounts/mine/models/tuned%20flux/text_to_image'],
    ['flux-kontext-max', 'workflows/accounts/fireworks/models/flux-kontext-max'],
    ['SSD-1B', 'image_generation/accounts/fireworks/models/SSD-1B'],
    ['stable-diffusion-xl-1024-v1-0', 'image_generation/accounts/fireworks/models/stable-diffusion-xl-1024-v1-0'],
  ])('finds %s at %s', (model, path) => {
    expect(provider.encode(makeTargetCall({ model })).request.url).toBe(
      `https://api.fireworks.ai/inference/v1/${path}`,
    );
  });

  it.each([
    ['flux-1-dev-fp8', { quality: 'low' }, { aspect_ratio: '1:1', num_inference_steps: 15 }],
    ['flux-1-dev-fp8', { quality: 'standard' }, { aspect_ratio: '1:1', num_inference_steps: 28 }],
    ['flux-1-dev-fp8', { quality: 'max' }, { aspect_ratio: '1:1', num_inference_steps: 50 }],
    ['flux-1-dev-fp8', { quality: 'auto', size: 'auto' }, { aspect_ratio: '1:1' }],
    ['flux-1-schnell-fp8', { size: '1024x1792' }, { aspect_ratio: '9:16' }],
    ['SSD-1B', {}, {}],
    ['SSD-1B', { size: '1024x1792', quality: 'high' }, { width: 768, height: 1344, steps: 50 }],
    ['flux-kontext-pro', { size: '16:9', moderation: 'auto' }, { aspect_ratio: '16:9' }],
  ])('asks %s for %j in its own terms', (model, parameters, expected) => {
    const call = makeTargetCall({ model, parameters });
    expect(membersOf(call)).toEqual({ prompt: 'a lighthouse', ...expected });
    expect(provider.encode(call).dropped).toEqual([]);
  });

  it('edits with one family alone, and takes no mask', () => {
    expect(provider.capabilities('flux-1-dev-fp8', 'edition')).toBeUndefined();
    expect(provider.capabilities('SSD-1B', 'edition')).toBeUndefined();
    const edition = provider.capabilities('accounts/fireworks/models/flux-kontext-max', 'edition');
    expect(edition).toMatchObject({ nativeForm: 'url', inputs: { max: 1, as: 'bytes' } });
    expect(edition?.mask).toBeUndefined();
    expect(edition?.parameters).not.toHaveProperty('moderation');
  });

  it('gives the pictures that are left when some were filtered', async () => {
    const body = [
      { base64: null, finishReason: 'CONTENT_FILTERED' },
      { base64: png().toString('base64'), finishReason: 'SUCCESS' },
    ];
    const reply = { status: 200, headers: {}, body: bytesSource(Buffer.from(JSON.stringify(body))) };
    expect((await provider.decode(reply, makeTargetCall({ model: 'SSD-1B' }))).images).toHaveLength(1);
  });
});
