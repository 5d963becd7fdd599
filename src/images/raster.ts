/**
 * A picture as pixels: red, green, blue and alpha of 8 bits each, row by row from the top left corner.
 * Colours are sRGB and not multiplied with their alpha.
 */
export interface Raster {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8ClampedArray<ArrayBuffer>;
}

/** A raster of nothing: black, fully transparent. */
export function createRaster(width: number, height: number): Raster {
  return { width, height, data: new Uint8ClampedArray(width * height * 4) };
}

/** Whether no pixel lets anything shine through. */
export function isOpaque({ data }: Raster): boolean {
  for (let at = 3; at < data.length; at += 4) if (data[at] !== 255) return false;
  return true;
}
