import { asBuffer } from '../body/as-buffer.ts';

interface ImageFormat {
  readonly mediaType: string;
  readonly extension: string;
  matches(head: Buffer): boolean;
}

const startsWith =
  (...magic: readonly Uint8Array[]) =>
  (head: Buffer): boolean =>
    magic.some((bytes) => head.subarray(0, bytes.byteLength).equals(bytes));

/** In the order in which they are tried. */
const formats: readonly ImageFormat[] = [
  { mediaType: 'image/png', extension: 'png', matches: startsWith(Buffer.from('89504e470d0a1a0a', 'hex')) },
  { mediaType: 'image/jpeg', extension: 'jpg', matches: startsWith(Buffer.from('ffd8ff', 'hex')) },
  {
    mediaType: 'image/webp',
    extension: 'webp',
    matches: (head) => word(head, 0) === 'RIFF' && word(head, 8) === 'WEBP',
  },
  { mediaType: 'image/gif', extension: 'gif', matches: startsWith(Buffer.from('GIF87a'), Buffer.from('GIF89a')) },
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

/** Enough of a file's first bytes for every magic number that we know. */
export const magicBytes = 64;

/** What kind of picture begins with these bytes, by its magic number; undefined when it is none that we know. */
export function sniffMediaType(head: Uint8Array): string | undefined {
  return formatOf(asBuffer(head))?.mediaType;
}

/** The usual extension of a file of this media type, without the dot; `bin` for types that we do not know. */
export function fileExtension(mediaType: string): string {
  const bare = mediaType.split(';', 1)[0]?.trim().toLowerCase();
  return formats.find((format) => format.mediaType === bare)?.extension ?? 'bin';
}

function formatOf(head: Buffer): ImageFormat | undefined {
  return formats.find((format) => format.matches(head));
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
