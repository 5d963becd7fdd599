import * as fc from 'fast-check';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { encodePng } from '../../../src/images/png.ts';
import type { Raster } from '../../../src/images/raster.ts';

const rasters = (opaque: boolean): fc.Arbitrary<Raster> =>
  fc
    .tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 }), fc.nat())
    .chain(([width, height, smooth]) =>
      fc.uint8Array({ minLength: width * height * 4, maxLength: width * height * 4 }).map(function toRaster(bytes) {
        // Half of them smooth, so that every filter is chosen at some time.
        const data = Uint8ClampedArray.from(bytes, (byte, at) => {
          if (opaque && at % 4 === 3) return 255;
          return smooth % 2 === 0 ? byte : (Math.floor(at / 4) * (1 + (smooth % 7)) + (byte & 3)) % 256;
        });
        return { width, height, data };
      }),
    );

async function decode(file: Uint8Array): Promise<Raster> {
  const { data, info } = await sharp(file).ensureAlpha().raw().toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data: new Uint8ClampedArray(data) };
}

describe('the PNG encoder', () => {
  it.each([true, false])('writes pictures that another decoder reads back exactly (opaque: %s)', async (opaque) => {
    const property = fc.asyncProperty(rasters(opaque), async (raster) => {
      expect(await decode(encodePng(raster))).toEqual(raster);
    });
    await fc.assert(property, { numRuns: 80 });
  });

  it('leaves the alpha channel out when nothing is transparent', async () => {
    const data = new Uint8ClampedArray(16).fill(255);
    expect((await sharp(encodePng({ width: 2, height: 2, data })).metadata()).channels).toBe(3);
    data[7] = 254;
    expect((await sharp(encodePng({ width: 2, height: 2, data })).metadata()).channels).toBe(4);
  });

  it('says who made it', async () => {
    const file = encodePng({ width: 1, height: 1, data: new Uint8ClampedArray(4) });
    expect((await sharp(file).metadata()).comments).toEqual([{ keyword: 'Software', text: 'Pinhole sandbox' }]);
  });

  it('has its bytes in memory of their own', () => {
    const file = encodePng({ width: 1, height: 1, data: new Uint8ClampedArray(4) });
    expect(file.buffer.byteLength).toBe(file.byteLength);
  });
});
