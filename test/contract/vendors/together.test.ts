import { describe, expect, it } from 'vitest';
import type { TargetCall } from '../../../src/pipeline/call.ts';
import { PictureText } from '../../../src/pipeline/upstream.ts';
import type { EncodedCall } from '../../../src/providers/provider.ts';
import { together } from '../../../src/providers/together.ts';
import { makeTargetCall, uploaded } from '../../fixtures/providers/calls.ts';
import { png } from '../../fixtures/pictures.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { togetherFixtures } from '../../fixtures/providers/together.ts';
import { providerContract } from '../provider-contract.ts';

const settings = providerConfig(together, {});

providerContract({ definition: together, settings, fixtures: togetherFixtures, samples: { outputFormat: 'png' } });

const provider = together.create(settings);
const schnell = 'black-forest-labs/FLUX.1-schnell';
const dev = 'black-forest-labs/FLUX.2-dev';

/** What goes out besides model and prompt, and what was left out. */
function sent(call: Partial<TargetCall>): Pick<EncodedCall, 'dropped'> & { readonly members: object } {
  const { request, dropped } = provider.encode(makeTargetCall(call));
  const { model: _model, prompt: _prompt, ...members } = Object(request.body.kind === 'json' && request.body.value);
  return { members, dropped };
}

describe('together', () => {
  it.each([
    [schnell, 'low', 2],
    [schnell, 'medium', 4],
    [schnell, 'high', 4],
    [`${schnell}-Free`, 'hd', 4],
    [dev, 'low', 12],
    [dev, 'medium', 28],
    [dev, 'high', 40],
    [dev, 'hd', 40],
    [dev, 'max', 50],
  ])('takes %s at the quality %s in %i steps', (model, quality, steps) => {
    expect(sent({ model, parameters: { quality } })).toEqual({ members: { steps }, dropped: [] });
  });

  it('says nothing of an ordinary quality, and leaves one out that it does not know', () => {
    for (const quality of ['auto', 'standard']) {
      expect(sent({ parameters: { quality } })).toEqual({ members: {}, dropped: [] });
    }
    for (const quality of ['best', 'constructor']) {
      expect(sent({ parameters: { quality } })).toEqual({ members: {}, dropped: ['quality'] });
    }
  });

  it.each([
    ['1024x1024', { width: 1024, height: 1024 }],
    ['1792x1024', { width: 1792, height: 1024 }],
    ['1000x1001', { width: 1008, height: 1008 }],
    ['16:9', { width: 1360, height: 768 }],
    ['auto', {}],
  ])('has the size %s in steps of sixteen pixels', (size, members) => {
    expect(sent({ parameters: { size } })).toEqual({ members, dropped: [] });
  });

  it.each([
    ['url', 'url'],
    ['b64_json', 'base64'],
    ['b64_ephemeral', 'base64'],
  ] as const)('calls the form %s %s', (responseFormat, response_format) => {
    expect(sent({ responseFormat })).toEqual({ members: { response_format }, dropped: [] });
  });

  it('switches the safety checker off for low moderation only', () => {
    expect(sent({ parameters: { moderation: 'low' } }).members).toEqual({ disable_safety_checker: true });
    expect(sent({ parameters: { moderation: 'auto' } })).toEqual({ members: {}, dropped: [] });
  });

  it.each([
    [schnell, undefined],
    ['black-forest-labs/FLUX.1.1-pro', undefined],
    ['black-forest-labs/FLUX.1-kontext-max', { max: 1, as: 'bytes' }],
    ['black-forest-labs/FLUX.2-pro', { max: 8, as: 'bytes' }],
    ['google/flash-image-2.5', { max: 8, as: 'bytes' }],
    ['Qwen/Qwen-Image-Edit', { max: 8, as: 'bytes' }],
  ])('edits with %s: %j', (model, inputs) => {
    expect(provider.capabilities(model, 'edition')?.inputs).toEqual(inputs);
    expect(provider.capabilities(model, 'edition')?.mask).toBeUndefined();
    expect(provider.capabilities(model, 'generation')).toMatchObject({ maxImages: 4, nativeForm: 'url' });
  });

  const picture = png();
  const inlined = new PictureText({ kind: 'bytes', bytes: picture }, 'data:image/png;base64,');

  it.each([
    ['black-forest-labs/FLUX.1-kontext-pro', 1, { image_url: inlined }],
    ['Qwen/Qwen-Image-Edit', 1, { image_url: inlined }],
    ['Qwen/Qwen-Image-Edit', 2, { reference_images: [inlined, inlined] }],
    ['black-forest-labs/FLUX.2-dev', 1, { reference_images: [inlined] }],
    ['google/gemini-3-pro-image', 1, { reference_images: [inlined] }],
  ])('names pictures as %s takes them (%i)', (model, count, members) => {
    const images = Array.from({ length: count }, () => uploaded(picture, 'image/png'));
    expect(sent({ model, operation: 'edition', images }).members).toEqual(members);
  });
});
