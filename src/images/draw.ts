/** Paints pictures from words, and paints over pictures. The same input always gives the same pixels. */
import { details, openStudio } from './art/studio.ts';
import { createRandom, scatter } from './art/noise.ts';
import { createRaster } from './raster.ts';
import { planScene } from './scene.ts';
import { paintSilk } from './motifs/abstract.ts';
import { paintCity } from './motifs/city.ts';
import { paintDesert } from './motifs/desert.ts';
import { paintFlowers } from './motifs/flowers.ts';
import { paintMistyForest } from './motifs/forest.ts';
import { paintMeadow } from './motifs/meadow.ts';
import { paintMountainLake } from './motifs/mountains.ts';
import { paintSeascape } from './motifs/ocean.ts';
import { paintSpace } from './motifs/space.ts';
import type { PaintQuality, Studio } from './art/studio.ts';
import type { Raster } from './raster.ts';
import type { Motif, Scene } from './scene.ts';

/** What to paint. */
export interface Commission {
  readonly prompt: string;
  /** Another seed gives another view of the same motif. */
  readonly seed: number;
  /** Which of the pictures of one call, from 0. */
  readonly index: number;
  readonly width: number;
  readonly height: number;
  readonly quality: PaintQuality;
  /** Whether only the subject is painted, on nothing. */
  readonly transparent: boolean;
}

const painters: Readonly<Record<Motif, (studio: Studio) => void>> = {
  mountains: paintMountainLake,
  winter: paintMountainLake,
  forest: paintMistyForest,
  ocean: paintSeascape,
  desert: paintDesert,
  meadow: paintMeadow,
  city: paintCity,
  space: paintSpace,
  flowers: paintFlowers,
  abstract: paintSilk,
};

/** Motifs that fill their picture to the edges: as a subject they are cut out as a disc. */
const wide: ReadonlySet<Motif> = new Set([
  'mountains',
  'winter',
  'forest',
  'ocean',
  'desert',
  'meadow',
  'city',
  'abstract',
]);

export function drawPicture(commission: Commission): Raster {
  const scene = planScene(commission.prompt, commission.seed, commission.index);
  return drawScene(scene, commission);
}

function drawScene(scene: Scene, { width, height, quality, transparent }: Commission): Raster {
  const raster = createRaster(width, height);
  const detail = details[quality];
  painters[scene.motif](openStudio(raster, scene, detail, transparent));
  if (transparent) {
    if (wide.has(scene.motif)) cutDisc(raster, detail.samples > 1);
  } else {
    finish(raster, scene, detail.grain);
  }
  return raster;
}

/** Keeps what lies in the largest disc. */
function cutDisc({ width, height, data }: Raster, smooth: boolean): void {
  const radius = Math.min(width, height) * 0.48;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const distance = Math.hypot(x + 0.5 - width / 2, y + 0.5 - height / 2);
      const inside = radius - distance + 0.5;
      const kept = smooth ? Math.min(1, Math.max(0, inside)) : inside > 0.5 ? 1 : 0;
      const at = (y * width + x) * 4 + 3;
      data[at] = (data[at] ?? 0) * kept;
    }
  }
}

/** What a photographer does at the end: the corners a little darker, and grain at the highest quality. */
function finish({ width, height, data }: Raster, scene: Scene, grain: number): void {
  const random = createRandom(scatter(scene.seed ^ 0x67_72_61_69));
  const aside = Float64Array.from({ length: width }, (_, x) => (x / width - 0.5) ** 2);
  for (let y = 0, at = 0; y < height; y++) {
    const above = (y / height - 0.5) ** 2;
    for (let x = 0; x < width; x++, at += 4) {
      const away = (aside[x] ?? 0) + above;
      const dark = 1 - 0.72 * away * away;
      const noise = grain === 0 ? 0 : (random() + random() - 1) * grain;
      data[at] = (data[at] ?? 0) * dark + noise;
      data[at + 1] = (data[at + 1] ?? 0) * dark + noise;
      data[at + 2] = (data[at + 2] ?? 0) * dark + noise;
    }
  }
}
