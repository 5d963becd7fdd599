import { describe, expect, it, vi } from 'vitest';
import { decodePicture, encodePicture } from '../../../src/images/codecs.ts';
import { createRaster } from '../../../src/images/raster.ts';

vi.mock('sharp', () => {
  throw new Error('not installed');
});

describe('without sharp', () => {
  const raster = createRaster(8, 8);

  it('pictures are still written as PNG', async () => {
    const file = await encodePicture(raster, 'png', 100);
    expect([...file.subarray(1, 4)]).toEqual([...Buffer.from('PNG')]);
  });

  it('other formats and edits are refused by name', async () => {
    for (const format of ['jpeg', 'webp', 'avif'] as const) {
      const refusal = { code: 'unsupported_parameter', param: 'output_format' };
      await expect(encodePicture(raster, format, 80)).rejects.toMatchObject(refusal);
    }
    const file = await encodePicture(raster, 'png', 100);
    await expect(decodePicture(file, raster, 'image')).rejects.toMatchObject({ code: 'operation_not_supported' });
  });
});
