/** Edits: the caller's pictures in the light of the prompt's scene, which shines through them like a double exposure. */
import { ramp, rampAt } from './art/colour.ts';
import { smoothStep } from './art/studio.ts';
import { drawPicture } from './draw.ts';
import { createRaster } from './raster.ts';
import { planScene } from './scene.ts';
import type { Commission } from './draw.ts';
import type { Raster } from './raster.ts';
import type { Palette } from './scene.ts';

/**
 * @param inputs one or more, all of the commissioned size
 * @param mask of the same size: what is transparent in it is painted over, what is opaque stays as it is in the first
 *   input, to the last bit
 */
export function retouchPicture(commission: Commission, inputs: readonly Raster[], mask: Raster | undefined): Raster {
  const { width, height } = commission;
  const [first] = inputs;
  if (first === undefined) throw new RangeError('An edit needs a picture.');
  const result = createRaster(width, height);
  result.data.set(first.data);
  const box = mask === undefined ? { left: 0, top: 0, right: width, bottom: height } : holeOf(mask);
  if (box === undefined) return result;
  const scene = drawPicture({ ...commission, width: box.right - box.left, height: box.bottom - box.top });
  const { palette } = planScene(commission.prompt, commission.seed, commission.index);
  const light = lightRamp(palette);
  const under = new Float32Array(4);
  for (let y = box.top; y < box.bottom; y++) {
    const down = (y - box.top) / (box.bottom - box.top);
    for (let x = box.left; x < box.right; x++) {
      const at = (y * width + x) * 4;
      const edit = mask === undefined ? 1 : 1 - (mask.data[at + 3] ?? 0) / 255;
      if (edit === 0) continue;
      collage(inputs, x / width, at, under);
      const across = (x - box.left) / (box.right - box.left);
      const away = (across - 0.5) ** 2 + (down - 0.5) ** 2;
      const dark = 1 - 0.45 * smoothStep(0.12, 0.55, away);
      const paint = mask === undefined ? 0.16 + 0.66 * smoothStep(0.28, 0.95, down) : 0.9;
      expose(result, at, {
        under,
        scene,
        sceneAt: ((y - box.top) * scene.width + x - box.left) * 4,
        light,
        dark,
        paint,
        edit,
      });
    }
  }
  return result;
}

interface Exposure {
  /** The caller's picture at this place. */
  readonly under: Float32Array;
  readonly scene: Raster;
  readonly sceneAt: number;
  readonly light: Float32Array;
  /** What the vignette leaves of the light. */
  readonly dark: number;
  /** How strongly the scene covers the picture, 0 to 1. */
  readonly paint: number;
  /** How much of all this the mask lets through, 0 to 1. */
  readonly edit: number;
}

function expose(result: Raster, at: number, exposure: Exposure): void {
  const { under, scene, sceneAt, light, dark, paint, edit } = exposure;
  const { data } = result;
  const underAlpha = (under[3] ?? 0) / 255;
  const sceneAlpha = (scene.data[sceneAt + 3] ?? 0) / 255;
  // Where the caller's picture is empty, the scene shows in full.
  const share = sceneAlpha * (1 - (1 - paint) * underAlpha);
  const total = share + underAlpha * (1 - share);
  const luminance = (0.2126 * (under[0] ?? 0) + 0.7152 * (under[1] ?? 0) + 0.0722 * (under[2] ?? 0)) / 255;
  const from = rampAt(luminance);
  for (let channel = 0; channel < 3; channel++) {
    const own = under[channel] ?? 0;
    const graded = own + ((light[from + channel] ?? 0) - own) * 0.42;
    const painted = total === 0 ? 0 : graded + ((scene.data[sceneAt + channel] ?? 0) - graded) * (share / total);
    data[at + channel] = (data[at + channel] ?? 0) * (1 - edit) + painted * dark * edit;
  }
  data[at + 3] = (data[at + 3] ?? 0) * (1 - edit) + total * 255 * edit;
}

/** Shadows, middle tones and lights in the palette's colours. */
function lightRamp(palette: Palette): Float32Array {
  return ramp([
    [0, palette.ink],
    [0.35, palette.zenith],
    [0.6, palette.sky],
    [0.85, palette.horizon],
    [1, palette.disc],
  ]);
}

/** Several pictures side by side, each melting into the next. */
function collage(inputs: readonly Raster[], across: number, at: number, out: Float32Array): void {
  const place = Math.min(inputs.length - 1, Math.max(0, across * inputs.length - 0.5));
  const index = Math.floor(place);
  const left = inputs[index]?.data;
  const right = inputs[index + 1]?.data ?? left;
  const blend = smoothStep(0.3, 0.7, place - index);
  for (let channel = 0; channel < 4; channel++) {
    const from = left?.[at + channel] ?? 0;
    out[channel] = from + ((right?.[at + channel] ?? 0) - from) * blend;
  }
}

interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** The smallest box around everything that is not opaque in the mask; undefined when all of it is. */
function holeOf({ width, height, data }: Raster): Box | undefined {
  let [left, top, right, bottom] = [width, height, 0, 0];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[(y * width + x) * 4 + 3] === 255) continue;
      left = Math.min(left, x);
      right = Math.max(right, x + 1);
      top = Math.min(top, y);
      bottom = y + 1;
    }
  }
  return right > left ? { left, top, right, bottom } : undefined;
}
