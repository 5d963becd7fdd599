/** A lake below snowy peaks; in winter, everything under snow. */
import { fillDisc } from '../art/canvas.ts';
import { mix } from '../art/colour.ts';
import { paintConifer, paintGrass, plantConifers } from '../art/plants.ts';
import { paintBirds, paintSky } from '../art/sky.ts';
import { hillLine, landColour, paintLand, paintMountains, peakRange } from '../art/terrain.ts';
import { paintWater } from '../art/water.ts';
import type { Colour } from '../art/colour.ts';
import type { Studio } from '../art/studio.ts';

const white: Colour = [250, 252, 255];

export function paintMountainLake(studio: Studio): void {
  const { height, unit, palette, detail, scene } = studio;
  const random = studio.randomFor('mountains');
  const shore = height * (0.66 + random() * 0.06);
  const horizon = shore - unit * 0.03;
  const winter = scene.motif === 'winter';
  paintSky(studio, horizon, 0.35 + random() * 0.3);
  const haze = mix(palette.horizon, palette.glow, 0.25);
  const main = peakRange(studio, {
    base: horizon - unit * 0.06,
    relief: unit * 0.4,
    frequency: 2.3,
    octaves: detail.octaves + 1,
    row: 2,
  });
  const back = peakRange(studio, {
    base: horizon - unit * 0.13,
    relief: unit * 0.24,
    frequency: 3.4,
    octaves: detail.octaves + 1,
    row: 1,
  });
  paintMountains(studio, back, {
    rock: mix(palette.far, haze, 0.35),
    snow: mix(white, haze, 0.35),
    haze,
    snowCover: winter ? 0.8 : 0.5,
    depth: unit * 0.4,
    bottom: shore,
    hiddenBy: main.line,
    hazeAmount: 0.4,
  });
  paintMountains(studio, main, {
    rock: mix(mix(palette.far, palette.near, 0.35), palette.glow, 0.22),
    snow: mix(white, palette.glow, scene.time === 'day' ? 0.1 : 0.35),
    haze,
    snowCover: winter ? 0.7 : 0.4,
    depth: unit * 0.48,
    bottom: shore,
    hazeAmount: 0.06,
  });
  for (const row of [0, 1]) {
    const bare = landColour(studio, 0.35 + row * 0.35);
    const colour = winter ? mix(bare, white, 0.55) : bare;
    const line = hillLine(studio, {
      base: shore - unit * (0.055 - row * 0.035),
      relief: unit * 0.05,
      frequency: 1.7,
      octaves: 3,
      row: 3 + row,
    });
    paintLand(studio, line, {
      crest: colour,
      foot: mix(colour, haze, 0.45),
      depth: unit * 0.1,
      bottom: shore,
      texture: 0.08,
    });
    plantConifers(studio, line, {
      part: `shore ${row}`,
      count: 70,
      height: unit * (0.028 + row * 0.018),
      colour: mix(landColour(studio, 0.55 + row * 0.3), palette.ink, 0.3 + 0.25 * row),
      limit: shore,
    });
  }
  const deep = mix(palette.ink, palette.zenith, 0.55);
  paintWater(studio, { top: shore, bottom: height, deep, roughness: 0.18, glitter: false });
  paintBank(studio, winter);
  paintBirds(studio, horizon);
  if (winter) paintSnowfall(studio);
}

/** The near bank, with tall trees that frame the view. */
function paintBank(studio: Studio, winter: boolean): void {
  const { height, width, unit, palette, detail } = studio;
  const random = studio.randomFor('bank');
  const side = random() < 0.5 ? -1 : 1;
  const line = hillLine(studio, {
    base: height - unit * 0.03,
    relief: unit * 0.035,
    frequency: 1.4,
    octaves: 3,
    row: 9,
  });
  for (let x = 0; x < width; x++) {
    const edge = Math.abs(x / width - 0.5) * 2;
    const lift = edge ** 3 * (Math.sign(x - width / 2) === side ? 0.13 : 0.06);
    line[x] = (line[x] ?? 0) - lift * unit;
  }
  const ground = winter ? mix(white, palette.cloudShade, 0.3) : palette.ink;
  paintLand(studio, line, {
    crest: mix(ground, palette.near, winter ? 0 : 0.35),
    foot: mix(ground, palette.ink, winter ? 0.25 : 1),
    depth: unit * 0.16,
    bottom: height,
    texture: winter ? 0.03 : 0.16,
  });
  const trees = Math.round(7 + 5 * Math.min(1.3, detail.density));
  for (let tree = 0; tree < trees; tree++) {
    const strong = tree % 3 !== 0;
    const onRight = (strong ? side : -side) > 0;
    const inwards = random() ** 1.4 * unit * (strong ? 0.36 : 0.2) - unit * 0.02;
    const x = onRight ? width - inwards : inwards;
    const column = Math.min(width - 1, Math.max(0, Math.round(x)));
    const tall = unit * (strong ? 0.2 + random() * 0.26 : 0.14 + random() * 0.12);
    const colour = mix(palette.ink, palette.near, random() * 0.3);
    const snow = winter ? mix(white, palette.cloudShade, 0.2) : undefined;
    paintConifer(studio, { x, y: (line[column] ?? height) + unit * 0.012, height: tall, colour, snow }, random);
  }
  if (winter) return;
  const grass = { line, height: unit * 0.035, reach: 0.7, colour: palette.ink, lit: palette.near, count: 260 };
  paintGrass(studio, grass, random);
}

function paintSnowfall(studio: Studio): void {
  const { width, height, unit, detail, subjectOnly } = studio;
  if (subjectOnly) return;
  const random = studio.randomFor('snowfall');
  const flakes = Math.round(((width * height) / unit ** 2) * 380 * detail.density);
  for (let flake = 0; flake < flakes; flake++) {
    const near = random() ** 4;
    const radius = unit * (0.0012 + 0.004 * near);
    const disc = { x: random() * width, y: random() * height, radius, softness: Math.max(1, radius * (0.6 + near)) };
    fillDisc(studio, disc, white, 0.75 - 0.35 * near);
  }
}
