/** What is above the horizon: air, sun or moon, stars, clouds and birds. */
import { addGlow, blend, fillDisc, fillOutline } from './canvas.ts';
import { curve, strokeOutline } from './outline.ts';
import { mix, ramp, rampAt } from './colour.ts';
import { createField, dither, smoothStep } from './studio.ts';
import type { Studio } from './studio.ts';

/**
 * @param horizon in pixels from the top
 * @param cover how much of the sky is clouded, from 0 to 1
 */
export function paintSky(studio: Studio, horizon: number, cover: number): void {
  if (!studio.subjectOnly) {
    paintAir(studio, horizon);
    if (studio.scene.time !== 'day') paintStars(studio, horizon, studio.scene.time === 'night' ? 1 : 0.25);
  }
  paintLight(studio);
  if (!studio.subjectOnly && cover > 0) paintClouds(studio, horizon, cover);
}

function paintAir(studio: Studio, horizon: number): void {
  const { data, width, height, palette, light, unit } = studio;
  const colours = ramp([
    [0, palette.zenith],
    [0.55, palette.sky],
    [1, palette.horizon],
  ]);
  const [glowRed, glowGreen, glowBlue] = palette.glow;
  const night = studio.scene.time === 'night';
  const spread = (unit * (night ? 0.3 : 0.42)) ** 2;
  // Whatever stands on the horizon hides the rest.
  const bottom = Math.min(height, Math.ceil(horizon + unit * 0.12));
  for (let y = 0; y < bottom; y++) {
    const from = rampAt(y / horizon);
    const red = colours[from] ?? 0;
    const green = colours[from + 1] ?? 0;
    const blue = colours[from + 2] ?? 0;
    // The light spreads further along the horizon than up into the sky.
    const dy = (y - light.y) * 1.25;
    for (let x = 0; x < width; x++) {
      const dx = x - light.x;
      const near = spread / (spread + dx * dx + dy * dy);
      const strength = near * near * 0.75;
      const at = (y * width + x) * 4;
      const noise = dither(x, y);
      data[at] = red + (glowRed - red) * strength + noise;
      data[at + 1] = green + (glowGreen - green) * strength + noise;
      data[at + 2] = blue + (glowBlue - blue) * strength + noise;
      data[at + 3] = 255;
    }
  }
}

/** @param strength how bright the brightest are, from 0 to 1 */
export function paintStars(studio: Studio, horizon: number, strength: number): void {
  const { width, unit, detail } = studio;
  const random = studio.randomFor('stars');
  const count = Math.round(((width * horizon) / unit ** 2) * 420 * detail.density);
  for (let star = 0; star < count; star++) {
    const x = random() * width;
    const height = random();
    const magnitude = random() ** 7;
    const warmth = random();
    const alpha = strength * (1 - height * 0.85) * (0.4 + 0.6 * magnitude);
    const radius = Math.max(0.5, unit * (0.0008 + 0.0013 * magnitude));
    const disc = { x, y: height * horizon, radius, softness: Math.max(0.9, radius) };
    fillDisc(studio, disc, [255 - 40 * (1 - warmth), 240, 255 - 60 * warmth], alpha);
    if (magnitude > 0.7) {
      addGlow(studio, { x, y: disc.y, radius: radius * 7, strength: alpha * 0.3 }, [190, 210, 255]);
    }
  }
}

function paintLight(studio: Studio): void {
  const { palette, light, scene, noise, detail } = studio;
  const { x, y, radius } = light;
  const softness = detail.samples === 1 ? 0.01 : Math.max(1.2, radius * 0.03);
  if (!studio.subjectOnly) {
    addGlow(studio, { x, y, radius: radius * 5, strength: 0.35 }, palette.glow);
    addGlow(studio, { x, y, radius: radius * 2.4, strength: 0.5 }, palette.disc);
  }
  if (scene.time !== 'night') {
    fillDisc(studio, { x, y, radius, softness }, palette.disc);
    return;
  }
  const shadow = mix(palette.disc, palette.zenith, 0.16);
  fillDisc(studio, { x, y, radius, softness }, function paintMoon(px, py, out) {
    const u = (px - x) / radius;
    const v = (py - y) / radius;
    const seas = smoothStep(-0.05, 0.4, noise.layered(u * 1.3 + 7, v * 1.3 + 3, Math.max(2, detail.octaves - 1)));
    const round = 1 - 0.25 * Math.max(0, u * 0.6 + v * 0.4);
    out[0] = (palette.disc[0] + (shadow[0] - palette.disc[0]) * seas) * round;
    out[1] = (palette.disc[1] + (shadow[1] - palette.disc[1]) * seas) * round;
    out[2] = (palette.disc[2] + (shadow[2] - palette.disc[2]) * seas) * round;
  });
}

function paintClouds(studio: Studio, horizon: number, cover: number): void {
  const { data, width, height, unit, noise, palette, light, detail } = studio;
  const depth = Math.min(height, Math.ceil(horizon));
  const offset = studio.randomFor('clouds')() * 100;
  // Seen from below, clouds crowd together towards the horizon.
  const density = createField(width, [0, depth], detail.fieldStep, function cloudAt(x, y) {
    const distance = 1 / (0.16 + 0.9 * (1 - y / horizon));
    const u = ((x - width / 2) / unit) * distance * 1.1 + offset;
    const v = distance * 2.1;
    const warp = noise.at(u * 0.7 + 31, v * 0.7) * 0.6;
    return noise.layered(u + warp, v + warp, detail.octaves + 1);
  });
  const threshold = 0.42 - 0.55 * cover;
  const step = unit * 0.012;
  const [lightRed, lightGreen, lightBlue] = palette.cloudLight;
  const [shadeRed, shadeGreen, shadeBlue] = palette.cloudShade;
  for (let y = 0; y < depth; y++) {
    const fade = smoothStep(1, 0.8, y / horizon) * 0.92;
    for (let x = 0; x < width; x++) {
      const here = density.at(x, y);
      if (here <= threshold) continue;
      const alpha = smoothStep(threshold, threshold + 0.38, here) * fade;
      const dx = light.x - x;
      const dy = light.y - y - unit * 0.1;
      const scale = step / (Math.sqrt(dx * dx + dy * dy) + 1);
      const slope = here - density.at(x + dx * scale, y + dy * scale);
      const lit = Math.min(1, Math.max(0, 0.62 + slope * 5 - (here - threshold) * 0.75));
      blend(
        data,
        (y * width + x) * 4,
        shadeRed + (lightRed - shadeRed) * lit,
        shadeGreen + (lightGreen - shadeGreen) * lit,
        shadeBlue + (lightBlue - shadeBlue) * lit,
        alpha,
      );
    }
  }
}

/** A flock in the middle distance. */
export function paintBirds(studio: Studio, horizon: number): void {
  const { width, unit, palette, detail } = studio;
  const random = studio.randomFor('birds');
  const count = 4 + Math.floor(random() * 5);
  const centreX = width * (0.25 + random() * 0.5);
  const centreY = horizon * (0.3 + random() * 0.3);
  const colour = mix(palette.ink, palette.sky, 0.25);
  for (let bird = 0; bird < count; bird++) {
    const x = centreX + (random() - 0.5) * unit * 0.34;
    const y = centreY + (random() - 0.5) * unit * 0.14;
    const span = unit * (0.008 + random() * 0.009);
    const lift = span * (0.5 + random() * 0.5);
    for (const side of [-1, 1]) {
      const wing = curve([x, y], [x + side * span * 0.5, y - lift * 1.3], [x + side * span, y - lift * 0.35], 7);
      fillOutline(studio, strokeOutline(wing, span * 0.2, span * 0.03), colour, {
        samples: detail.samples,
        alpha: 0.85,
      });
    }
  }
}
