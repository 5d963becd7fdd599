/** Land: ranges of mountains and hills, each one line across the picture with something to see below it. */
import { fillBelow } from './canvas.ts';
import { mix, ramp, rampAt } from './colour.ts';
import { createField, smoothStep } from './studio.ts';
import type { Colour } from './colour.ts';
import type { Studio } from './studio.ts';

/** Land gets bluer and paler the further away it is: 0 for the horizon, 1 for here. */
export function landColour({ palette }: Studio, nearness: number): Colour {
  return mix(mix(palette.horizon, palette.far, 0.75), palette.near, nearness);
}

export interface LineOptions {
  /** Height of the middle of the line, in pixels from the top. */
  readonly base: number;
  /** How far the line goes up and down, in pixels. */
  readonly relief: number;
  /** Bumps in the width of one unit. */
  readonly frequency: number;
  readonly octaves: number;
  /** Tells lines of the same scene apart. */
  readonly row: number;
}

/** Soft hills: the height for each column, in pixels from the top. */
export function hillLine(studio: Studio, options: LineOptions): Float32Array {
  const { width, unit, noise } = studio;
  const { base, relief, frequency, octaves, row } = options;
  const along = row * 13.7 + (studio.scene.seed % 89);
  const line = new Float32Array(width);
  for (let x = 0; x < width; x++) {
    const u = ((x - width / 2) / unit) * frequency + along;
    line[x] = base - noise.layered(u, along * 0.37, octaves) * relief;
  }
  return line;
}

/** A range of mountains. */
export interface Range {
  /** The height for each column, in pixels from the top. */
  readonly line: Float32Array;
  /** The column of the peak that each column belongs to. */
  readonly peakOf: Float32Array;
}

/** Sharp peaks of different heights, with jagged crests. `relief` is how far the highest can rise over `base`. */
export function peakRange(studio: Studio, options: LineOptions): Range {
  const { width, unit, noise } = studio;
  const { base, relief, frequency, octaves, row } = options;
  const random = studio.randomFor(`range ${row}`);
  const spacing = unit / frequency;
  const peaks: { readonly x: number; readonly rise: number; readonly slope: number }[] = [];
  const offset = (width / 2) % spacing;
  for (let x = offset - 2 * spacing; x < width + 2 * spacing; x += spacing) {
    peaks.push({
      x: x + (random() - 0.5) * spacing * 0.8,
      rise: relief * (0.3 + 0.7 * random()),
      slope: 0.55 + random() * 0.45,
    });
  }
  const line = new Float32Array(width);
  const peakOf = new Float32Array(width);
  for (let x = 0; x < width; x++) {
    const u = (x / unit) * 7;
    const jag = (noise.layered(u, row * 5.3, octaves) * 0.11 + noise.at(u * 0.35, row * 2.1) * 0.1) * relief;
    let highest = -Infinity;
    for (const peak of peaks) {
      const rise = peak.rise - Math.abs(x - peak.x) * peak.slope;
      if (rise <= highest) continue;
      highest = rise;
      peakOf[x] = peak.x;
    }
    line[x] = base - Math.max(highest, -relief * 0.2) - jag;
  }
  return { line, peakOf };
}

export interface LandOptions {
  /** Colours from the crest down to where mist lies. */
  readonly crest: Colour;
  readonly foot: Colour;
  /** Pixels from crest to foot. */
  readonly depth: number;
  /** First row that is left alone. */
  readonly bottom: number;
  readonly hiddenBy?: Float32Array | undefined;
  /** How strongly the ground is uneven, from 0 to 1. */
  readonly texture: number;
}

/** Land of one colour that fades towards its foot. */
export function paintLand(studio: Studio, line: Float32Array, options: LandOptions): void {
  const { detail, unit, width, height, noise } = studio;
  const { depth, texture, bottom, hiddenBy } = options;
  const size = unit * 0.03;
  const rows: [number, number] = [line.reduce((top, y) => Math.min(top, y), height), Math.min(bottom, height)];
  const uneven = createField(width, rows, detail.fieldStep * 2, (x, y) => noise.layered(x / size, (y * 2) / size, 2));
  const colours = ramp([
    [0, options.crest],
    [1, options.foot],
  ]);
  fillBelow(
    studio,
    line,
    function landAt(x, y, below, out) {
      const from = rampAt(below / depth);
      const light = texture === 0 ? 1 : 1 + texture * (uneven.at(x, y) + 0.3 * studio.speckle(x, y));
      out[0] = (colours[from] ?? 0) * light;
      out[1] = (colours[from + 1] ?? 0) * light;
      out[2] = (colours[from + 2] ?? 0) * light;
    },
    { samples: detail.samples, bottom, hiddenBy },
  );
}

export interface MountainOptions {
  readonly rock: Colour;
  readonly snow: Colour;
  readonly haze: Colour;
  /** How far down the snow lies: 0 for none, 1 for all the way. */
  readonly snowCover: number;
  /** Pixels from the highest peak to the foot. */
  readonly depth: number;
  readonly bottom: number;
  readonly hiddenBy?: Float32Array | undefined;
  /** How much of the haze has come up, from 0 to 1. */
  readonly hazeAmount: number;
}

/** Mountains with faces towards and away from the light, and snow where it is high enough. */
export function paintMountains(studio: Studio, range: Range, options: MountainOptions): void {
  const { unit, noise, detail, light, width } = studio;
  const { rock, snow, haze, snowCover, depth, bottom, hazeAmount, hiddenBy } = options;
  const { line, peakOf } = range;
  let peak = Infinity;
  for (const y of line) peak = Math.min(peak, y);
  const side = light.x > width / 2 ? 1 : -1;
  const size = unit * 0.085;
  // Gullies run down and away from the crest.
  const rough = createField(
    width,
    [peak - unit * 0.02, bottom],
    Math.ceil(detail.fieldStep / 2) + 1,
    function roughAt(x, y) {
      return noise.layered((x + (y - peak) * 0.35 * side) / size, (y * 0.55) / size, detail.octaves);
    },
  );
  const dark = mix(rock, [14, 16, 44], 0.5);
  const snowShade = mix(snow, mix(haze, [64, 84, 160], 0.55), 0.6);
  const step = unit * 0.007;
  fillBelow(
    studio,
    line,
    function mountainAt(x, y, below, out) {
      const here = rough.at(x, y);
      const slope = (here - rough.at(x + step * side, y - step * 0.6)) * 2.2;
      // The edge between two faces, and the valley between two mountains, wind on their way down.
      const winding = here * 0.7 * below;
      const column = Math.min(width - 1, Math.max(0, Math.round(x + winding)));
      const face = smoothStep(-0.03, 0.03, ((column - (peakOf[column] ?? 0)) * side) / unit);
      const low = (y - peak) / depth;
      const lit = Math.min(1, Math.max(0, 0.32 + (face - 0.35) * (0.68 - 0.5 * low) + slope));
      const lies = smoothStep(0.045, -0.045, low - snowCover + here * 0.34 + (1 - face) * 0.05);
      const mist = hazeAmount + smoothStep(0.2, 1.1, low) * (1 - hazeAmount);
      const red = shadeOf(dark[0], rock[0], snowShade[0], snow[0], lit, lies);
      const green = shadeOf(dark[1], rock[1], snowShade[1], snow[1], lit, lies);
      const blue = shadeOf(dark[2], rock[2], snowShade[2], snow[2], lit, lies);
      out[0] = red + (haze[0] - red) * mist;
      out[1] = green + (haze[1] - green) * mist;
      out[2] = blue + (haze[2] - blue) * mist;
    },
    { samples: detail.samples, bottom, hiddenBy },
  );
}

/** Rock or snow, each dark or lit. */
function shadeOf(dark: number, rock: number, shade: number, snow: number, lit: number, lies: number): number {
  const stone = dark + (rock - dark) * lit;
  return stone + (shade + (snow - shade) * lit - stone) * lies;
}
