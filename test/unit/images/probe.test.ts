import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { probeDimensions } from '../../../src/images/inspect.ts';
import { fileExtension, sniffMediaType } from '../../../src/images/probe.ts';

function picture(): ReturnType<typeof sharp> {
  return sharp({ create: { width: 37, height: 21, channels: 4, background: { r: 200, g: 80, b: 40, alpha: 0.5 } } });
}

const size = { width: 37, height: 21 };

describe('sniffMediaType and probeDimensions', () => {
  it.each([
    ['image/png', () => picture().png()],
    ['image/jpeg', () => picture().jpeg()],
    ['image/jpeg', () => picture().jpeg({ progressive: true })],
    [
      'image/jpeg',
      () =>
        picture()
          .withExif({ IFD0: { Copyright: 'nobody '.repeat(1000) } })
          .jpeg(),
    ],
    ['image/webp', () => picture().webp()],
    ['image/webp', () => picture().webp({ lossless: true })],
    ['image/webp', () => picture().removeAlpha().webp()],
    ['image/gif', () => picture().gif()],
    ['image/avif', () => picture().avif({ effort: 0 })],
  ])('know a real %s', async (mediaType, make) => {
    const bytes = await make().toBuffer();
    expect(sniffMediaType(bytes)).toBe(mediaType);
    expect(probeDimensions(bytes)).toEqual(size);
    expect(sniffMediaType(new Uint8Array(bytes.subarray(0, 16)))).toBe(mediaType);
  });

  it('know a real TIFF, but not its size', async () => {
    const bytes = await picture().tiff().toBuffer();
    expect(sniffMediaType(bytes)).toBe('image/tiff');
    expect(probeDimensions(bytes)).toBeUndefined();
  });

  it('find the frame of a JPEG behind tables and fill bytes', () => {
    const tables = 'ffc40004aaaaffcc0004bbbbffffffdb0004ccccffd0';
    const bytes = Buffer.from(`ffd8${tables}ffc20011080015002503`, 'hex');
    expect(probeDimensions(bytes)).toEqual(size);
    expect(probeDimensions(Buffer.from('ffd8ff00ffff', 'hex'))).toBeUndefined();
    expect(probeDimensions(Buffer.from('ffd8ffe0000200c20011080015002503', 'hex'))).toBeUndefined();
  });

  it('do not fail on a head that is cut anywhere', async () => {
    const makers = [
      picture().png(),
      picture().jpeg(),
      picture().webp(),
      picture().gif(),
      picture().avif({ effort: 0 }),
    ];
    for (const made of makers) {
      const bytes = await made.toBuffer();
      for (let length = 0; length < Math.min(bytes.length, 700); length += 1) {
        const found = probeDimensions(bytes.subarray(0, length));
        expect([undefined, size]).toContainEqual(found);
        sniffMediaType(bytes.subarray(0, length));
      }
    }
  });

  it.each([
    ['image/heic', Buffer.from('\0\0\0\x18ftypheic\0\0\0\0mif1heic')],
    ['image/heic', Buffer.from('\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf')],
    ['image/avif', Buffer.from('\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf')],
    ['image/bmp', Buffer.concat([Buffer.from('BM'), Buffer.alloc(12), Buffer.of(40, 0, 0, 0)])],
    ['image/tiff', Buffer.from('MM\0*\0\0\0\x08')],
    ['image/svg+xml', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')],
    ['image/svg+xml', Buffer.from('\u{feff}\n <?xml version="1.0"?>\n<!-- a --><svg/>')],
    ['image/svg+xml', Buffer.from('<!DOCTYPE svg PUBLIC "x"><svg/>')],
  ])('know %s by its beginning', (mediaType, head) => {
    expect(sniffMediaType(head)).toBe(mediaType);
  });

  it.each([
    '',
    'BM is how this text begins, and it goes on for a while',
    '<html><body><svg/></body></html>',
    '<?xml version="1.0"?><feed/>',
    '\0\0\0\x18ftypmp42\0\0\0\0mp42isom',
    '\0\0\0\x10ftypmif1\0\0\0\0heicheic',
    'RIFF\0\0\0\0WAVEfmt ',
    '{"error":"no"}',
    'data:image/png;base64,',
  ])('do not take %j for a picture', (text) => {
    expect(sniffMediaType(Buffer.from(text))).toBeUndefined();
    expect(probeDimensions(Buffer.from(text))).toBeUndefined();
  });
});

describe('fileExtension', () => {
  it('names the usual extension, whatever stands behind the media type', () => {
    expect(fileExtension('image/png')).toBe('png');
    expect(fileExtension('Image/JPEG; quality=1')).toBe('jpg');
    expect(fileExtension('image/svg+xml')).toBe('svg');
    expect(fileExtension('application/x-unknown')).toBe('bin');
  });
});
