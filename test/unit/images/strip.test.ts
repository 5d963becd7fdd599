import * as fc from 'fast-check';
import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { collectPayload, payloadByteLength } from '../../../src/images/convert-payload.ts';
import { inspectPicture } from '../../../src/images/inspect.ts';
import type { ImagePayload } from '../../../src/images/payload.ts';
import { withoutMetadata } from '../../../src/images/strip.ts';
import {
  animated,
  jpegSegment,
  picture,
  pngChunk,
  samples,
  signed,
  webpChunk,
  withJpegSegments,
  withPngChunks,
  withWebpChunks,
} from '../../fixtures/picture-files.ts';

/** A file as a spooled one, read in pieces of this size. */
function spooled(bytes: Uint8Array, pieceBytes: number): ImagePayload & { kind: 'file' } {
  return {
    kind: 'file',
    file: {
      byteLength: bytes.byteLength,
      close: () => Promise.resolve(),
      async *read() {
        for (let at = 0; at < bytes.byteLength; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes);
      },
    },
  };
}

async function stripped(bytes: Uint8Array, pieceBytes = 50): Promise<Buffer> {
  const file = spooled(bytes, pieceBytes);
  const { edits } = await inspectPicture(file.file.read());
  const payload = await withoutMetadata(file, edits);
  const result = Buffer.from(await collectPayload(payload, 1e8));
  expect(payloadByteLength(payload)).toBe(result.byteLength);
  const inMemory = await withoutMetadata({ kind: 'bytes', bytes }, edits);
  expect(Buffer.from(await collectPayload(inMemory, 1e8)).equals(result)).toBe(true);
  return result;
}

/** The pixels as they are stored, and as they are meant to be seen. */
async function pixels(bytes: Buffer): Promise<readonly Buffer[]> {
  const open = (): Sharp => sharp(bytes, { animated: true });
  return Promise.all([open().raw().toBuffer(), open().autoOrient().raw().toBuffer()]);
}

/** Texts that must not be found any more. */
const telling = ['somebody', 'A camera', 'xmpmeta', 'c2pa', 'Adobe_CM', 'a secret'];

const jumbf = 'jumb-c2pa-manifest of somebody';
const photoshop = 'Photoshop 3.0\x008BIM\x04\x04Adobe_CM by somebody';

const files: Readonly<Record<string, () => Promise<Buffer>>> = {
  'a PNG with EXIF and XMP': () => signed().png().toBuffer(),
  'a PNG with texts, a date, C2PA and chunks of its own': async () =>
    withPngChunks(
      await signed().png().toBuffer(),
      pngChunk('tEXt', 'Author\0somebody'),
      pngChunk('zTXt', 'Comment\0\0a secret'),
      pngChunk('iTXt', 'prompt\0\0\0\0\0a secret'),
      pngChunk('tIME', Buffer.alloc(7)),
      pngChunk('caBX', jumbf),
      pngChunk('prVt', 'a secret'),
    ),
  'a PNG with something behind its end': async () =>
    Buffer.concat([await signed().png().toBuffer(), Buffer.from('a secret')]),
  'a JPEG with EXIF and XMP': () => signed().jpeg().toBuffer(),
  'a progressive JPEG with a colour profile': () =>
    signed().withIccProfile('p3').jpeg({ progressive: true }).toBuffer(),
  'a JPEG with IPTC, C2PA, comments and segments of its own': async () =>
    withJpegSegments(
      await signed().jpeg().toBuffer(),
      jpegSegment(0xed, photoshop),
      jpegSegment(0xeb, jumbf),
      jpegSegment(0xfe, 'a secret'),
      jpegSegment(0xe2, 'MPF\0a secret'),
      jpegSegment(0xe0, 'JFXX\0a secret'),
      jpegSegment(0xec, 'Ducky, a secret'),
    ),
  'a JPEG with a second picture behind it': async () =>
    Buffer.concat([await signed().jpeg().toBuffer(), await signed().jpeg().toBuffer()]),
  'a JPEG in CMYK': () =>
    picture()
      .toColourspace('cmyk')
      .withExif({ IFD0: { Make: 'A camera' } })
      .jpeg()
      .toBuffer(),
  'a WebP with EXIF and XMP': () => signed().webp().toBuffer(),
  'a lossless WebP with a colour profile': () => signed().withIccProfile('p3').webp({ lossless: true }).toBuffer(),
  'a WebP with C2PA and something behind its end': async () =>
    Buffer.concat([
      withWebpChunks(await signed().ensureAlpha(0.3).webp().toBuffer(), webpChunk('C2PA', `${jumbf}!`)),
      Buffer.from('a secret'),
    ]),
  'an animated WebP': async () => withWebpChunks(await animated('webp'), webpChunk('XMP ', '<x:xmpmeta/>')),
};

describe.each(Object.entries(files))('%s', (_, make) => {
  it('loses what it tells, and keeps its pixels and colours', async () => {
    const before = await make();
    const after = await stripped(before);
    expect(after.byteLength).toBeLessThan(before.byteLength);
    expect(telling.filter((text) => after.includes(text))).toEqual([]);
    expect(await pixels(after)).toEqual(await pixels(before));
    const [had, has] = await Promise.all([before, after].map((bytes) => sharp(bytes).metadata()));
    expect(has).toMatchObject({
      width: had?.width,
      height: had?.height,
      space: had?.space,
      hasProfile: had?.hasProfile,
    });
    expect([has?.exif, has?.xmp, has?.iptc, has?.comments]).toEqual([undefined, undefined, undefined, undefined]);
  });

  it('has nothing more to lose then', async () => {
    const once = await stripped(await make());
    const { edits, complete } = await inspectPicture(spooled(once, 50).file.read());
    expect({ edits, complete }).toEqual({ edits: [], complete: true });
  });
});

describe.each([
  ['png', (orientation: number) => signed(orientation).png().toBuffer()],
  ['jpeg', (orientation: number) => signed(orientation).jpeg().toBuffer()],
  ['webp', (orientation: number) => signed(orientation).webp({ lossless: true }).toBuffer()],
] as const)('a %s that is to be turned', (_, make) => {
  it.each([2, 3, 4, 5, 6, 7, 8])('still is, by orientation %i, and tells nothing else', async (orientation) => {
    const before = await make(orientation);
    const after = await stripped(before);
    const { orientation: kept, exif } = await sharp(after).metadata();
    expect(kept).toBe(orientation);
    expect(exif?.byteLength).toBeLessThan(40);
    expect(telling.filter((text) => after.includes(text))).toEqual([]);
    expect(await pixels(after)).toEqual(await pixels(before));
    expect(await stripped(after)).toEqual(after);
  });
});

describe('withoutMetadata', () => {
  it('leaves a file alone that has none, or whose layout is not edited', async () => {
    for (const make of [samples.gif, samples.avif, samples['animated gif'], samples['lossless webp']]) {
      const payload = spooled(await make(), 100);
      const { edits } = await inspectPicture(payload.file.read());
      expect(await withoutMetadata(payload, edits)).toBe(payload);
    }
  });

  it('edits base64 as well', async () => {
    const bytes = await signed().jpeg().toBuffer();
    const text = Buffer.from(bytes.toString('base64'));
    const payload: ImagePayload = {
      kind: 'base64',
      text: { slices: [text], byteLength: text.byteLength, escaped: false },
    };
    const { edits } = await inspectPicture(spooled(bytes, 50).file.read());
    const result = await collectPayload(await withoutMetadata(payload, edits), 1e8);
    expect(Buffer.from(result)).toEqual(await stripped(bytes));
  });

  it('keeps the pixels of any picture, with whatever metadata, however it is cut', async () => {
    const text = fc.string({ minLength: 1, maxLength: 200 });
    const parts = fc.array(fc.record({ place: fc.nat(8), text }), { minLength: 1, maxLength: 8 });
    const raw = fc.record({
      width: fc.integer({ min: 1, max: 24 }),
      height: fc.integer({ min: 1, max: 24 }),
      seed: fc.nat(255),
      orientation: fc.integer({ min: 1, max: 8 }),
      format: fc.constantFrom('png', 'jpeg', 'webp'),
    });
    await fc.assert(
      fc.asyncProperty(raw, parts, fc.integer({ min: 1, max: 90 }), async (made, parts, pieceBytes) => {
        const { width, height, seed, orientation, format } = made;
        const bytes = Buffer.from(Array.from({ length: width * height * 3 }, (_, index) => (index * seed) & 255));
        const file = await sharp(bytes, { raw: { width, height, channels: 3 } })
          .withMetadata({ orientation })
          .toFormat(format)
          .toBuffer();
        const before = withText(file, format, parts);
        const after = await stripped(before, pieceBytes);
        expect(await pixels(after)).toEqual(await pixels(before));
        expect(after.byteLength).toBeLessThan(before.byteLength);
      }),
      { numRuns: 60 },
    );
  });

  it('never fails on what is no picture', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
        await stripped(bytes, 7);
      }),
    );
    const bases = await Promise.all([
      signed().jpeg().toBuffer(),
      signed().png().toBuffer(),
      signed().webp().toBuffer(),
    ]);
    const changes = fc.array(fc.tuple(fc.nat(3000), fc.nat(255)), { maxLength: 10 });
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...bases), changes, async (base, changed) => {
        const bytes = Buffer.from(base);
        for (const [at, value] of changed) bytes[at % bytes.byteLength] = value;
        await stripped(bytes, 100);
      }),
      { numRuns: 200 },
    );
  });
});

/** The file with texts in places of all kinds. */
function withText(
  file: Buffer,
  format: 'png' | 'jpeg' | 'webp',
  parts: readonly { readonly place: number; readonly text: string }[],
): Buffer {
  if (format === 'png') {
    const types = ['tEXt', 'zTXt', 'iTXt', 'prVt', 'caBX', 'tIME'];
    return withPngChunks(file, ...parts.map(({ place, text }) => pngChunk(types[place % types.length] ?? '', text)));
  }
  if (format === 'jpeg') {
    const markers = [0xe1, 0xe3, 0xeb, 0xed, 0xfe, 0xef];
    return withJpegSegments(
      file,
      ...parts.map(({ place, text }) => jpegSegment(markers[place % markers.length] ?? 0, text)),
    );
  }
  const types = ['XMP ', 'C2PA', 'abcd'];
  return withWebpChunks(file, ...parts.map(({ place, text }) => webpChunk(types[place % types.length] ?? '', text)));
}
