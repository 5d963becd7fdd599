/** Trees and grass, as shapes against the light. */
import { fillDisc, fillOutline } from './canvas.ts';
import { curve, strokeOutline } from './outline.ts';
import { adjust, mix } from './colour.ts';
import type { Colour } from './colour.ts';
import type { Random } from './noise.ts';
import type { Studio } from './studio.ts';

export interface Plant {
  /** Where it stands, in pixels. */
  readonly x: number;
  readonly y: number;
  readonly height: number;
  readonly colour: Colour;
  /** What its foot fades into, if it stands in mist. */
  readonly mist?: Colour | undefined;
  /** Snow on the branches. */
  readonly snow?: Colour | undefined;
}

export function paintConifer(studio: Studio, plant: Plant, random: Random): void {
  const { x, y, height, colour, mist, snow } = plant;
  const { samples } = studio.detail;
  const tiers = 6 + Math.floor(random() * 4);
  const spread = height * (0.17 + random() * 0.06);
  const left: number[] = [];
  const right: number[] = [];
  for (let tier = 0; tier < tiers; tier++) {
    const part = (tier + 1) / tiers;
    const reach = spread * part ** 0.85;
    const at = y - height + height * 0.94 * part;
    const back = at - (height * 0.3) / tiers;
    right.push(x + reach * (0.85 + random() * 0.3), at + random() * height * 0.02, x + reach * 0.42, back);
    left.push(x - reach * (0.85 + random() * 0.3), at + random() * height * 0.02, x - reach * 0.42, back);
  }
  const outline = [x, y - height, ...right, x + height * 0.015, y, x - height * 0.015, y, ...reversed(left)];
  const shade =
    mist === undefined
      ? colour
      : function fadeIntoMist(_px: number, py: number, out: Float32Array): void {
          const part = Math.max(0, Math.min(1, 1 - (y - py) / height)) ** 1.6 * 0.8;
          for (let channel = 0; channel < 3; channel++) {
            const dark = colour[channel] ?? 0;
            out[channel] = dark + ((mist[channel] ?? 0) - dark) * part;
          }
        };
  fillOutline(studio, outline, shade, { samples });
  if (snow === undefined) return;
  for (let tier = 0; tier < tiers - 1; tier++) {
    const part = (tier + 1) / tiers;
    const reach = spread * part ** 0.85 * 0.85;
    const at = y - height + height * 0.94 * part;
    const side = random() < 0.5 ? -1 : 1;
    const tuft = curve(
      [x - reach * 0.3 * side, at - height * 0.06],
      [x + reach * 0.4 * side, at - height * 0.05],
      [x + reach * side, at - height * 0.002],
    );
    fillOutline(studio, strokeOutline(tuft, height * 0.03, height * 0.012), snow, { samples, alpha: 0.9 });
  }
}

/** Pairs of coordinates in the opposite order. */
function reversed(points: readonly number[]): number[] {
  const result: number[] = [];
  for (let at = points.length - 2; at >= 0; at -= 2) result.push(points[at] ?? 0, points[at + 1] ?? 0);
  return result;
}

export interface BroadleafOptions extends Plant {
  readonly lit: Colour;
}

/** A round tree: a trunk, and a crown of many small discs, lighter towards the light. */
export function paintBroadleaf(studio: Studio, tree: BroadleafOptions, random: Random): void {
  const { x, y, height, colour, lit } = tree;
  const { samples, density } = studio.detail;
  const lean = (random() - 0.5) * height * 0.08;
  const trunk = curve([x, y], [x, y - height * 0.3], [x + lean, y - height * 0.55], 6);
  fillOutline(studio, strokeOutline(trunk, height * 0.075, height * 0.035), mix(colour, [20, 12, 10], 0.5), {
    samples,
  });
  const side = studio.light.x > x ? 1 : -1;
  const leaves = Math.round(Math.min(260, 50 + height * 1.1) * Math.min(1.4, 0.5 + density / 2));
  for (let leaf = 0; leaf < leaves; leaf++) {
    const angle = random() * Math.PI * 2;
    const order = leaf / leaves;
    const distance = random() ** 0.6 * (0.72 + 0.28 * order);
    const u = Math.cos(angle) * distance;
    const v = Math.sin(angle) * distance * (Math.sin(angle) > 0 ? 0.75 : 1);
    const shine = 0.36 + 0.34 * u * side - 0.46 * v + (random() - 0.5) * 0.3;
    const brightness = Math.max(0, Math.min(1, shine)) * Math.min(1, order * 1.6);
    const radius = height * (0.15 - 0.125 * order ** 0.7) * (0.7 + random() * 0.5);
    fillDisc(
      studio,
      {
        x: x + lean + u * height * 0.27,
        y: y - height * 0.64 + v * height * 0.3,
        radius,
        softness: samples === 1 ? 0.01 : 1.2,
      },
      mix(colour, lit, brightness),
    );
  }
}

export interface GrassOptions {
  /** Where the blades are rooted, for each column. */
  readonly line: Float32Array;
  readonly height: number;
  /** How far down blades grow, in heights of one. */
  readonly reach: number;
  readonly colour: Colour;
  readonly lit: Colour;
  /** Blades in the width of one unit. */
  readonly count: number;
}

export function paintGrass(studio: Studio, options: GrassOptions, random: Random): void {
  const { width, unit, detail } = studio;
  const { line, height, colour, lit, reach } = options;
  const blades = Math.round((options.count * width * detail.density) / unit);
  for (let blade = 0; blade < blades; blade++) {
    const x = random() * width;
    const depth = blade / blades;
    const y = (line[Math.min(width - 1, Math.floor(x))] ?? 0) + depth * depth * height * reach;
    const length = height * (0.35 + random() * 0.55) * (0.6 + 0.7 * depth);
    const bend = (random() - 0.4) * length * 0.6;
    const points = curve([x, y], [x, y - length * 0.6], [x + bend, y - length], 5);
    fillOutline(studio, strokeOutline(points, height * 0.05, height * 0.008), mix(colour, lit, random() * 0.6), detail);
  }
}

/** A tall cactus with two arms. */
export function paintCactus(studio: Studio, plant: Plant, random: Random): void {
  const { x, y, height, colour } = plant;
  const { samples } = studio.detail;
  const thickness = height * 0.13;
  const parts = [[x, y, x, y - height]];
  for (const side of [-1, 1]) {
    const from = y - height * (0.3 + random() * 0.25);
    const out = x + side * height * (0.2 + random() * 0.06);
    const tip = from - height * (0.2 + random() * 0.16);
    parts.push([x, from, x + (out - x) * 0.7, from, out, from - height * 0.05, out, from - height * 0.1, out, tip]);
  }
  for (const [index, part] of parts.entries()) {
    const wide = index === 0 ? thickness : thickness * 0.68;
    fillOutline(studio, strokeOutline(part, wide, wide), colour, { samples });
    const [tipX, tipY] = part.slice(-2);
    const softness = samples === 1 ? 0.01 : 1;
    fillDisc(studio, { x: tipX ?? x, y: tipY ?? y, radius: wide / 2, softness }, colour);
  }
}

export interface PlantingOptions {
  /** Tells plantings of the same scene apart. */
  readonly part: string;
  /** Trees in the width of one unit. */
  readonly count: number;
  readonly height: number;
  readonly colour: Colour;
  readonly mist?: Colour;
  /** No tree stands lower than this, in pixels from the top. */
  readonly limit: number;
}

/** Firs in groups along the crest of a hill. */
export function plantConifers(studio: Studio, line: Float32Array, options: PlantingOptions): void {
  const { width, unit, noise, detail } = studio;
  const random = studio.randomFor(options.part);
  const trees = Math.round((options.count * width * Math.min(1.2, detail.density)) / unit);
  for (let tree = 0; tree < trees; tree++) {
    const x = random() * width;
    const size = 0.55 + random() * 0.6;
    const colour = adjust(options.colour, { lightness: 0.92 + random() * 0.16 });
    if (noise.at((x / unit) * 3.1 + options.count, 4.2) < -0.15) continue;
    const y = Math.min(options.limit, (line[Math.floor(x)] ?? 0) + options.height * 0.2);
    paintConifer(studio, { x, y, height: options.height * size, colour, mist: options.mist }, random);
  }
}
