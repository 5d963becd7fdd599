/** A bunch of blossoms before a blurred garden. */
import { addGlow, fillDisc, fillOutline } from '../art/canvas.ts';
import { curve, strokeOutline } from '../art/outline.ts';
import { adjust, hex, mix, ramp, rampAt } from '../art/colour.ts';
import { createField, dither } from '../art/studio.ts';
import type { Shader } from '../art/canvas.ts';
import type { Colour } from '../art/colour.ts';
import type { Random } from '../art/noise.ts';
import type { Studio } from '../art/studio.ts';

export function paintFlowers(studio: Studio): void {
  const { width, height, unit, palette, subjectOnly, detail } = studio;
  if (!subjectOnly) paintBlurredGarden(studio);
  const random = studio.randomFor('flowers');
  const green = mix(mix(hex('4f8a4a'), palette.near, 0.45), palette.ink, 0.12);
  const blossoms = 7 + Math.floor(random() * 3);
  const rootX = width * (0.46 + random() * 0.08);
  const rootY = height + unit * 0.06;
  const heads: Blossom[] = [];
  for (let index = 0; index < blossoms; index++) {
    const spread = index / (blossoms - 1) - 0.5;
    const x = rootX + spread * unit * 0.66 + (random() - 0.5) * unit * 0.06;
    const y = height / 2 - unit * (0.2 - Math.abs(spread) * 0.3) + (random() - 0.35) * unit * 0.3;
    const colour = blossomColour(studio, random);
    const near = random();
    heads.push({ x, y, radius: unit * (0.075 + 0.055 * near), colour, near, form: Math.floor(random() * 3) });
  }
  heads.sort((first, second) => first.near - second.near);
  for (const head of heads) {
    const bend = (head.x - rootX) * 0.25;
    const stem = curve(
      [rootX + (head.x - rootX) * 0.18, rootY],
      [head.x - bend, (head.y + rootY) / 2],
      [head.x, head.y],
      20,
    );
    const shade = mix(green, palette.zenith, 0.35 * (1 - head.near));
    fillOutline(studio, strokeOutline(stem, unit * 0.013, unit * 0.007), shade, detail);
    for (const at of [12, 16, 22, 28]) {
      const x = stem[at] ?? 0;
      const y = stem[at + 1] ?? 0;
      paintLeaf(
        studio,
        { x, y, angle: (random() < 0.5 ? -1 : 1) * (0.5 + random() * 0.6), length: unit * (0.1 + 0.07 * random()) },
        shade,
      );
    }
  }
  for (const head of heads) paintBlossom(studio, head, random);
}

function blossomColour({ palette, scene }: Studio, random: Random): Colour {
  const choices = [
    palette.accent,
    mix(palette.accent, [255, 255, 255], 0.45),
    adjust(palette.accent, { turn: 0.6 }),
    hex('f6c445'),
    mix(palette.accent, palette.sky, 0.5),
  ];
  const colour = choices[Math.floor(random() * choices.length)] ?? palette.accent;
  return scene.time === 'night' ? mix(colour, palette.sky, 0.3) : colour;
}

/** What a lens makes of a garden far out of focus. */
function paintBlurredGarden(studio: Studio): void {
  const { data, width, height, unit, noise, palette, detail } = studio;
  const random = studio.randomFor('garden');
  const colours = ramp([
    [0, mix(palette.sky, palette.horizon, 0.35)],
    [0.4, palette.horizon],
    [0.72, mix(mix(palette.near, hex('7fae6b'), 0.5), palette.horizon, 0.35)],
    [1, mix(palette.near, palette.ink, 0.35)],
  ]);
  const blur = createField(width, [0, height], 8, (x, y) => noise.layered(x / (unit * 0.5), y / (unit * 0.5), 2));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const from = rampAt(y / height + blur.at(x, y) * 0.28);
      const at = (y * width + x) * 4;
      const noiseHere = dither(x, y);
      data[at] = (colours[from] ?? 0) + noiseHere;
      data[at + 1] = (colours[from + 1] ?? 0) + noiseHere;
      data[at + 2] = (colours[from + 2] ?? 0) + noiseHere;
      data[at + 3] = 255;
    }
  }
  const spots = Math.round(((26 * (width * height)) / unit ** 2) * Math.min(1.4, detail.density + 0.3));
  for (let spot = 0; spot < spots; spot++) {
    const radius = unit * (0.02 + 0.06 * random());
    const disc = {
      x: random() * width,
      y: random() * height,
      radius,
      softness: detail.samples === 1 ? 0.01 : radius * 0.25,
    };
    const colour = mix(random() < 0.35 ? palette.accent : palette.glow, palette.horizon, random() * 0.6);
    fillDisc(studio, disc, colour, 0.06 + 0.14 * random());
  }
  addGlow(studio, { x: studio.light.x, y: 0, radius: unit * 0.9, strength: 0.45 }, palette.glow);
}

interface Leaf {
  readonly x: number;
  readonly y: number;
  /** From straight up, in radians. */
  readonly angle: number;
  readonly length: number;
}

function paintLeaf(studio: Studio, { x, y, angle, length }: Leaf, colour: Colour): void {
  const tipX = x + Math.sin(angle) * length;
  const tipY = y - Math.cos(angle) * length;
  const sideX = Math.cos(angle) * length * 0.24;
  const sideY = Math.sin(angle) * length * 0.24;
  const middleX = (x + tipX) / 2;
  const middleY = (y + tipY) / 2;
  const halves = [
    { side: 1, shade: mix(colour, studio.palette.glow, 0.18) },
    { side: -1, shade: mix(colour, studio.palette.ink, 0.16) },
  ];
  for (const { side, shade } of halves) {
    const edge = curve([x, y], [middleX + sideX * side * 1.6, middleY + sideY * side * 1.6], [tipX, tipY], 14);
    fillOutline(studio, edge, shade, studio.detail);
  }
}

interface Blossom {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
  readonly colour: Colour;
  /** 0 to 1. */
  readonly near: number;
  /** 0: daisy, 1: rose-like, 2: open cup. */
  readonly form: number;
}

function paintBlossom(studio: Studio, blossom: Blossom, random: Random): void {
  const { x, y, radius, form } = blossom;
  const { palette, detail } = studio;
  const rings =
    form === 0
      ? [
          { count: 17, length: 1, breadth: 0.17, lightness: 0.9 },
          { count: 15, length: 0.86, breadth: 0.16, lightness: 1 },
        ]
      : form === 1
        ? [
            { count: 8, length: 1, breadth: 0.5, lightness: 0.8 },
            { count: 7, length: 0.8, breadth: 0.46, lightness: 0.9 },
            { count: 6, length: 0.58, breadth: 0.4, lightness: 1 },
            { count: 5, length: 0.36, breadth: 0.3, lightness: 1.07 },
          ]
        : [
            { count: 6, length: 1, breadth: 0.48, lightness: 0.88 },
            { count: 5, length: 0.78, breadth: 0.44, lightness: 1 },
          ];
  const turn = random() * Math.PI;
  for (const [ring, { count, length, breadth, lightness }] of rings.entries()) {
    for (let petal = 0; petal < count; petal++) {
      const angle = turn + ring * 0.47 + (petal / count) * Math.PI * 2 + (random() - 0.5) * 0.12;
      const reach = radius * length * (0.92 + random() * 0.14);
      paintPetal(studio, blossom, {
        angle,
        reach,
        breadth: breadth * radius * length,
        lightness: lightness * (0.95 + random() * 0.1),
      });
    }
  }
  if (form === 1) return;
  const heart = form === 0 ? radius * 0.26 : radius * 0.2;
  const yolk = mix(hex('f3b52c'), palette.ink, 0.1);
  fillDisc(studio, { x, y, radius: heart, softness: detail.samples === 1 ? 0.01 : 1.5 }, mix(yolk, hex('7a3f10'), 0.4));
  const stamens = Math.round(60 * Math.min(1.4, detail.density));
  for (let stamen = 0; stamen < stamens; stamen++) {
    const angle = stamen * 2.39996;
    const distance = heart * Math.sqrt((stamen + 0.5) / stamens) * 0.95;
    const dot = {
      x: x + Math.cos(angle) * distance,
      y: y + Math.sin(angle) * distance * 0.95,
      radius: heart * 0.085,
      softness: 0.8,
    };
    fillDisc(studio, dot, mix(yolk, [255, 244, 190], 0.2 + 0.6 * random()));
  }
}

interface Petal {
  readonly angle: number;
  /** From the heart to the tip, in pixels. */
  readonly reach: number;
  readonly breadth: number;
  readonly lightness: number;
}

function paintPetal(studio: Studio, { x, y, colour, near }: Blossom, petal: Petal): void {
  const { palette, detail } = studio;
  const { angle, reach, breadth, lightness } = petal;
  const outX = Math.cos(angle);
  // Blossoms are seen a little from above.
  const outY = Math.sin(angle) * 0.9;
  const point = (along: number, aside: number): [number, number] => [
    x + outX * reach * along - outY * breadth * aside,
    y + outY * reach * along + outX * breadth * aside,
  ];
  const tip = point(1, 0);
  const outline = [
    ...curve(point(0, 0), point(0.45, 1.15), point(0.86, 0.62), 8),
    ...curve(point(0.86, 0.62), point(1.02, 0.4), tip, 4),
    ...curve(tip, point(1.02, -0.4), point(0.86, -0.62), 4),
    ...curve(point(0.86, -0.62), point(0.45, -1.15), point(0, 0), 8),
  ];
  const base = mix(adjust(colour, { lightness: lightness * 0.72 }), palette.zenith, 0.12 + 0.2 * (1 - near));
  const edge = mix(adjust(colour, { lightness: lightness * 1.06 }), palette.glow, 0.16);
  const shade: Shader = function petalAt(px, py, out) {
    const along = ((px - x) * outX + (py - y) * outY) / reach;
    const aside = ((py - y) * outX - (px - x) * outY) / breadth;
    const vein = Math.sin(aside * 16) * 0.035;
    const tone = Math.min(1, Math.max(0, along ** 0.8 * 1.05 - Math.max(0, aside) * 0.28 + vein));
    for (let channel = 0; channel < 3; channel++) {
      out[channel] = (base[channel] ?? 0) + ((edge[channel] ?? 0) - (base[channel] ?? 0)) * (tone || 0);
    }
  };
  fillOutline(studio, outline, shade, detail);
}
