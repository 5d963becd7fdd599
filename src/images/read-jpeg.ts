/** The layout of JPEG: ITU-T T.81, annex B. */
import { noteDimensions, noteEdit, type Findings, type Position } from './findings.ts';
import { exifOrientation, orientationExif } from './orientation.ts';
import { find, skip, take, type Reading } from './reading.ts';

const endOfImage = 0xd9;
const comment = 0xfe;

/** Application segments that say how the samples are to be understood; all others tell something about the picture. */
const shown: Readonly<Record<number, string>> = { 0xe0: 'JFIF\0', 0xe2: 'ICC_PROFILE\0', 0xee: 'Adobe' };
const longestName = 'ICC_PROFILE\0'.length;

/**
 * Goes from marker to marker. In compressed data no byte of 0xff is a marker that has a segment, so segments and the data
 * between them need no telling apart; what strays between segments is passed over, as decoders do.
 */
export function* readJpeg(findings: Findings, at: Position): Reading {
  yield* skip(2);
  let hasOrientation = false;
  for (;;) {
    yield* find(0xff);
    let marker = 0xff;
    // Fill bytes may stand before a marker.
    while (marker === 0xff) marker = (yield* take(1)).readUInt8(0);
    if (marker === endOfImage) break;
    if (isStandalone(marker)) continue;

    const start = at() - 2;
    const byteLength = (yield* take(2)).readUInt16BE(0) - 2;
    if (byteLength < 0) return;
    if (isFrameStart(marker) && byteLength >= 5) {
      const frame = yield* take(5);
      noteDimensions(findings, frame.readUInt16BE(3), frame.readUInt16BE(1));
      yield* skip(byteLength - 5);
    } else if (isApplication(marker) || marker === comment) {
      const name = (yield* take(Math.min(byteLength, longestName))).toString('latin1');
      const word = shown[marker];
      const stays = word !== undefined && name.startsWith(word);
      const rest = byteLength - name.length;
      let orientation: number | undefined;
      if (marker === 0xe1 && name.startsWith('Exif\0\0') && !hasOrientation) {
        const exif = Buffer.concat([Buffer.from(name, 'latin1'), yield* take(rest)]);
        orientation = exifOrientation(exif);
        hasOrientation = orientation !== undefined;
      } else {
        yield* skip(rest);
      }
      if (!stays && !noteEdit(findings, start, at(), orientationSegment(orientation))) return;
    } else {
      yield* skip(byteLength);
    }
  }
  findings.complete = findings.dimensions !== undefined;
  noteEdit(findings, at(), Infinity);
}

/** Markers without a segment: stuffed bytes, restarts, the beginning of an image. */
function isStandalone(marker: number): boolean {
  return marker <= 0x01 || (marker >= 0xd0 && marker <= 0xd8);
}

/** SOF0 to SOF15, but for DHT, JPG and DAC, which lie between them. */
function isFrameStart(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

function isApplication(marker: number): boolean {
  return marker >= 0xe0 && marker <= 0xef;
}

function orientationSegment(orientation: number | undefined): Buffer<ArrayBuffer> {
  if (orientation === undefined) return Buffer.alloc(0);
  const data = Buffer.concat([Buffer.from('Exif\0\0'), orientationExif(orientation)]);
  const head = Buffer.from('ffe10000', 'hex');
  head.writeUInt16BE(data.byteLength + 2, 2);
  return Buffer.concat([head, data]);
}
