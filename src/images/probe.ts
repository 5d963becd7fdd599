import { asBuffer } from '../body/as-buffer.ts';

/** Width and height in pixels. */
export interface Dimensions {
  readonly width: number;
  readonly height: number;
}

interface ImageFormat {
  readonly mediaType: string;
  readonly extension: string;
  matches(head: Buffer): boolean;
  /** Where the header tells the size in a way that we read. Only called for what matched. */
  readonly dimensions?: (head: Buffer) => Dimensions | undefined;
}

const startsWith =
  (...magic: readonly Uint8Array[]) =>
  (head: Buffer): boolean =>
    magic.some((bytes) => head.subarray(0, bytes.byteLength).equals(bytes));

/** In the order in which they are tried. */
const formats: readonly ImageFormat[] = [
  {
    mediaType: 'image/png',
    extension: 'png',
    matches: startsWith(Buffer.from('89504e470d0a1a0a', 'hex')),
    dimensions: pngDimensions,
  },
  {
    mediaType: 'image/jpeg',
    extension: 'jpg',
    matches: startsWith(Buffer.from('ffd8ff', 'hex')),
    dimensions: jpegDimensions,
  },
  {
    mediaType: 'image/webp',
    extension: 'webp',
    matches: (head) => word(head, 0) === 'RIFF' && word(head, 8) === 'WEBP',
    dimensions: webpDimensions,
  },
  {
    mediaType: 'image/gif',
    extension: 'gif',
    matches: startsWith(Buffer.from('GIF87a'), Buffer.from('GIF89a')),
    dimensions: gifDimensions,
  },
  { mediaType: 'image/avif', extension: 'avif', matches: hasBrand('avif', 'avis') },
  { mediaType: 'image/heic', extension: 'heic', matches: hasBrand('heic', 'heix', 'heim', 'heis', 'hevc', 'hevx') },
  { mediaType: 'image/bmp', extension: 'bmp', matches: isBitmap },
  {
    mediaType: 'image/tiff',
    extension: 'tiff',
    matches: startsWith(Buffer.from('49492a00', 'hex'), Buffer.from('4d4d002a', 'hex')),
  },
  { mediaType: 'image/svg+xml', extension: 'svg', matches: isSvg },
];

/** What kind of picture begins with these bytes, by its magic number; undefined when it is none that we know. */
export function sniffMediaType(head: Uint8Array): string | undefined {
  return formatOf(asBuffer(head))?.mediaType;
}

/** The usual extension of a file of this media type, without the dot; `bin` for types that we do not know. */
export function fileExtension(mediaType: string): string {
  const bare = mediaType.split(';', 1)[0]?.trim().toLowerCase();
  return formats.find((format) => format.mediaType === bare)?.extension ?? 'bin';
}

/**
 * The size of a PNG, JPEG, WebP or GIF by its header, without decoding it; undefined for other kinds and when the head
 * is too short. A JPEG with large metadata before its frame needs up to several hundred KiB.
 */
export function probeDimensions(head: Uint8Array): Dimensions | undefined {
  const bytes = asBuffer(head);
  return formatOf(bytes)?.dimensions?.(bytes);
}

function formatOf(head: Buffer): ImageFormat | undefined {
  return formats.find((format) => format.matches(head));
}

function pngDimensions(bytes: Buffer): Dimensions | undefined {
  return bytes.length < 24 ? undefined : { width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
}

function gifDimensions(bytes: Buffer): Dimensions | undefined {
  return bytes.length < 10 ? undefined : { width: bytes.readUInt16LE(6), height: bytes.readUInt16LE(8) };
}

/** Source: RFC 9649 §2.5 to §2.7 for the three kinds of first chunk. */
function webpDimensions(bytes: Buffer): Dimensions | undefined {
  if (bytes.length < 30) return undefined;
  switch (word(bytes, 12)) {
    case 'VP8 ':
      return { width: bytes.readUInt16LE(26) & 0x3fff, height: bytes.readUInt16LE(28) & 0x3fff };
    case 'VP8L': {
      const bits = bytes.readUInt32LE(21);
      return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
    }
    case 'VP8X':
      return { width: bytes.readUIntLE(24, 3) + 1, height: bytes.readUIntLE(27, 3) + 1 };
    default:
      return undefined;
  }
}

/** Walks the segments to the start of the frame. Source: ITU-T T.81, annex B. */
function jpegDimensions(bytes: Buffer): Dimensions | undefined {
  let at = 2;
  while (at + 9 <= bytes.length) {
    const marker = bytes[at + 1] ?? 0;
    if (bytes[at] !== 0xff) return undefined;
    if (marker === 0xff) {
      // Fill bytes may stand before a marker.
      at += 1;
    } else if (isStandalone(marker)) {
      at += 2;
    } else if (isFrameStart(marker)) {
      return { width: bytes.readUInt16BE(at + 7), height: bytes.readUInt16BE(at + 5) };
    } else {
      at += 2 + bytes.readUInt16BE(at + 2);
    }
  }
  return undefined;
}

function isStandalone(marker: number): boolean {
  return marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8);
}

/** SOF0 to SOF15, but for DHT, JPG and DAC, which lie between them. */
function isFrameStart(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

/** Whether an ISO base media file is of one of these brands, by its first box: ISO/IEC 14496-12 §4.3. */
function hasBrand(...brands: readonly string[]): (head: Buffer) => boolean {
  return (head) => {
    if (word(head, 4) !== 'ftyp') return false;
    const major = word(head, 8);
    // `mif1` and `msf1` only say that it is a picture, or several; the compatible brands say which.
    if (major !== 'mif1' && major !== 'msf1') return brands.includes(major);
    const end = Math.min(head.length, head.readUInt32BE(0));
    for (let at = 16; at + 4 <= end; at += 4) if (brands.includes(word(head, at))) return true;
    return false;
  };
}

/** `BM` alone begins many a text: the size of the second header must be one that exists. */
function isBitmap(head: Buffer): boolean {
  if (head.length < 18 || head.toString('ascii', 0, 2) !== 'BM') return false;
  return [12, 16, 40, 52, 56, 64, 108, 124].includes(head.readUInt32LE(14));
}

const svgStart = Buffer.from('<svg');
const prologStarts = ['<?xml', '<!DOCTYPE svg', '<!doctype svg', '<!--'].map((text) => Buffer.from(text));

function isSvg(head: Buffer): boolean {
  const text = head.subarray(afterBlanks(head));
  const begins = (start: Buffer): boolean => text.subarray(0, start.length).equals(start);
  return begins(svgStart) || (prologStarts.some(begins) && text.includes(svgStart));
}

function afterBlanks(head: Buffer): number {
  const mark = Buffer.from('\u{feff}');
  let at = head.subarray(0, mark.length).equals(mark) ? mark.length : 0;
  while (' \t\r\n'.includes(String.fromCharCode(head[at] ?? 0))) at += 1;
  return at;
}

/** Four bytes as ASCII; shorter at the end. */
function word(head: Buffer, at: number): string {
  return head.toString('ascii', at, at + 4);
}
