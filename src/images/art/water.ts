/** Water: the picture above it, upside down, shaken by waves. */
import { blend } from './canvas.ts';
import { smoothStep } from './studio.ts';
import type { Colour } from './colour.ts';
import type { Studio } from './studio.ts';

export interface WaterOptions {
  /** Where the water begins, in pixels from the top. */
  readonly top: number;
  readonly bottom: number;
  /** The water's own colour, which shows more the steeper one looks down. */
  readonly deep: Colour;
  /** 0 for a mirror, 1 for the open sea. */
  readonly roughness: number;
  /** Whether the sun or moon glitters on it: not where mountains stand before it. */
  readonly glitter: boolean;
}

/** Everything above the water must have been painted. */
export function paintWater(studio: Studio, options: WaterOptions): void {
  const { data, width, height, unit, noise, light, palette, detail } = studio;
  const { deep, roughness } = options;
  const top = Math.max(1, Math.round(options.top));
  const bottom = Math.min(height, Math.ceil(options.bottom));
  const [glitterRed, glitterGreen, glitterBlue] = palette.disc;
  for (let y = top; y < bottom; y++) {
    const below = y - top;
    const near = below / Math.max(1, height - top);
    // Waves look longer and flatter far away.
    const waveHeight = unit * (0.006 + 0.06 * near);
    const waveWidth = waveHeight * 7;
    const shake = (0.004 + 0.05 * near) * unit * (0.25 + 0.75 * roughness);
    const depth = 0.22 + 0.5 * near + 0.2 * roughness;
    const pathWidth = light.radius * (0.55 + 3.2 * near);
    const glitters = options.glitter && light.y < top;
    const reach = Math.min(1, below / (unit * 0.004 + 1));
    for (let x = 0; x < width; x++) {
      const u = (x - width / 2) / waveWidth;
      const v = below / waveHeight + near * 3;
      const wave = detail.octaves < 3 ? noise.at(u, v) : 0.7 * noise.at(u, v) + 0.45 * noise.at(u * 2.3 + 5, v * 1.9);
      const lift = wave * shake * reach;
      const fromY = Math.min(top - 1, Math.max(0, Math.round(top - 1 - below * (1 - 0.12 * near) + lift)));
      const fromX = Math.min(width - 1, Math.max(0, Math.round(x + lift * 0.35)));
      const from = (fromY * width + fromX) * 4;
      const alpha = (data[from + 3] ?? 0) / 255;
      const at = (y * width + x) * 4;
      const tone = 1 + wave * (0.05 + 0.13 * roughness);
      const share = 1 - depth * (1 - 0.25 * wave);
      const shown = alpha === 0 ? 0 : share;
      data[at] = ((data[from] ?? 0) * shown + deep[0] * (1 - shown)) * tone;
      data[at + 1] = ((data[from + 1] ?? 0) * shown + deep[1] * (1 - shown)) * tone;
      data[at + 2] = ((data[from + 2] ?? 0) * shown + deep[2] * (1 - shown)) * tone;
      data[at + 3] = 255;
      if (!glitters) continue;
      const aside = (x - light.x) / pathWidth;
      if (aside > 2 || aside < -2) continue;
      const path = Math.exp(-aside * aside);
      const glint = 0.5 * wave + 1.1 * noise.at(u * 4.2 + 9, v * 5.3);
      const sparkle = smoothStep(0.5, 0.85, glint + 0.4 * path) * path * (1 - 0.5 * near);
      if (sparkle > 0.01) blend(data, at, glitterRed, glitterGreen, glitterBlue, sparkle * 0.9);
    }
  }
}
