/** One row of firs behind the other, each paler than the one in front. */
import { mix } from '../art/colour.ts';
import { plantConifers } from '../art/plants.ts';
import { paintBirds, paintSky } from '../art/sky.ts';
import { hillLine, paintLand, peakRange } from '../art/terrain.ts';
import type { Studio } from '../art/studio.ts';

const rows = 6;

export function paintMistyForest(studio: Studio): void {
  const { height, unit, palette } = studio;
  const horizon = height * 0.62;
  const haze = mix(palette.horizon, palette.glow, 0.35);
  paintSky(studio, horizon, 0.2);
  const lines = Array.from({ length: rows }, function lineOf(_, row) {
    const near = row / (rows - 1);
    return hillLine(studio, {
      base: height * (0.5 + 0.46 * near ** 1.25),
      relief: unit * (0.09 - 0.03 * near),
      frequency: 1.5 - near * 0.5,
      octaves: 3,
      row: row + 2,
    });
  });
  const hills = peakRange(studio, { base: height * 0.5, relief: unit * 0.2, frequency: 2, octaves: 5, row: 1 });
  paintLand(studio, hills.line, {
    crest: mix(haze, palette.far, 0.4),
    foot: haze,
    depth: unit * 0.28,
    bottom: height,
    hiddenBy: lines[0],
    texture: 0,
  });
  for (const [row, line] of lines.entries()) {
    const near = row / (rows - 1);
    const back = mix(haze, palette.far, 0.65);
    const colour = mix(back, mix(palette.near, palette.ink, 0.35 + 0.65 * near), near ** 0.8);
    const mist = mix(colour, haze, 0.75 * (1 - near));
    paintLand(studio, line, {
      crest: mix(colour, mist, 0.4),
      foot: mist,
      depth: unit * 0.13,
      bottom: height,
      hiddenBy: lines[row + 1],
      texture: 0.06 * near,
    });
    plantConifers(studio, line, {
      part: `row ${row}`,
      count: 52 - 32 * near,
      height: unit * (0.06 + 0.33 * near ** 1.7),
      colour,
      mist,
      limit: height * 1.1,
    });
  }
  paintBirds(studio, horizon);
}
