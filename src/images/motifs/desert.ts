/** Dunes in low light. */
import { fillBelow } from '../art/canvas.ts';
import { mix } from '../art/colour.ts';
import { paintCactus } from '../art/plants.ts';
import { paintBirds, paintSky } from '../art/sky.ts';
import { createField, smoothStep } from '../art/studio.ts';
import { hillLine, paintLand } from '../art/terrain.ts';
import type { Colour } from '../art/colour.ts';
import type { Studio } from '../art/studio.ts';

const rows = 5;

export function paintDesert(studio: Studio): void {
  const { height, width, unit, palette, scene } = studio;
  const random = studio.randomFor('desert');
  const horizon = height * 0.58;
  paintSky(studio, horizon, 0.18);
  const haze = mix(palette.horizon, palette.glow, 0.4);
  const lines = Array.from({ length: rows }, function lineOf(_, row) {
    const near = row / (rows - 1);
    return hillLine(studio, {
      base: height * (0.585 + 0.3 * near ** 1.3),
      relief: unit * (0.05 + 0.17 * near),
      frequency: 1.5 - 0.6 * near,
      octaves: 2,
      row: row + 3,
    });
  });
  const mesas = hillLine(studio, { base: horizon, relief: unit * 0.5, frequency: 1.1, octaves: 3, row: 1 });
  // Flat tops and steep sides.
  for (let x = 0; x < width; x++)
    mesas[x] = horizon - unit * 0.1 * smoothStep(0.04, 0.1, (horizon - (mesas[x] ?? 0)) / unit);
  paintLand(studio, mesas, {
    crest: mix(palette.far, haze, 0.3),
    foot: haze,
    depth: unit * 0.13,
    bottom: height,
    hiddenBy: lines[0],
    texture: 0.05,
  });
  const sand = mix(mix([234, 172, 104], palette.glow, 0.25), palette.sky, scene.time === 'night' ? 0.72 : 0.12);
  for (const [row, line] of lines.entries()) {
    const near = row / (rows - 1);
    paintDune(studio, line, {
      lit: mix(sand, haze, 0.55 * (1 - near)),
      shade: mix(mix(sand, mix(palette.near, palette.zenith, 0.4), 0.72), haze, 0.45 * (1 - near)),
      ripple: unit * (0.004 + 0.012 * near),
      hiddenBy: lines[row + 1],
    });
    if (row !== 2 && row !== 3) continue;
    const colour = mix(palette.ink, palette.near, 0.25 * (1 - near));
    for (let cactus = 0; cactus < 3; cactus++) {
      const x = width * (0.08 + 0.84 * random());
      const tall = unit * (0.05 + 0.09 * near) * (0.7 + 0.6 * random());
      paintCactus(studio, { x, y: (line[Math.floor(x)] ?? 0) + tall * 0.06, height: tall, colour }, random);
    }
  }
  paintBirds(studio, horizon);
}

interface DuneOptions {
  readonly lit: Colour;
  readonly shade: Colour;
  /** Distance between two ripples, in pixels. */
  readonly ripple: number;
  readonly hiddenBy: Float32Array | undefined;
}

/** The side towards the light is bright, the other dark; between them the crest winds down towards us. */
function paintDune(studio: Studio, line: Float32Array, { lit, shade, ripple, hiddenBy }: DuneOptions): void {
  const { width, height, unit, noise, light, detail } = studio;
  const side = light.x > width / 2 ? 1 : -1;
  const reach = Math.max(1, Math.round(unit * 0.02));
  const bends = createField(width, [line.reduce((top, y) => Math.min(top, y), height), height], 8, (x, y) =>
    noise.layered(x / (unit * 0.35), y / (unit * 0.14), 2),
  );
  fillBelow(
    studio,
    line,
    function duneAt(x, y, below, out) {
      const bend = bends.at(x, y);
      const column = Math.round(x - side * below * 1.1 + bend * below * 0.9);
      const inside = Math.min(width - 1 - reach, Math.max(reach, column));
      const slope = (((line[inside + reach] ?? 0) - (line[inside - reach] ?? 0)) / (2 * reach)) * side;
      const face = smoothStep(-0.05, 0.06, slope + bend * 0.03);
      const wind = Math.sin((y + below * 0.4) / ripple + bend * 9) * 0.05 + studio.speckle(x, y) * 0.035;
      const bright = Math.min(1, Math.max(0, 0.1 + face * (0.72 + below / (unit * 1.6)) + wind));
      out[0] = shade[0] + (lit[0] - shade[0]) * bright;
      out[1] = shade[1] + (lit[1] - shade[1]) * bright;
      out[2] = shade[2] + (lit[2] - shade[2]) * bright;
    },
    { samples: detail.samples, bottom: height, hiddenBy },
  );
}
