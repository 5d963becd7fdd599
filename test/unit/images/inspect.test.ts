import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createPictureInspector, type Inspection } from '../../../src/images/inspect.ts';
import { orientationExif } from '../../../src/images/orientation.ts';
import { png as plainPng } from '../../fixtures/pictures.ts';
import {
  height,
  jpegSegment,
  picture,
  pngChunk,
  samples,
  signed,
  webpChunk,
  width,
  withJpegSegments,
  withPngChunks,
  withWebpChunks,
} from '../../fixtures/picture-files.ts';

const size = { width, height };

/** The inspection of a file that comes in pieces of this size. */
function inspected(bytes: Uint8Array, pieceBytes = bytes.byteLength || 1): Inspection {
  const inspector = createPictureInspector();
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) inspector.write(bytes.subarray(at, at + pieceBytes));
  return inspector.end();
}

describe.each(Object.entries(samples))('a %s', (_, make) => {
  it('is whole, and of its size', async () => {
    expect(inspected(await make())).toMatchObject({ dimensions: size, complete: true });
  });

  it('is the same in whatever pieces it comes', async () => {
    const bytes = await make();
    for (const pieceBytes of [1, 2, 3, 7, 64, 100]) expect(inspected(bytes, pieceBytes)).toEqual(inspected(bytes));
  });

  it('is not whole when it is cut, wherever that is', async () => {
    const bytes = await make();
    for (let length = 0; length < bytes.byteLength; length += 1) {
      const { complete, dimensions } = inspected(bytes.subarray(0, length));
      if (length >= 12) expect([length, complete]).toEqual([length, false]);
      expect([undefined, size]).toContainEqual(dimensions);
    }
  });

  it('may have anything behind its end', async () => {
    const bytes = await make();
    for (const rest of ['\0', 'trailing garbage that nobody needs', '\xff\xd8\xff\xd9', 'IEND']) {
      expect(inspected(Buffer.concat([bytes, Buffer.from(rest, 'latin1')]))).toMatchObject({ complete: true });
    }
  });
});

describe('the inspection', () => {
  it('finds the size of a JPEG behind metadata of any length', async () => {
    const segments = Array.from({ length: 50 }, () => jpegSegment(0xe1, Buffer.alloc(65_000, 'x')));
    const bytes = withJpegSegments(await samples.jpeg(), ...segments);
    expect(inspected(bytes, 10_000)).toMatchObject({ dimensions: size, complete: true });
  });

  it('keeps nothing of a piece, whose memory may be given back at once', async () => {
    const exif = Buffer.concat([Buffer.from('Exif\0\0'), orientationExif(6), Buffer.alloc(20_000)]);
    const bytes = withJpegSegments(await samples.jpeg(), jpegSegment(0xe1, exif));
    const inspector = createPictureInspector();
    for (let at = 0; at < bytes.byteLength; at += 6000) {
      const piece = Uint8Array.from(bytes.subarray(at, at + 6000));
      inspector.write(piece);
      piece.buffer.transfer(0);
    }
    expect(inspector.end()).toEqual(inspected(bytes));
    expect(inspected(bytes).edits.some(({ replacement }) => replacement.byteLength > 0)).toBe(true);
  });

  it('does not take the end of a thumbnail for that of the picture', async () => {
    const jpeg = await picture().jpeg().toBuffer();
    const bytes = withJpegSegments(jpeg, jpegSegment(0xe1, Buffer.concat([Buffer.from('Exif\0\0'), jpeg])));
    expect(inspected(bytes)).toMatchObject({ dimensions: size, complete: true });
    expect(inspected(bytes.subarray(0, -2))).toMatchObject({ dimensions: size, complete: false });
  });

  it.each([
    ['a PNG of no width', png(0, 9), { width: 0, height: 9 }],
    ['a PNG that claims to be vast', png(30_000, 30_000), { width: 30_000, height: 30_000 }],
    [
      'a PNG of all that the header can say',
      png(2 ** 32 - 1, 2 ** 32 - 1),
      { width: 2 ** 32 - 1, height: 2 ** 32 - 1 },
    ],
    ['a WebP whose frame is larger than its canvas', webpOf([4, 4], [16_000, 9000]), { width: 16_000, height: 9000 }],
    ['a GIF whose frame is larger than its screen', gif([1, 1], [60_000, 50_000]), { width: 60_000, height: 50_000 }],
    ['a BMP whose rows go downwards', bmp(640, -480), { width: 640, height: 480 }],
  ])('tells the size of %s', (_, bytes, dimensions) => {
    expect(inspected(bytes)).toMatchObject({ dimensions });
  });

  it.each([
    ['a PNG that does not begin with its header', Buffer.concat([plainPng().subarray(0, 8), pngChunk('IEND', '')])],
    ['a PNG with a header of another length', Buffer.concat([plainPng().subarray(0, 8), pngChunk('IHDR', 'x')])],
    ['a PNG with two headers', withPngChunks(plainPng(), plainPng().subarray(8, 33))],
    ['a PNG with a chunk that is too long', withPngChunks(plainPng(), Buffer.from('ffffffff49444154', 'hex'))],
    ['a JPEG without a frame', Buffer.from('ffd8ffe000024a46ffd9', 'hex')],
    ['a JPEG with a segment of no length', Buffer.from('ffd8ffe00000ffd9', 'hex')],
    ['a WebP without a picture', withWebpChunks(Buffer.from('RIFF\0\0\0\0WEBP'), webpChunk('ICCP', 'x'))],
    [
      'a WebP with a chunk that is too long',
      withWebpChunks(Buffer.from('RIFF\0\0\0\0WEBP'), Buffer.from('VP8L\xff\xff\xff\0', 'latin1')),
    ],
    ['a GIF with something else in it', Buffer.concat([gif([1, 1], [1, 1]).subarray(0, -1), Buffer.from('\x99')])],
    ['an AVIF without a description', Buffer.from('\0\0\0\x14ftypavif\0\0\0\0mif1\0\0\0\x08mdat')],
    ['an AVIF with a box of no length', Buffer.from('\0\0\0\x14ftypavif\0\0\0\0mif1\0\0\0\x07meta')],
  ])('does not take %s for a whole one', (_, bytes) => {
    expect(inspected(bytes)).toMatchObject({ complete: false });
  });

  it('knows boxes with long sizes, and the one that goes to the end of the file', async () => {
    const avif = await samples.avif();
    const at = avif.indexOf('mdat') - 4;
    const long = Buffer.alloc(16);
    long.writeUInt32BE(1);
    long.write('mdat', 4);
    long.writeBigUInt64BE(BigInt(avif.byteLength - at + 8), 8);
    expect(inspected(Buffer.concat([avif.subarray(0, at), long, avif.subarray(at + 8)]))).toMatchObject({
      dimensions: size,
      complete: true,
    });
    const endless = Buffer.from(avif);
    endless.writeUInt32BE(0, at);
    expect(inspected(endless)).toMatchObject({ dimensions: size, complete: true });
  });

  it('says at once what the header has said', async () => {
    const bytes = await signed().png().toBuffer();
    const inspector = createPictureInspector();
    inspector.write(bytes.subarray(0, 63));
    expect(inspector.seen()).toBeUndefined();
    inspector.write(bytes.subarray(63, 64));
    expect(inspector.seen()).toMatchObject({ mediaType: 'image/png', dimensions: size });
  });

  it('never fails, whatever the bytes', () => {
    const beginnings = fc.constantFrom(
      '89504e470d0a1a0a0000000d49484452',
      'ffd8ffe0',
      'ffd8ffe1',
      '524946462000000057454250',
      '524946460000010057454250565038580a000000',
      '474946383961',
      '0000001466747970617669660000000061766966',
      '424d00000000000000000000000028000000',
      '49492a00',
      '',
    );
    const bytes = fc.uint8Array({ maxLength: 400 });
    fc.assert(
      fc.property(beginnings, bytes, fc.integer({ min: 1, max: 64 }), (beginning, rest, pieceBytes) => {
        const file = Buffer.concat([Buffer.from(beginning, 'hex'), rest]);
        const { edits, ...whole } = inspected(file, pieceBytes);
        expect(inspected(file)).toEqual({ ...whole, edits });
        let end = 0;
        for (const edit of edits) {
          expect(edit.start).toBeGreaterThanOrEqual(end);
          expect(edit.end).toBeGreaterThan(edit.start);
          ({ end } = edit);
        }
        expect(end).toBeLessThanOrEqual(file.byteLength);
      }),
      { numRuns: 500 },
    );
  });

  it('never fails, whichever bytes of a real file are others', async () => {
    const files = await Promise.all(Object.values(samples).map((make) => make()));
    fc.assert(
      fc.property(
        fc.constantFrom(...files),
        fc.array(fc.tuple(fc.nat(2000), fc.nat(255)), { maxLength: 12 }),
        (file, changes) => {
          const changed = Buffer.from(file);
          for (const [at, value] of changes) changed[at % changed.byteLength] = value;
          expect(inspected(changed, 50)).toEqual(inspected(changed));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('does not let the list of places outgrow the file', () => {
    const chunks = Array.from({ length: 20_000 }, (_, index) => pngChunk(index % 2 === 0 ? 'IDAT' : 'tEXt', ''));
    const { complete, edits } = inspected(withPngChunks(plainPng(), ...chunks));
    expect(complete).toBe(false);
    expect(edits.length).toBeLessThan(5000);
  });
});

/** The first bytes of a PNG that says it is of this size. */
function png(width: number, height: number): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width);
  header.writeUInt32BE(height, 4);
  return Buffer.concat([plainPng().subarray(0, 8), pngChunk('IHDR', header)]);
}

type Sides = readonly [width: number, height: number];

function gif(screen: Sides, frame: Sides): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.write('GIF89a');
  bytes.writeUInt16LE(screen[0], 6);
  bytes.writeUInt16LE(screen[1], 8);
  bytes.writeUInt8(0x2c, 13);
  bytes.writeUInt16LE(frame[0], 18);
  bytes.writeUInt16LE(frame[1], 20);
  bytes.writeUInt8(2, 23);
  bytes.writeUInt8(1, 24);
  bytes.writeUInt8(0x3b, 27);
  return bytes;
}

function webpOf(canvas: Sides, frame: Sides): Buffer {
  const extended = Buffer.alloc(10);
  extended.writeUIntLE(canvas[0] - 1, 4, 3);
  extended.writeUIntLE(canvas[1] - 1, 7, 3);
  const lossy = Buffer.alloc(10);
  lossy.writeUInt16LE(frame[0], 6);
  lossy.writeUInt16LE(frame[1], 8);
  return withWebpChunks(Buffer.from('RIFF\0\0\0\0WEBP'), webpChunk('VP8X', extended), webpChunk('VP8 ', lossy));
}

function bmp(width: number, height: number): Buffer {
  const bytes = Buffer.alloc(70);
  bytes.write('BM');
  bytes.writeUInt8(40, 14);
  bytes.writeInt32LE(width, 18);
  bytes.writeInt32LE(height, 22);
  return bytes;
}
