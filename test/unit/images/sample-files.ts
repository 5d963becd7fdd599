/** Real picture files of every kind whose layout the gateway knows, and pieces to make odd ones of. */
import sharp, { type Sharp } from 'sharp';
import { crc32 } from 'node:zlib';

export const width = 37;
export const height = 21;

export function picture(): Sharp {
  const raw = Buffer.from(Array.from({ length: width * height * 3 }, (_, index) => (index * 7 + (index >> 4)) & 255));
  return sharp(raw, { raw: { width, height, channels: 3 } });
}

const xmp =
  '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/></x:xmpmeta>';

/** With the author in its EXIF data, and XMP. */
export function signed(orientation = 1): Sharp {
  return picture()
    .withExif({ IFD0: { Copyright: 'somebody', Make: 'A camera' }, IFD3: { GPSLatitudeRef: 'N' } })
    .withXmp(xmp)
    .withMetadata({ orientation });
}

export async function animated(format: 'gif' | 'webp'): Promise<Buffer> {
  const frames = await Promise.all([1, 2, 3].map(() => picture().png().toBuffer()));
  const joined = sharp(frames, { join: { animated: true } });
  return format === 'gif' ? joined.gif().toBuffer() : joined.webp({ lossless: true }).toBuffer();
}

/** One file of each kind, by name. */
export const samples = {
  png: () => picture().png().toBuffer(),
  'interlaced png': () => picture().png({ progressive: true }).toBuffer(),
  'palette png': () => picture().png({ palette: true }).toBuffer(),
  jpeg: () => picture().jpeg().toBuffer(),
  'progressive jpeg': () => picture().jpeg({ progressive: true }).toBuffer(),
  'jpeg with restarts': () => picture().jpeg({ mozjpeg: true }).toBuffer(),
  webp: () => picture().webp().toBuffer(),
  'lossless webp': () => picture().webp({ lossless: true }).toBuffer(),
  'webp with alpha': () => picture().ensureAlpha(0.5).webp().toBuffer(),
  gif: () => picture().gif().toBuffer(),
  avif: () => picture().avif({ effort: 0 }).toBuffer(),
  'animated gif': () => animated('gif'),
  'animated webp': () => animated('webp'),
} satisfies Readonly<Record<string, () => Promise<Buffer>>>;

/** A chunk of a PNG. */
export function pngChunk(type: string, data: Uint8Array | string): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), Buffer.from(data)]);
  const [length, checksum] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(body.byteLength - 4);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}

/** A PNG with these chunks behind its header. */
export function withPngChunks(png: Buffer, ...chunks: readonly Buffer[]): Buffer {
  return Buffer.concat([png.subarray(0, 33), ...chunks, png.subarray(33)]);
}

/** A segment of a JPEG. */
export function jpegSegment(marker: number, data: Uint8Array | string): Buffer {
  const head = Buffer.of(0xff, marker, 0, 0);
  head.writeUInt16BE(Buffer.from(data).byteLength + 2, 2);
  return Buffer.concat([head, Buffer.from(data)]);
}

/** A JPEG with these segments behind its beginning. */
export function withJpegSegments(jpeg: Buffer, ...segments: readonly Buffer[]): Buffer {
  return Buffer.concat([jpeg.subarray(0, 2), ...segments, jpeg.subarray(2)]);
}

/** A chunk of a WebP. */
export function webpChunk(type: string, data: Uint8Array | string): Buffer {
  const bytes = Buffer.from(data);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.byteLength);
  return Buffer.concat([Buffer.from(type, 'latin1'), length, bytes, Buffer.alloc(bytes.byteLength % 2)]);
}

/** A WebP with these chunks behind all others. */
export function withWebpChunks(webp: Buffer, ...chunks: readonly Buffer[]): Buffer {
  const whole = Buffer.concat([webp, ...chunks]);
  whole.writeUInt32LE(whole.byteLength - 8, 4);
  return whole;
}
