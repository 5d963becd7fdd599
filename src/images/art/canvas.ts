/** Ways to put colour on a raster: shapes with soft edges, discs, glows, and everything below a line. */
import type { Colour } from './colour.ts';
import type { Outline } from './outline.ts';
import type { Raster } from '../raster.ts';

/** What a pixel of a shape looks like: writes red, green, blue (0 to 255) and alpha (0 to 1), which begins as 1. */
export type Shader = (x: number, y: number, out: Float32Array) => void;

/** As `Shader`, for an area below a line; told how many pixels below it lies. */
export type DepthShader = (x: number, y: number, depth: number, out: Float32Array) => void;

export interface FillOptions {
  /** 0 to 1. */
  readonly alpha?: number;
  /** Scan lines for each row of pixels: more make smoother edges, and one makes hard ones. */
  readonly samples: number;
}

const scratch = new Float32Array(4);

/** Puts a colour over the pixel that begins at `at`. */
export function blend(
  data: Uint8ClampedArray,
  at: number,
  red: number,
  green: number,
  blue: number,
  alpha: number,
): void {
  const below = (data[at + 3] ?? 0) / 255;
  if (below === 1) {
    const rest = 1 - alpha;
    data[at] = red * alpha + (data[at] ?? 0) * rest;
    data[at + 1] = green * alpha + (data[at + 1] ?? 0) * rest;
    data[at + 2] = blue * alpha + (data[at + 2] ?? 0) * rest;
    return;
  }
  const total = alpha + below * (1 - alpha);
  if (total <= 0) return;
  const part = alpha / total;
  data[at] = red * part + (data[at] ?? 0) * (1 - part);
  data[at + 1] = green * part + (data[at + 1] ?? 0) * (1 - part);
  data[at + 2] = blue * part + (data[at + 2] ?? 0) * (1 - part);
  data[at + 3] = total * 255;
}

/** Fills a shape; where its outline crosses itself, the inner part is filled too. */
export function fillOutline(raster: Raster, outline: Outline, fill: Colour | Shader, options: FillOptions): void {
  const { width, height, data } = raster;
  const { samples, alpha = 1 } = options;
  const box = boundingBox(outline);
  const top = Math.max(0, Math.floor(box.top));
  const bottom = Math.min(height - 1, Math.ceil(box.bottom));
  const left = Math.max(0, Math.floor(box.left));
  const right = Math.min(width - 1, Math.ceil(box.right));
  if (left > right || top > bottom) return;
  if (coverage.length < width + 2) coverage = new Float32Array(width + 2);
  const covered = coverage;
  const shade = asShader(fill);
  for (let y = top; y <= bottom; y++) {
    covered.fill(0, 0, right - left + 2);
    for (let sample = 0; sample < samples; sample++) {
      coverLine(outline, y + (sample + 0.5) / samples, left, right, 1 / samples, covered);
    }
    for (let x = left; x <= right; x++) {
      const exact = covered[x - left] ?? 0;
      const share = samples === 1 ? Math.round(exact) : Math.min(1, exact);
      if (share <= 0) continue;
      scratch[3] = 1;
      shade(x, y, scratch);
      const opacity = share * alpha * (scratch[3] ?? 1);
      blend(data, (y * width + x) * 4, scratch[0] ?? 0, scratch[1] ?? 0, scratch[2] ?? 0, opacity);
    }
  }
}

function boundingBox(outline: Outline): { left: number; right: number; top: number; bottom: number } {
  const box = { left: Infinity, right: -Infinity, top: Infinity, bottom: -Infinity };
  for (let at = 0; at + 1 < outline.length; at += 2) {
    const x = outline[at] ?? 0;
    const y = outline[at + 1] ?? 0;
    if (x < box.left) box.left = x;
    if (x > box.right) box.right = x;
    if (y < box.top) box.top = y;
    if (y > box.bottom) box.bottom = y;
  }
  return box;
}

// Used again for every line: shapes are many and small, and their garbage would cost more than they do.
let crossingAt = new Float64Array(64);
let crossingWay = new Int8Array(64);
let coverage = new Float32Array(1024);

/** Adds what the shape covers along one horizontal line. */
function coverLine(
  outline: Outline,
  line: number,
  left: number,
  right: number,
  weight: number,
  covered: Float32Array,
): void {
  const corners = outline.length;
  if (crossingAt.length < corners) {
    crossingAt = new Float64Array(corners);
    crossingWay = new Int8Array(corners);
  }
  let count = 0;
  let x0 = outline[corners - 2] ?? 0;
  let y0 = outline[corners - 1] ?? 0;
  for (let at = 0; at < corners; at += 2) {
    const x1 = outline[at] ?? 0;
    const y1 = outline[at + 1] ?? 0;
    if (y0 <= line !== y1 <= line) {
      insertCrossing(count, x0 + ((line - y0) / (y1 - y0)) * (x1 - x0), y0 < y1 ? 1 : -1);
      count++;
    }
    x0 = x1;
    y0 = y1;
  }
  let winding = 0;
  let start = 0;
  for (let index = 0; index < count; index++) {
    const x = crossingAt[index] ?? 0;
    const before = winding;
    winding += crossingWay[index] ?? 0;
    if (before === 0) start = x;
    else if (winding === 0) coverSpan(start - left, x - left, right - left + 1, weight, covered);
  }
}

/** Puts a crossing into its place among `count` that are in order. */
function insertCrossing(count: number, x: number, way: number): void {
  let place = count;
  for (; place > 0 && (crossingAt[place - 1] ?? 0) > x; place--) {
    crossingAt[place] = crossingAt[place - 1] ?? 0;
    crossingWay[place] = crossingWay[place - 1] ?? 0;
  }
  crossingAt[place] = x;
  crossingWay[place] = way;
}

function coverSpan(from: number, to: number, end: number, weight: number, covered: Float32Array): void {
  const start = Math.max(0, from);
  const stop = Math.min(end, to);
  if (stop <= start) return;
  const first = Math.floor(start);
  const last = Math.floor(stop);
  if (first === last) {
    covered[first] = (covered[first] ?? 0) + (stop - start) * weight;
    return;
  }
  covered[first] = (covered[first] ?? 0) + (first + 1 - start) * weight;
  for (let x = first + 1; x < last; x++) covered[x] = (covered[x] ?? 0) + weight;
  covered[last] = (covered[last] ?? 0) + (stop - last) * weight;
}

function asShader(fill: Colour | Shader): Shader {
  if (typeof fill === 'function') return fill;
  const [red, green, blue] = fill;
  return function plainColour(_x, _y, out) {
    out[0] = red;
    out[1] = green;
    out[2] = blue;
  };
}

export interface AreaOptions extends FillOptions {
  /** The first row that is left alone. */
  readonly bottom: number;
  /** A line further down, below which something nearer will be painted: nothing is painted there in vain. */
  readonly hiddenBy?: Float32Array | undefined;
}

/**
 * Fills everything from a line down.
 * @param line the height of the line for each column, in pixels from the top
 */
export function fillBelow(raster: Raster, line: Float32Array, shade: DepthShader, options: AreaOptions): void {
  const { width, height, data } = raster;
  const { alpha = 1, samples, hiddenBy } = options;
  let top = height;
  for (const y of line) if (y < top) top = y;
  let bottom = Math.min(height, Math.ceil(options.bottom));
  if (hiddenBy !== undefined) {
    let lowest = 0;
    for (const y of hiddenBy) if (y > lowest) lowest = y;
    bottom = Math.min(bottom, Math.ceil(lowest) + 2);
  }
  for (let y = Math.max(0, Math.floor(top) - 1); y < bottom; y++) {
    for (let x = 0; x < width; x++) {
      const depth = y + 0.5 - (line[x] ?? 0);
      if (depth <= -1) continue;
      if (hiddenBy !== undefined && y > (hiddenBy[x] ?? 0) + 2) continue;
      const share = samples === 1 ? (depth > 0 ? 1 : 0) : depth >= 1 ? 1 : edgeShare(line, x, depth);
      if (share <= 0) continue;
      scratch[3] = 1;
      shade(x, y, depth < 0 ? 0 : depth, scratch);
      const opacity = share * alpha * (scratch[3] ?? 1);
      const at = (y * width + x) * 4;
      if (opacity === 1) {
        data[at] = scratch[0] ?? 0;
        data[at + 1] = scratch[1] ?? 0;
        data[at + 2] = scratch[2] ?? 0;
        data[at + 3] = 255;
      } else {
        blend(data, at, scratch[0] ?? 0, scratch[1] ?? 0, scratch[2] ?? 0, opacity);
      }
    }
  }
}

/** How much of a pixel lies below the line: the steeper the line, the wider the soft edge. */
function edgeShare(line: Float32Array, x: number, depth: number): number {
  const here = line[x] ?? 0;
  const slope = Math.abs((line[x + 1] ?? here) - (line[x - 1] ?? here)) / 2;
  return Math.min(1, Math.max(0, depth / Math.max(1, Math.min(2, slope)) + 0.5));
}

/** A disc whose edge fades over `softness` pixels. */
export function fillDisc(
  raster: Raster,
  disc: { readonly x: number; readonly y: number; readonly radius: number; readonly softness: number },
  fill: Colour | Shader,
  alpha = 1,
): void {
  const { width, height, data } = raster;
  const { x: centreX, y: centreY, radius, softness } = disc;
  const reach = radius + softness;
  const shade = asShader(fill);
  const bottom = Math.min(height - 1, Math.ceil(centreY + reach));
  const right = Math.min(width - 1, Math.ceil(centreX + reach));
  for (let y = Math.max(0, Math.floor(centreY - reach)); y <= bottom; y++) {
    for (let x = Math.max(0, Math.floor(centreX - reach)); x <= right; x++) {
      const distance = Math.sqrt((x + 0.5 - centreX) ** 2 + (y + 0.5 - centreY) ** 2);
      if (distance >= reach) continue;
      const share = Math.min(1, (radius + softness / 2 - distance) / Math.max(0.001, softness));
      if (share <= 0) continue;
      scratch[3] = 1;
      shade(x, y, scratch);
      const opacity = share * alpha * (scratch[3] ?? 1);
      blend(data, (y * width + x) * 4, scratch[0] ?? 0, scratch[1] ?? 0, scratch[2] ?? 0, opacity);
    }
  }
}

/** Light around a point. It only brightens, and fades to nothing at `radius`. */
export function addGlow(
  raster: Raster,
  light: { readonly x: number; readonly y: number; readonly radius: number; readonly strength: number },
  [red, green, blue]: Colour,
): void {
  const { width, height, data } = raster;
  const { x: centreX, y: centreY, radius, strength } = light;
  const bottom = Math.min(height - 1, Math.ceil(centreY + radius));
  const right = Math.min(width - 1, Math.ceil(centreX + radius));
  for (let y = Math.max(0, Math.floor(centreY - radius)); y <= bottom; y++) {
    for (let x = Math.max(0, Math.floor(centreX - radius)); x <= right; x++) {
      const reach = 1 - ((x + 0.5 - centreX) ** 2 + (y + 0.5 - centreY) ** 2) / (radius * radius);
      if (reach <= 0) continue;
      const light = reach * reach * reach * strength;
      const at = (y * width + x) * 4;
      const below = data[at] ?? 0;
      const belowGreen = data[at + 1] ?? 0;
      const belowBlue = data[at + 2] ?? 0;
      // Screen, not sum: light never burns out to a flat white.
      data[at] = below + red * light * (1 - below / 255);
      data[at + 1] = belowGreen + green * light * (1 - belowGreen / 255);
      data[at + 2] = belowBlue + blue * light * (1 - belowBlue / 255);
    }
  }
}
