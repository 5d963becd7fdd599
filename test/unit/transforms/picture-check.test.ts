import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import { collectPayload } from '../../../src/images/convert-payload.ts';
import type { UploadedImage } from '../../../src/pipeline/call.ts';
import { createPictureCheck } from '../../../src/transforms/picture-check.ts';
import { samples, signed } from '../../fixtures/picture-files.ts';
import { bombPng, png } from '../../fixtures/pictures.ts';

/** What a check makes of a file that comes in pieces of this size. */
async function checked(
  bytes: Uint8Array,
  { pieceBytes = 100, maxPixels = 100_000, stripMetadata = false } = {},
): Promise<UploadedImage | GatewayError> {
  const check = createPictureCheck('mask', { maxPixels, stripMetadata });
  try {
    for (let at = 0; at < bytes.byteLength; at += pieceBytes) check.see(bytes.subarray(at, at + pieceBytes));
    return await check.admit({ kind: 'bytes', bytes });
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
}

describe('the check of an input picture', () => {
  it.each(Object.entries(samples))('admits a %s with its true type, byte by byte', async (name, make) => {
    const bytes = await make();
    const type = `image/${name.split(' ').find((word) => ['png', 'jpeg', 'webp', 'gif', 'avif'].includes(word)) ?? ''}`;
    expect(await checked(bytes)).toEqual({ kind: 'image', payload: { kind: 'bytes', bytes }, mediaType: type });
  });

  it('refuses a bomb with its first bytes', () => {
    const check = createPictureCheck('image', { maxPixels: 67_108_864, stripMetadata: false });
    const refuse = (): void => check.see(bombPng(30_000).subarray(0, 64));
    expect(refuse).toThrow(expect.objectContaining({ code: 'invalid_image', status: 400, param: 'image' }));
  });

  it('admits as many pixels as may be, and not one more', async () => {
    const bytes = png({ width: 40, height: 25 });
    expect(await checked(bytes, { maxPixels: 1000 })).toMatchObject({ kind: 'image' });
    expect(await checked(bytes, { maxPixels: 999 })).toMatchObject({ code: 'invalid_image' });
  });

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('text '.repeat(100))],
    ['an SVG', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')],
    ['half a PNG', png().subarray(0, -12)],
    ['a PNG header', png().subarray(0, 33)],
  ])('refuses %s', async (_, bytes) => {
    expect(await checked(bytes)).toMatchObject({ code: 'invalid_image', param: 'mask' });
  });

  it('either admits a file or refuses it, whatever its bytes, and never fails', async () => {
    const bases = await Promise.all([
      ...Object.values(samples).map((make) => make()),
      signed(6).jpeg().toBuffer(),
      signed(6).png().toBuffer(),
      signed(6).webp().toBuffer(),
    ]);
    const changes = fc.array(fc.tuple(fc.nat(4000), fc.nat(255)), { maxLength: 10 });
    const spoilt = fc.tuple(fc.constantFrom(...bases), changes, fc.nat(4000)).map(([base, changed, length]) => {
      const bytes = Buffer.from(base);
      for (const [at, value] of changed) bytes[at % bytes.byteLength] = value;
      return bytes.subarray(0, length);
    });
    const options = fc.record({ pieceBytes: fc.integer({ min: 1, max: 500 }), stripMetadata: fc.boolean() });
    await fc.assert(
      fc.asyncProperty(fc.oneof(spoilt, fc.uint8Array({ maxLength: 300 })), options, async (bytes, option) => {
        const outcome = await checked(bytes, option);
        if (outcome instanceof GatewayError) {
          expect(outcome).toMatchObject({ code: 'invalid_image', status: 400, param: 'mask' });
        } else {
          const kept = await collectPayload(outcome.payload, 1e6);
          expect(option.stripMetadata || kept.byteLength === bytes.byteLength).toBe(true);
        }
      }),
      { numRuns: 400 },
    );
  });
});
