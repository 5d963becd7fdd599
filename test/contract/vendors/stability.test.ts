import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/body/byte-source.ts';
import { stability } from '../../../src/providers/stability.ts';
import { makeTargetCall, uploaded } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { stabilityFixtures } from '../../fixtures/providers/stability.ts';
import { png } from '../../fixtures/pictures.ts';
import { providerContract } from '../provider-contract.ts';

const settings = providerConfig(stability, {});
providerContract({ definition: stability, settings, fixtures: stabilityFixtures });

describe('stability', () => {
  const provider = stability.create(settings);
  const fieldsOf = (call: Parameters<typeof provider.encode>[0]): Record<string, string> => {
    const { body } = provider.encode(call).request;
    const parts = body.kind === 'multipart' ? body.parts : [];
    return Object.fromEntries(parts.flatMap((part) => (part.kind === 'field' ? [[part.name, part.value]] : [])));
  };

  it.each([
    ['core', 'generate/core'],
    ['ultra', 'generate/ultra'],
    ['generate/ultra', 'generate/ultra'],
    ['stable-image-ultra', 'generate/ultra'],
    ['sd3', 'generate/sd3'],
    ['sd3.5-medium', 'generate/sd3'],
    ['sd9-huge', 'generate/sd3'],
  ])('makes pictures with %s at %s', (model, path) => {
    expect(provider.encode(makeTargetCall({ model })).request.url).toBe(
      `https://api.stability.ai/v2beta/stable-image/${path}`,
    );
  });

  it.each([
    ['erase', 'edit/erase'],
    ['outpaint', 'edit/outpaint'],
    ['search-and-replace', 'edit/search-and-replace'],
    ['edit/search-and-recolor', 'edit/search-and-recolor'],
    ['upscale/fast', 'upscale/fast'],
    ['conservative', 'upscale/conservative'],
    ['sketch', 'control/sketch'],
  ])('edits pictures with %s at %s', (model, path) => {
    const images = [uploaded(png(), 'image/png')];
    expect(provider.encode(makeTargetCall({ model, operation: 'edition', images })).request.url).toBe(
      `https://api.stability.ai/v2beta/stable-image/${path}`,
    );
    expect(provider.capabilities(model, 'generation')).toBeUndefined();
  });

  it('names the model of the one path that has several', () => {
    expect(fieldsOf(makeTargetCall({ model: 'sd3' }))).toEqual({ prompt: 'a lighthouse' });
    expect(fieldsOf(makeTargetCall({ model: 'sd9-huge' }))['model']).toBe('sd9-huge');
  });

  it.each([
    ['1024x1024', '1:1'],
    ['1536x1024', '3:2'],
    ['1024x1536', '2:3'],
    ['1024x1792', '9:16'],
    ['21:9', '21:9'],
    ['4000x1000', '21:9'],
    ['auto', undefined],
  ])('takes the ratio nearest to %s', (size, ratio) => {
    expect(fieldsOf(makeTargetCall({ model: 'core', parameters: { size } }))['aspect_ratio']).toBe(ratio);
  });

  it('tells which tasks take a mask, and which no words', () => {
    expect(provider.capabilities('inpaint', 'edition')?.mask).toBe('white');
    expect(provider.capabilities('sd3.5-large', 'edition')?.mask).toBeUndefined();
    expect(provider.capabilities('erase', 'edition')).toMatchObject({ mask: 'white', promptOptional: true });
    expect(provider.capabilities('core', 'edition')).toBeUndefined();
    expect(provider.capabilities('constructor', 'generation')).toBeDefined();
  });

  it('leaves out a style that is none of the presets', () => {
    const call = makeTargetCall({ model: 'core', parameters: { style: 'vivid' } });
    expect(provider.encode(call).dropped).toEqual(['style']);
    expect(fieldsOf(call)).toEqual({ prompt: 'a lighthouse' });
  });

  it('asks no further after a job of which the answer says nothing', async () => {
    const call = makeTargetCall({ model: 'creative', operation: 'edition', images: [uploaded(png(), 'image/png')] });
    const { request } = provider.encode(call);
    const reply = { status: 202, headers: {}, body: bytesSource(Buffer.from('{}')) };
    await expect(provider.poll?.(reply, { call, request, state: 'a6dc6c6e' })).rejects.toMatchObject({
      code: 'upstream_invalid_response',
    });
  });
});
