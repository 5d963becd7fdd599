/** Rolling fields with round trees, a house, and flowers in the grass. */
import { fillBelow, fillDisc, fillOutline } from '../art/canvas.ts';
import { adjust, hex, mix } from '../art/colour.ts';
import { paintBroadleaf, paintGrass } from '../art/plants.ts';
import { paintBirds, paintSky } from '../art/sky.ts';
import { createField } from '../art/studio.ts';
import { hillLine, landColour, paintLand } from '../art/terrain.ts';
import type { Colour } from '../art/colour.ts';
import type { Studio } from '../art/studio.ts';

const rows = 5;
const crops: readonly Colour[] = [hex('7fa650'), hex('a8b85a'), hex('d9b95b'), hex('5f9450'), hex('8fb86a')];

export function paintMeadow(studio: Studio): void {
  const { height, width, unit, palette, scene, detail } = studio;
  const random = studio.randomFor('meadow');
  const horizon = height * 0.56;
  paintSky(studio, horizon, 0.5 + random() * 0.25);
  const haze = mix(palette.horizon, palette.glow, 0.3);
  const lines = Array.from({ length: rows }, function lineOf(_, row) {
    const near = row / (rows - 1);
    return hillLine(studio, {
      base: height * (0.57 + 0.32 * near ** 1.2),
      relief: unit * (0.09 + 0.04 * near),
      frequency: 1.1 - 0.5 * near,
      octaves: 2,
      row: row + 2,
    });
  });
  const hills = hillLine(studio, {
    base: horizon - unit * 0.06,
    relief: unit * 0.12,
    frequency: 0.9,
    octaves: 5,
    row: 1,
  });
  const hillColour = mix(palette.far, haze, 0.2);
  paintLand(studio, hills, {
    crest: hillColour,
    foot: haze,
    depth: unit * 0.2,
    bottom: height,
    hiddenBy: lines[0],
    texture: 0.04,
  });
  // Fields keep some of their own green in every light.
  const dim = { dawn: 0.4, day: 0.12, sunset: 0.55, night: 0.82 }[scene.time];
  const houseRow = 1 + Math.floor(random() * 2);
  for (const [row, line] of lines.entries()) {
    const near = row / (rows - 1);
    const crop = crops[(row + (scene.seed % crops.length)) % crops.length] ?? palette.near;
    const colour = mix(mix(crop, landColour(studio, 0.4 + 0.6 * near), dim), haze, 0.4 * (1 - near));
    paintField(studio, line, { colour, near, hiddenBy: lines[row + 1] });
    const treeColour = mix(adjust(colour, { lightness: 0.62 }), palette.ink, 0.25 + dim * 0.35);
    const lit = mix(adjust(colour, { lightness: 1.12 }), palette.glow, 0.3);
    if (row === rows - 1) {
      const green = adjust(colour, { lightness: 0.74 });
      paintGrass(studio, { line, height: unit * 0.045, reach: 4, colour: green, lit, count: 900 }, random);
      paintFlowerHeads(studio, line);
      continue;
    }
    if (row === houseRow) paintHouse(studio, line, unit * (0.045 + 0.05 * near));
    const trees = Math.round((3 + random() * 3) * (width / unit) * Math.min(1.2, 0.6 + detail.density * 0.4));
    const grove = random() * width;
    for (let tree = 0; tree < trees; tree++) {
      const x = random() < 0.5 ? random() * width : grove + (random() - 0.5) * unit * 0.25;
      const tall = unit * (0.045 + 0.11 * near) * (0.7 + random() * 0.6);
      const column = Math.min(width - 1, Math.max(0, Math.floor(x)));
      paintBroadleaf(
        studio,
        { x, y: (line[column] ?? 0) + tall * 0.05, height: tall, colour: treeColour, lit },
        random,
      );
    }
  }
  paintBirds(studio, horizon);
}

interface FieldOptions {
  readonly colour: Colour;
  /** From 0, far away, to 1. */
  readonly near: number;
  readonly hiddenBy: Float32Array | undefined;
}

/** Furrows that follow the hill, and the shadows of clouds. */
function paintField(studio: Studio, line: Float32Array, { colour, near, hiddenBy }: FieldOptions): void {
  const { unit, noise, width, height, palette, detail } = studio;
  const furrow = unit * (0.006 + 0.016 * near);
  const dark = mix(colour, palette.ink, 0.34);
  const bright = mix(colour, palette.glow, 0.3);
  const shadows = createField(width, [height * 0.4, height], 8, (x, y) =>
    noise.layered(x / (unit * 0.5) + near * 9, y / (unit * 0.14), 2),
  );
  const bends = Float32Array.from(line, (_, x) => noise.at(x / (unit * 0.3), near * 7) * 3);
  const ploughed = near < 0.9 ? 0.08 : 0.02;
  fillBelow(
    studio,
    line,
    function fieldAt(x, y, below, out) {
      const furrows = Math.sin(below / furrow + (bends[x] ?? 0)) * ploughed;
      const light = 0.68 - (below / unit) * 1.5 + shadows.at(x, y) * 0.4 + furrows + studio.speckle(x, y) * 0.09;
      const tone = light < 0 ? 0 : light > 1 ? 1 : light;
      out[0] = dark[0] + (bright[0] - dark[0]) * tone;
      out[1] = dark[1] + (bright[1] - dark[1]) * tone;
      out[2] = dark[2] + (bright[2] - dark[2]) * tone;
    },
    { samples: detail.samples, bottom: height, hiddenBy },
  );
}

function paintHouse(studio: Studio, line: Float32Array, size: number): void {
  const { width, palette, detail, scene } = studio;
  const random = studio.randomFor('house');
  const x = width * (0.2 + 0.6 * random());
  const y = (line[Math.floor(x)] ?? 0) + size * 0.12;
  const dim = scene.time === 'night' ? 0.6 : scene.time === 'day' ? 0 : 0.25;
  const wall = mix([246, 238, 224], palette.ink, dim);
  const shaded = mix(wall, palette.far, 0.35);
  const roof = mix(mix([186, 76, 56], palette.accent, 0.25), palette.ink, dim * 0.8);
  const left = x - size * 0.7;
  const right = x + size * 0.7;
  const corner = x - size * 0.1;
  const eaves = y - size * 0.62;
  const ridge = y - size * 1.12;
  const gable = (left + corner) / 2;
  fillOutline(studio, [left, y, left, eaves, gable, ridge, corner, eaves, corner, y], shaded, detail);
  fillOutline(studio, [corner, y, corner, eaves, right, eaves, right, y], wall, detail);
  const over = size * 0.06;
  fillOutline(
    studio,
    [
      gable,
      ridge - over,
      right - size * 0.1,
      ridge - over,
      right + over,
      eaves + over,
      corner - over * 0.2,
      eaves + over,
    ],
    roof,
    detail,
  );
  const pane = scene.time === 'day' ? mix(palette.far, palette.ink, 0.5) : hex('ffd98a');
  for (const at of [0.2, 0.55]) {
    const from = corner + (right - corner) * at;
    const low = y - size * 0.2;
    const high = y - size * 0.45;
    fillOutline(studio, [from, low, from, high, from + size * 0.16, high, from + size * 0.16, low], pane, detail);
  }
}

function paintFlowerHeads(studio: Studio, line: Float32Array): void {
  const { width, unit, palette, detail, height } = studio;
  const random = studio.randomFor('flower heads');
  const colours = [palette.accent, hex('ffffff'), hex('f7d154'), mix(palette.accent, hex('b04bd0'), 0.5)];
  const heads = Math.round((width / unit) * 170 * Math.min(1.5, detail.density));
  for (let head = 0; head < heads; head++) {
    const x = random() * width;
    const depth = random();
    const top = line[Math.floor(x)] ?? 0;
    const y = top + (height - top) * depth ** 1.4;
    const radius = unit * (0.0022 + 0.0062 * depth) * (0.7 + random() * 0.6);
    const colour = colours[Math.floor(random() * colours.length)] ?? palette.accent;
    const dim = studio.scene.time === 'night' ? 0.5 : 0.1;
    fillDisc(studio, { x, y, radius, softness: detail.samples === 1 ? 0.01 : 1 }, mix(colour, palette.ink, dim));
  }
}
