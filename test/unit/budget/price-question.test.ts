import { describe, expect, it } from 'vitest';
import { priceQuestion } from '../../../src/budget/price-question.ts';
import type { TargetCall } from '../../../src/pipeline/call.ts';
import { makeEntity, makeTarget } from '../../fixtures/exchange.ts';
import { makeTargetCall } from '../../fixtures/providers/calls.ts';

const target = makeTarget({ entity: makeEntity({ id: 'main', providerNames: ['grok', 'x-ai'] }) });
const asked = (given: Partial<TargetCall>) => priceQuestion(target, makeTargetCall(given));

describe('the question about a call’s price', () => {
  it('has what the price may depend on', () => {
    const parameters = { n: 3, size: '1024x1536', quality: 'high' };
    const image = { kind: 'provider-file', id: 'file-1' } as const;
    const call = { model: 'grok-imagine', operation: 'edition', prompt: 'blauer, größer', partialImages: 2 } as const;
    expect(asked({ ...call, parameters, images: [image, image], mask: image })).toEqual({
      provider: 'grok',
      entity: 'main',
      model: 'grok-imagine',
      operation: 'edition',
      size: '1024x1536',
      quality: 'high',
      n: 3,
      inputImages: 3,
      steps: undefined,
      promptBytes: 16,
      partialImages: 2,
    });
    expect(asked({ prompt: undefined })).toMatchObject({ n: 1, promptBytes: 0, inputImages: 0 });
  });

  it('leaves the size open where a vendor’s own member says it', () => {
    const parameters = { size: '256x256', quality: 'low' };
    for (const unknown of [{ width: 4096 }, { resolution: '4k' }, { aspect_ratio: '16:9' }, { image_size: '4K' }]) {
      expect(asked({ parameters, unknown })).toMatchObject({ size: undefined, quality: undefined });
    }
    expect(asked({ parameters, unknown: { negative_prompt: 'fog' } })).toMatchObject(parameters);
  });

  it.each([
    [{ steps: 40 }, 40],
    [{ num_inference_steps: '30' }, 30],
    [{ steps: 4, num_steps: 12.5 }, 13],
    [{ steps: 'many' }, undefined],
    [{ steps: -1 }, undefined],
    [{ steps: null }, undefined],
  ])('has the steps of %j', (unknown, steps) => {
    expect(asked({ unknown }).steps).toBe(steps);
  });
});
