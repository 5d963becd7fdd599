/** What every part of a scene needs to paint itself. */
import { createNoise, createRandom, hashText, scatter } from './noise.ts';
import type { Noise, Random } from './noise.ts';
import type { Raster } from '../raster.ts';
import type { Palette, Scene } from '../scene.ts';

export const paintQualities = ['low', 'medium', 'high'] as const;
export type PaintQuality = (typeof paintQualities)[number];

/** How finely a scene is painted. The composition does not depend on it. */
export interface Detail {
  /** Layers of noise: how much there is to see from near by. */
  readonly octaves: number;
  /** Scan lines a row when a shape is filled; 1 leaves hard edges. */
  readonly samples: number;
  /** How many trees, stars, windows there are, in relation to the ordinary. */
  readonly density: number;
  /** Pixels between two points at which slow fields such as clouds are computed; between them they are interpolated. */
  readonly fieldStep: number;
  /** Strength of the film grain, in steps of 255. */
  readonly grain: number;
}

export const details: Readonly<Record<PaintQuality, Detail>> = {
  low: { octaves: 2, samples: 1, density: 0.4, fieldStep: 8, grain: 0 },
  medium: { octaves: 4, samples: 4, density: 1, fieldStep: 4, grain: 0 },
  high: { octaves: 6, samples: 8, density: 1.7, fieldStep: 2, grain: 5 },
};

export interface Studio extends Raster {
  readonly scene: Scene;
  readonly palette: Palette;
  readonly detail: Detail;
  readonly noise: Noise;
  /** The shorter side in pixels: what sizes are measured in, so that a scene looks the same at every size. */
  readonly unit: number;
  /** Whether only the subject is painted, on nothing. */
  readonly subjectOnly: boolean;
  /** The sun or moon, in pixels. */
  readonly light: { readonly x: number; readonly y: number; readonly radius: number };
  /** A grain without any form, from -1 to 1: what sand and grass look like from here. 0 at the lowest quality. */
  speckle(x: number, y: number): number;
  /** Chance for one part of the scene: the same name gives the same numbers, whatever other parts have used. */
  randomFor(part: string): Random;
}

export function openStudio(raster: Raster, scene: Scene, detail: Detail, subjectOnly: boolean): Studio {
  const { width, height } = raster;
  const unit = Math.min(width, height);
  const randomFor = (part: string): Random => createRandom(scatter(scene.seed ^ hashText(part)));
  const speckles = new Float32Array(speckleSide * speckleSide);
  if (detail.octaves > 2) {
    const chance = randomFor('speckle');
    for (let at = 0; at < speckles.length; at++) speckles[at] = chance() + chance() - 1;
  }
  const random = randomFor('light');
  const heights = { dawn: 0.4, day: 0.17, sunset: 0.42, night: 0.2 };
  const x = random() < 0.5 ? 0.2 + random() * 0.2 : 0.6 + random() * 0.2;
  const y = heights[scene.time] + (random() - 0.5) * 0.08;
  const radius = scene.time === 'day' ? 0.045 : 0.06 + random() * 0.03;
  return {
    ...raster,
    scene,
    palette: scene.palette,
    detail,
    noise: createNoise(scene.seed),
    unit,
    subjectOnly,
    light: { x: x * width, y: y * height, radius: radius * unit },
    speckle: (px, py) => speckles[(py % speckleSide) * speckleSide + (px % speckleSide)] ?? 0,
    randomFor,
  };
}

/** A prime, so that the repetition does not line up with anything. */
const speckleSide = 251;

/** A slow field, computed at every `step`th pixel of the given area. */
export interface Field {
  /** The value for a pixel, interpolated. */
  at(x: number, y: number): number;
}

/** @param rows the first row of pixels that will be asked for, and the one after the last */
export function createField(
  width: number,
  rows: readonly [top: number, bottom: number],
  step: number,
  value: (x: number, y: number) => number,
): Field {
  const top = Math.floor(Math.max(0, rows[0]) / step);
  const columns = Math.ceil(width / step) + 2;
  const lines = Math.max(2, Math.ceil(rows[1] / step) - top + 2);
  const values = new Float32Array(columns * lines);
  for (let line = 0; line < lines; line++) {
    for (let column = 0; column < columns; column++) {
      values[line * columns + column] = value(column * step, (top + line) * step);
    }
  }
  const scale = 1 / step;
  return {
    at(x, y) {
      const u = x < 0 ? 0 : x * scale;
      const v = y * scale < top ? 0 : y * scale - top;
      const column = u < columns - 2 ? Math.floor(u) : columns - 2;
      const line = v < lines - 2 ? Math.floor(v) : lines - 2;
      const dx = u - column > 1 ? 1 : u - column;
      const dy = v - line > 1 ? 1 : v - line;
      const from = line * columns + column;
      const topLeft = values[from] ?? 0;
      const bottomLeft = values[from + columns] ?? 0;
      const upper = topLeft + ((values[from + 1] ?? 0) - topLeft) * dx;
      return upper + (bottomLeft + ((values[from + columns + 1] ?? 0) - bottomLeft) * dx - upper) * dy;
    },
  };
}

/** 0 below `from`, 1 above `to`, and smooth between them. */
export function smoothStep(from: number, to: number, value: number): number {
  const part = Math.min(1, Math.max(0, (value - from) / (to - from)));
  return part * part * (3 - 2 * part);
}

/**
 * A fixed pattern from -0.5 to 0.5 (Bayer's 8×8 matrix). Added before rounding, it keeps long gradients from falling
 * into bands.
 */
export function dither(x: number, y: number): number {
  return bayer[((y & 7) << 3) | (x & 7)] ?? 0;
}

const bayer = new Float32Array(64).map((_, at) => {
  const x = at & 7;
  const y = at >> 3;
  let value = 0;
  for (let bit = 0; bit < 3; bit++) {
    const column = (x >> bit) & 1;
    const line = (y >> bit) & 1;
    value |= (((column ^ line) << 1) | line) << (2 * (2 - bit));
  }
  return (value + 0.5) / 64 - 0.5;
});
