import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { drawPicture, type Commission } from '../../../src/images/draw.ts';
import { retouchPicture } from '../../../src/images/retouch.ts';
import { planScene } from '../../../src/images/scene.ts';
import { createRaster, isOpaque, type Raster } from '../../../src/images/raster.ts';

const commission = (more: Partial<Commission> = {}): Commission => ({
  prompt: 'a lighthouse',
  seed: 0,
  index: 0,
  width: 96,
  height: 64,
  quality: 'medium',
  transparent: false,
  ...more,
});

const draw = (more: Partial<Commission> = {}): Raster => drawPicture(commission(more));
const same = (first: Raster, second: Raster): boolean => Buffer.from(first.data).equals(Buffer.from(second.data));

const motifPrompts = [
  'snowy mountains',
  'winter',
  'a forest',
  'the ocean',
  'desert dunes',
  'a meadow',
  'a city',
  'a planet',
  'flowers',
  'abstract',
];

describe('a picture from words', () => {
  it('is the same for the same words, to the last bit', () => {
    for (const prompt of motifPrompts) expect(same(draw({ prompt }), draw({ prompt }))).toBe(true);
  });

  it.each([
    ['prompts', { prompt: 'a lighthouse!' }],
    ['seeds', { seed: 7 }],
    ['pictures of one call', { index: 1 }],
    ['qualities', { quality: 'low' }],
    ['grounds', { transparent: true }],
  ] as const)('differs between %s', (_, more) => {
    expect(same(draw(), draw(more))).toBe(false);
  });

  it('can be made at every size and quality, and fills it', () => {
    const side = fc.integer({ min: 16, max: 90 });
    const quality = fc.constantFrom('low', 'medium', 'high');
    const property = fc.property(
      side,
      side,
      quality,
      fc.constantFrom(...motifPrompts),
      fc.nat(),
      function fills(...args) {
        const [width, height, chosen, prompt, seed] = args;
        const picture = draw({ width, height, quality: chosen, prompt, seed });
        expect(picture).toMatchObject({ width, height });
        expect(picture.data).toHaveLength(width * height * 4);
        expect(isOpaque(picture)).toBe(true);
      },
    );
    fc.assert(property, { numRuns: 60 });
  });

  it.each(motifPrompts)('shows the subject alone on a transparent ground: %s', (prompt) => {
    const { data } = draw({ prompt, transparent: true, width: 128, height: 128 });
    const alphas = data.filter((_, at) => at % 4 === 3);
    expect(alphas[0]).toBe(0);
    expect(alphas.filter((alpha) => alpha === 255).length).toBeGreaterThan(128 * 128 * 0.05);
  });
});

describe('a scene', () => {
  it.each([
    ['A quiet Mountain lake', 'mountains'],
    ['cute baby sea otter', 'ocean'],
    ['snow in the city, snow everywhere', 'winter'],
    ['astronauts', 'space'],
  ])('follows the words of the prompt: %s', (prompt, motif) => {
    expect(planScene(prompt, 0, 0).motif).toBe(motif);
  });

  it.each([
    ['mountains by night', 'night'],
    ['sunset over the sea', 'sunset'],
    ['misty morning', 'dawn'],
    ['a sunny noon', 'day'],
  ])('takes its light from the prompt: %s', (prompt, time) => {
    expect(planScene(prompt, 0, 0).time).toBe(time);
  });

  it('keeps its motif over seeds and indexes, and takes any text', () => {
    const property = fc.property(fc.string({ unit: 'grapheme' }), fc.nat(), fc.nat(9), function keepsMotif(...args) {
      const [prompt, seed, index] = args;
      expect(planScene(prompt, seed, index).motif).toBe(planScene(prompt, 0, 0).motif);
    });
    fc.assert(property);
  });

  it('leans towards the colours that are named', () => {
    const [, green, blue] = planScene('a red sea', 0, 0).palette.accent;
    const [red] = planScene('a red sea', 0, 0).palette.accent;
    expect(red).toBeGreaterThan(Math.max(green, blue) * 2);
  });
});

describe('an edit', () => {
  const input = draw({ prompt: 'meadow at noon' });

  it('changes the picture, and does so the same way each time', () => {
    const edit = (): Raster => retouchPicture(commission({ prompt: 'night in space' }), [input], undefined);
    expect(same(edit(), input)).toBe(false);
    expect(same(edit(), edit())).toBe(true);
  });

  it('leaves every pixel alone that the mask covers, and changes what it leaves open', () => {
    const { width, height } = input;
    const mask = createRaster(width, height);
    for (let at = 3; at < mask.data.length; at += 4) {
      const x = ((at - 3) / 4) % width;
      mask.data[at] = x < width / 2 ? 255 : 0;
    }
    const edited = retouchPicture(commission({ prompt: 'night in space' }), [input], mask);
    const halves = (raster: Raster, open: boolean): Buffer =>
      Buffer.from(raster.data.filter((_, at) => Math.floor(at / 4) % width >= width / 2 === open));
    expect(halves(edited, false).equals(halves(input, false))).toBe(true);
    expect(halves(edited, true).equals(halves(input, true))).toBe(false);
  });

  it('with a mask that is opaque everywhere changes nothing', () => {
    const mask = createRaster(input.width, input.height);
    mask.data.fill(255);
    expect(same(retouchPicture(commission({ prompt: 'night in space' }), [input], mask), input)).toBe(true);
  });

  it('shows every one of several pictures', () => {
    const other = draw({ prompt: 'ocean at sunset' });
    const both = retouchPicture(commission(), [input, other], undefined);
    expect(same(both, retouchPicture(commission(), [input], undefined))).toBe(false);
    expect(same(both, retouchPicture(commission(), [other], undefined))).toBe(false);
  });
});
