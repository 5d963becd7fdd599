/** A ringed planet before a nebula. */
import { addGlow, blend, fillDisc } from '../art/canvas.ts';
import { adjust, mix, ramp, rampAt } from '../art/colour.ts';
import { paintStars } from '../art/sky.ts';
import { createField, dither, smoothStep } from '../art/studio.ts';
import type { Studio } from '../art/studio.ts';

export function paintSpace(studio: Studio): void {
  const { width, height, unit, subjectOnly } = studio;
  const random = studio.randomFor('space');
  if (!subjectOnly) {
    paintNebula(studio);
    paintStars(studio, height * 1.6, 1);
    const x = width * (0.12 + random() * 0.2);
    addGlow(studio, { x, y: height * (0.15 + random() * 0.2), radius: unit * 0.12, strength: 0.5 }, [255, 244, 230]);
  }
  const planet: Planet = {
    x: width * (subjectOnly ? 0.5 : 0.5 + random() * 0.16),
    y: height * (subjectOnly ? 0.5 : 0.5 + random() * 0.1),
    radius: unit * (0.2 + random() * 0.06),
    ringTilt: 0.2 + random() * 0.14,
    ringTurn: (random() - 0.5) * 0.9,
  };
  paintRing(studio, planet, 'behind');
  paintPlanet(studio, planet);
  paintRing(studio, planet, 'before');
  const moon = { x: planet.x - unit * 0.36, y: planet.y - unit * 0.2, radius: unit * 0.03, ringTilt: 0, ringTurn: 0 };
  paintPlanet(studio, moon);
}

interface Planet {
  readonly x: number;
  readonly y: number;
  readonly radius: number;
  /** How far the ring is open, from 0 (a line) to 1 (a circle). */
  readonly ringTilt: number;
  /** In radians. */
  readonly ringTurn: number;
}

function paintNebula(studio: Studio): void {
  const { data, width, height, unit, noise, palette, detail } = studio;
  const scale = unit * 0.42;
  const warp = createField(
    width,
    [0, height],
    detail.fieldStep,
    (x, y) => noise.layered(x / scale, y / scale, 2) * 0.75,
  );
  const clouds = createField(width, [0, height], detail.fieldStep, function cloudAt(x, y) {
    const bend = warp.at(x, y);
    return noise.layered(x / scale + bend + 4, y / scale - bend, detail.octaves + 2);
  });
  const deep = adjust(mix(palette.zenith, [4, 5, 18], 0.82), { chroma: 1.4 });
  const colours = ramp([
    [0, deep],
    [0.34, mix(deep, adjust(palette.sky, { chroma: 1.5 }), 0.3)],
    [0.6, adjust(mix(palette.sky, palette.accent, 0.3), { chroma: 1.35, lightness: 0.78 })],
    [0.82, adjust(mix(palette.accent, palette.glow, 0.3), { chroma: 1.2 })],
    [1, mix(palette.glow, [255, 255, 255], 0.4)],
  ]);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const band = 1 - Math.abs((x / width) * 0.7 + 0.1 - y / height) * 1.5;
      const value = 0.3 + clouds.at(x, y) * 0.62 + band * 0.24;
      const from = rampAt(Math.min(0.97, value));
      const at = (y * width + x) * 4;
      const noiseHere = dither(x, y);
      data[at] = (colours[from] ?? 0) + noiseHere;
      data[at + 1] = (colours[from + 1] ?? 0) + noiseHere;
      data[at + 2] = (colours[from + 2] ?? 0) + noiseHere;
      data[at + 3] = 255;
    }
  }
}

function paintPlanet(studio: Studio, planet: Planet): void {
  const { noise, palette, detail, unit, subjectOnly } = studio;
  const { x, y, radius, ringTurn } = planet;
  const colours = ramp([
    [0, adjust(palette.sky, { lightness: 0.8 })],
    [0.3, mix(palette.accent, palette.horizon, 0.45)],
    [0.5, mix(palette.horizon, [255, 250, 240], 0.3)],
    [0.72, palette.accent],
    [1, adjust(mix(palette.sky, palette.accent, 0.5), { lightness: 0.7 })],
  ]);
  if (!subjectOnly) addGlow(studio, { x, y, radius: radius * 1.7, strength: 0.4 }, palette.glow);
  const cosine = Math.cos(ringTurn);
  const sine = Math.sin(ringTurn);
  const gas = radius > unit * 0.1;
  const softness = detail.samples === 1 ? 0.01 : 1.4;
  fillDisc(studio, { x, y, radius, softness }, function surfaceAt(px, py, out) {
    const u = (px + 0.5 - x) / radius;
    const v = (py + 0.5 - y) / radius;
    const depth = Math.sqrt(Math.max(0, 1 - u * u - v * v));
    const across = u * cosine + v * sine;
    const along = v * cosine - u * sine;
    const longitude = across / (0.35 + depth);
    const value = gas
      ? 0.5 +
        0.5 * Math.sin(along * 9 + 2.2 * noise.layered(longitude * 1.3, along * 5, detail.octaves)) +
        0.2 * noise.layered(longitude * 2, along * 16, detail.octaves)
      : 0.5 + 0.6 * noise.layered(u * 3 + 40, v * 3, detail.octaves);
    const from = rampAt(value);
    const sun = -0.62 * u - 0.5 * v + 0.6 * depth;
    const light = 0.05 + 1.05 * smoothStep(-0.22, 0.95, sun);
    const rim = smoothStep(0.45, 0, depth) * smoothStep(-0.1, 0.7, sun) * 0.7;
    for (let channel = 0; channel < 3; channel++) {
      const lit = (colours[from + channel] ?? 0) * light;
      out[channel] = lit + ((palette.glow[channel] ?? 0) - lit) * rim;
    }
  });
}

/** The half of the ring that the planet hides is painted before the planet, the other half after it. */
function paintRing(studio: Studio, planet: Planet, part: 'behind' | 'before'): void {
  const { data, width, height, noise, palette } = studio;
  const { x, y, radius, ringTilt, ringTurn } = planet;
  const cosine = Math.cos(ringTurn);
  const sine = Math.sin(ringTurn);
  const reach = radius * 2.15;
  const colour = mix(palette.horizon, palette.disc, 0.35);
  const shade = mix(palette.accent, palette.ink, 0.25);
  const bottom = Math.min(height - 1, Math.ceil(y + reach));
  const right = Math.min(width - 1, Math.ceil(x + reach));
  for (let py = Math.max(0, Math.floor(y - reach)); py <= bottom; py++) {
    for (let px = Math.max(0, Math.floor(x - reach)); px <= right; px++) {
      const u = px - x;
      const v = py - y;
      const across = (u * cosine + v * sine) / radius;
      const along = (v * cosine - u * sine) / radius / ringTilt;
      if (along < 0 !== (part === 'behind')) continue;
      const distance = Math.sqrt(across * across + along * along);
      if (distance < 1.25 || distance > 2.12) continue;
      const edges = smoothStep(1.25, 1.32, distance) * smoothStep(2.12, 2.02, distance);
      const gap = 1 - 0.85 * smoothStep(0.05, 0.02, Math.abs(distance - 1.78));
      const grooves = 0.72 + 0.4 * noise.at(distance * 26, 3.3);
      // The planet's shadow falls on the ring behind it, on the side away from the sun.
      const hidden = part === 'behind' && across > -0.2 && Math.abs(along * ringTilt + 0.35) < 0.55 && across < 0.95;
      const alpha = edges * gap * grooves * (hidden ? 0.35 : 0.9);
      const tone = Math.min(1, Math.max(0, (distance - 1.25) / 0.87));
      blend(
        data,
        (py * width + px) * 4,
        colour[0] + (shade[0] - colour[0]) * tone,
        colour[1] + (shade[1] - colour[1]) * tone,
        colour[2] + (shade[2] - colour[2]) * tone,
        Math.min(1, Math.max(0, alpha)),
      );
    }
  }
}
