/** Unfinished pictures: the same scene in large blocks, as diffusion shows it on the way. */
import { createRaster, type Raster } from './raster.ts';

/** The blocks of the first sketch are of so many pixels, or fewer where the picture would have less than so many along a side. */
const firstEdge = 32;
const leastBlocks = 8;

/** The edge of a sketch's blocks in pixels: that of each further one is half as long. @param step which sketch, from 0 */
export function blockEdge(step: number, width: number, height: number): number {
  return Math.max(1, Math.min(firstEdge, Math.floor(Math.min(width, height) / leastBlocks)) >> step);
}

/** A raster with a pixel for each block of another one. */
export function shrunk({ width, height, data }: Raster, edge: number): Raster {
  const small = createRaster(Math.ceil(width / edge), Math.ceil(height / edge));
  const source = new Uint32Array(data.buffer);
  const target = new Uint32Array(small.data.buffer);
  for (let y = 0; y < small.height; y++) {
    const from = Math.min(height - 1, y * edge + (edge >> 1)) * width;
    for (let x = 0; x < small.width; x++) {
      target[y * small.width + x] = source[from + Math.min(width - 1, x * edge + (edge >> 1))] ?? 0;
    }
  }
  return small;
}

/** A raster in which each pixel of another one is a block. */
export function enlarged(small: Raster, edge: number, width: number, height: number): Raster {
  const large = createRaster(width, height);
  const source = new Uint32Array(small.data.buffer);
  const target = new Uint32Array(large.data.buffer);
  for (let y = 0; y < height; y++) {
    const from = Math.floor(y / edge) * small.width;
    for (let x = 0; x < width; x++) target[y * width + x] = source[from + Math.floor(x / edge)] ?? 0;
  }
  return large;
}
