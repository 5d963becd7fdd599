/** Open water with islands far off, a sail, and a beach to stand on. */
import { fillBelow, fillOutline } from '../art/canvas.ts';
import { curve, strokeOutline } from '../art/outline.ts';
import { mix } from '../art/colour.ts';
import { paintBirds, paintSky } from '../art/sky.ts';
import { hillLine, paintLand } from '../art/terrain.ts';
import { paintWater } from '../art/water.ts';
import type { Colour } from '../art/colour.ts';
import type { Studio } from '../art/studio.ts';

const white: Colour = [250, 252, 255];

export function paintSeascape(studio: Studio): void {
  const { height, width, unit, palette } = studio;
  const random = studio.randomFor('ocean');
  const horizon = Math.round(height * (0.52 + random() * 0.08));
  paintSky(studio, horizon, 0.55 + random() * 0.3);
  const haze = mix(palette.horizon, palette.glow, 0.3);
  for (const row of [0, 1]) {
    const line = hillLine(studio, {
      base: horizon + unit * 0.035,
      relief: unit * (0.15 - 0.03 * row),
      frequency: 0.9 + row * 0.5,
      octaves: 4,
      row: row + 1,
    });
    const colour = mix(palette.far, haze, 0.45 - row * 0.3);
    paintLand(studio, line, {
      crest: colour,
      foot: mix(colour, haze, 0.6),
      depth: unit * 0.12,
      bottom: horizon,
      texture: 0.05,
    });
  }
  const sail = {
    x: width * (studio.light.x > width / 2 ? 0.26 + random() * 0.12 : 0.62 + random() * 0.12),
    y: horizon + unit * 0.012,
    size: unit * 0.13,
  };
  paintSails(studio, sail);
  const deep = mix(mix(palette.zenith, palette.sky, 0.2), palette.ink, 0.25);
  paintWater(studio, { top: horizon, bottom: height, deep, roughness: 0.85, glitter: true });
  paintHull(studio, sail);
  paintBeach(studio);
  paintBirds(studio, horizon);
}

interface Place {
  readonly x: number;
  readonly y: number;
  readonly size: number;
}

function paintSails(studio: Studio, { x, y, size }: Place): void {
  const { palette, detail } = studio;
  const top = y - size;
  const main = curve([x, top], [x + size * 0.42, y - size * 0.45], [x + size * 0.44, y - size * 0.14]);
  const jib = curve([x, top + size * 0.08], [x - size * 0.2, y - size * 0.4], [x - size * 0.34, y - size * 0.15]);
  fillOutline(studio, [...main, x, y - size * 0.13], mix(white, palette.accent, 0.12), detail);
  fillOutline(studio, [...jib, x - size * 0.03, y - size * 0.15], palette.accent, detail);
}

function paintHull(studio: Studio, { x, y, size }: Place): void {
  const { palette, detail } = studio;
  const deck = y - size * 0.1;
  const keel = y + size * 0.05;
  const bow = curve([x + size * 0.5, deck], [x + size * 0.38, keel], [x + size * 0.2, keel], 6);
  const stern = curve([x - size * 0.25, keel], [x - size * 0.36, keel], [x - size * 0.42, deck], 6);
  fillOutline(studio, [...bow, ...stern], mix(palette.ink, palette.accent, 0.2), detail);
  const mast = strokeOutline([x, deck, x, y - size * 1.03], size * 0.022, size * 0.014);
  fillOutline(studio, mast, palette.ink, detail);
}

/** Sand, wet sand and two lines of foam, each a little further up than the other. */
function paintBeach(studio: Studio): void {
  const { width, height, unit, palette, scene, noise, detail } = studio;
  const random = studio.randomFor('beach');
  const lean = random() < 0.5 ? 1 : -1;
  const edge = hillLine(studio, {
    base: height + unit * 0.01,
    relief: unit * 0.06,
    frequency: 0.8,
    octaves: 2,
    row: 7,
  });
  for (let x = 0; x < width; x++) edge[x] = (edge[x] ?? 0) - unit * 0.13 * (0.5 + lean * (x / width - 0.5));
  const sand = mix(mix([228, 200, 156], palette.glow, 0.3), palette.ink, scene.time === 'day' ? 0.06 : 0.45);
  const foam = mix(white, palette.horizon, 0.25);
  const wet = mix(sand, mix(palette.ink, palette.sky, 0.4), 0.35);
  const layers = [
    { rise: 0.03, colour: foam, alpha: 0.3, swash: 1 },
    { rise: 0.017, colour: foam, alpha: 0.9, swash: 0.8 },
    { rise: 0.008, colour: wet, alpha: 1, swash: 0.7 },
    { rise: -0.02, colour: sand, alpha: 1, swash: 0.25 },
  ];
  for (const { rise, colour, alpha, swash } of layers) {
    const line = edge.map((y, x) => {
      const tongue = noise.layered((x / unit) * 5, rise * 60, 3) * 0.016 * swash;
      return y - unit * (rise + tongue);
    });
    const grain = colour === foam ? 0.05 : 0.06;
    fillBelow(
      studio,
      line,
      function sandAt(x, y, below, out) {
        const tone = (1 + grain * studio.speckle(x, y)) * (1 - Math.min(0.14, (below / unit) * 0.9));
        out[0] = colour[0] * tone;
        out[1] = colour[1] * tone;
        out[2] = colour[2] * tone;
      },
      { samples: detail.samples, alpha, bottom: height },
    );
  }
}
