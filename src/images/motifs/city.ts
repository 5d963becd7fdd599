/** A skyline across the water. */
import { fillOutline } from '../art/canvas.ts';
import { strokeOutline } from '../art/outline.ts';
import { hex, mix } from '../art/colour.ts';
import { paintBirds, paintSky } from '../art/sky.ts';
import { hillLine, paintLand } from '../art/terrain.ts';
import { paintWater } from '../art/water.ts';
import type { Colour } from '../art/colour.ts';
import type { Random } from '../art/noise.ts';
import type { Studio } from '../art/studio.ts';

const rows = 4;

export function paintCity(studio: Studio): void {
  const { height, unit, palette } = studio;
  const quay = height * 0.74;
  paintSky(studio, quay, 0.35);
  const haze = mix(palette.horizon, palette.glow, 0.35);
  const hills = hillLine(studio, { base: quay - unit * 0.1, relief: unit * 0.12, frequency: 0.8, octaves: 4, row: 1 });
  const hillColour = mix(palette.far, haze, 0.5);
  paintLand(studio, hills, { crest: hillColour, foot: haze, depth: unit * 0.2, bottom: quay, texture: 0 });
  for (let row = 0; row < rows; row++) paintRow(studio, row / (rows - 1), quay, haze);
  const deep = mix(palette.ink, palette.zenith, 0.6);
  paintWater(studio, { top: quay, bottom: height, deep, roughness: 0.3, glitter: true });
  const wall = strokeOutline([0, quay, studio.width, quay], unit * 0.008, unit * 0.008);
  fillOutline(studio, wall, mix(palette.ink, palette.far, 0.2), studio.detail);
  paintBirds(studio, quay);
}

interface Building {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  readonly colour: Colour;
  readonly near: number;
}

function paintRow(studio: Studio, near: number, quay: number, haze: Colour): void {
  const { width, unit, palette, noise } = studio;
  const random = studio.randomFor(`row ${near}`);
  const colour = mix(mix(palette.far, haze, 0.55 - 0.45 * near), mix(palette.near, palette.ink, 0.55), near ** 1.2);
  const centre = width * (0.35 + 0.3 * random());
  for (let left = -unit * 0.05; left < width;) {
    const wide = unit * (0.035 + random() * 0.06) * (0.7 + 0.5 * near);
    const middle = left + wide / 2;
    // Tall in the centre, low at the edges, and lower the nearer they are, so that the back rows show.
    const bell = Math.exp(-(((middle - centre) / (unit * 0.42)) ** 2));
    const tall =
      unit *
      (0.07 + 0.42 * bell * (1 - 0.55 * near) + 0.05 * noise.at(middle / unit, near * 9)) *
      (0.55 + random() * 0.75);
    const shade = random();
    const building = {
      left,
      right: left + wide,
      top: quay - tall,
      bottom: quay,
      colour: mix(colour, haze, shade * 0.12),
      near,
    };
    paintBuilding(studio, building, random);
    left += wide * (0.86 + random() * 0.4 * (1 - near));
  }
}

function paintBuilding(studio: Studio, building: Building, random: Random): void {
  const { detail, unit, palette, light } = studio;
  const { left, right, top, bottom, colour, near } = building;
  const wide = right - left;
  const roof = random();
  const outline =
    roof < 0.2
      ? [left, bottom, left, top, left + wide / 2, top - wide * 0.6, right, top, right, bottom]
      : roof < 0.4
        ? [left, bottom, left, top + wide * 0.35, right, top, right, bottom]
        : roof < 0.6
          ? stepped(building)
          : [left, bottom, left, top, right, top, right, bottom];
  const sunny = light.x > left ? 1 : 0;
  const bright = mix(colour, palette.glow, 0.16);
  const dark = mix(colour, palette.ink, 0.22);
  fillOutline(
    studio,
    outline,
    function wallAt(x, y, out) {
      const across = (x - left) / wide;
      const side = (sunny === 1 ? across : 1 - across) > 0.62 ? bright : dark;
      const foot = Math.max(0, (y - top) / (bottom - top)) * 0.25 * (1 - near);
      for (let channel = 0; channel < 3; channel++) {
        out[channel] = (side[channel] ?? 0) * (1 - foot) + (palette.horizon[channel] ?? 0) * foot;
      }
    },
    detail,
  );
  if (roof > 0.8) {
    const mast = [left + wide / 2, top, left + wide / 2, top - wide * (0.5 + random() * 0.8)];
    fillOutline(studio, strokeOutline(mast, unit * 0.003, unit * 0.0012), colour, detail);
  }
  paintWindows(studio, building, random);
}

/** A tower that narrows twice on its way up. */
function stepped({ left, right, top, bottom }: Building): number[] {
  const inset = (right - left) * 0.18;
  const step = (right - left) * 0.4;
  const leftSide: readonly (readonly [x: number, y: number])[] = [
    [left, bottom],
    [left, top + step * 1.6],
    [left + inset, top + step * 1.6],
    [left + inset, top + step * 0.7],
    [left + inset * 1.8, top + step * 0.7],
    [left + inset * 1.8, top],
  ];
  const rightSide = leftSide.toReversed().map(([x, y]): readonly [number, number] => [left + right - x, y]);
  return [...leftSide, ...rightSide].flat();
}

function paintWindows(studio: Studio, building: Building, random: Random): void {
  const { unit, detail, scene, palette } = studio;
  const { left, right, top, bottom, near } = building;
  const size = unit * (0.0042 + 0.0026 * near);
  if (size < 0.9) return;
  const lit = { dawn: 0.22, day: 0.1, sunset: 0.45, night: 0.6 }[scene.time];
  const warm = mix(hex('ffd58a'), palette.accent, 0.25);
  const cool = hex('cfe6ff');
  const glass = mix(building.colour, palette.sky, 0.3);
  const step = size * 2.3;
  const first = top + (right - left) * 0.7;
  for (let y = first; y < bottom - size * 3; y += step * 1.25) {
    for (let x = left + size * 1.2; x < right - size * 1.6; x += step) {
      const isLit = random() < lit * (0.35 + 0.65 * near);
      const tone = random();
      if (!isLit && detail.density < 1) continue;
      const colour = isLit ? mix(tone < 0.82 ? warm : cool, building.colour, tone * 0.35) : glass;
      const pane = [x, y, x + size, y, x + size, y + size * 1.4, x, y + size * 1.4];
      fillOutline(studio, pane, colour, { samples: detail.samples, alpha: isLit ? 0.95 : 0.45 });
    }
  }
}
