/** The layout of WebP, animated or not: RFC 9649. */
import { noteDimensions, noteEdit, type Findings, type Position } from './findings.ts';
import { exifOrientation, orientationExif } from './orientation.ts';
import { skip, take, type Reading } from './reading.ts';

/** Chunks that a decoder needs to show the picture as it is meant; everything else tells something about it. */
const shown: ReadonlySet<string> = new Set(['VP8 ', 'VP8L', 'VP8X', 'ALPH', 'ANIM', 'ANMF', 'ICCP']);
const chunkHeadBytes = 8;
/** Where the orientation stands in EXIF data, if anywhere. */
const exifBytes = 65_536;
const exifFlag = 0x08;
const xmpFlag = 0x04;

export function* readWebp(findings: Findings, at: Position): Reading {
  const riffBytes = (yield* take(12)).readUInt32LE(4);
  const end = 8 + riffBytes;
  let flags: { readonly at: number; readonly value: number } | undefined;
  let hasOrientation = false;

  while (at() + chunkHeadBytes <= end) {
    const start = at();
    const head = yield* take(chunkHeadBytes);
    const type = head.toString('latin1', 0, 4);
    const byteLength = head.readUInt32LE(4);
    if (byteLength > end - at()) return;
    // Some writers leave out the byte that makes the last chunk even.
    const chunkEnd = Math.min(end, at() + byteLength + (byteLength % 2));

    let replacement = Buffer.alloc(0);
    if (type === 'VP8X' && byteLength >= 10) {
      const flagsAt = at();
      const canvas = yield* take(10);
      flags ??= { at: flagsAt, value: canvas.readUInt8(0) };
      noteDimensions(findings, canvas.readUIntLE(4, 3) + 1, canvas.readUIntLE(7, 3) + 1);
    } else if (type === 'VP8 ' && byteLength >= 10) {
      const frame = yield* take(10);
      noteDimensions(findings, frame.readUInt16LE(6) & 0x3fff, frame.readUInt16LE(8) & 0x3fff);
    } else if (type === 'VP8L' && byteLength >= 5) {
      const bits = (yield* take(5)).readUInt32LE(1);
      noteDimensions(findings, (bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1);
    } else if (type === 'EXIF' && !hasOrientation) {
      const orientation = exifOrientation(yield* take(Math.min(byteLength, exifBytes)));
      hasOrientation = orientation !== undefined;
      replacement = orientationChunk(orientation);
    }
    yield* skip(chunkEnd - at());
    if (!shown.has(type) && !noteEdit(findings, start, chunkEnd, replacement)) return;
  }
  yield* skip(end - at());

  findings.complete = findings.dimensions !== undefined;
  noteHeads(findings, riffBytes, flags, hasOrientation);
  noteEdit(findings, end, Infinity);
}

/** What the heads of the file say about chunks that go: their bytes, and which of them there are. */
function noteHeads(
  findings: Findings,
  riffBytes: number,
  flags: { readonly at: number; readonly value: number } | undefined,
  hasOrientation: boolean,
): void {
  const grown = findings.edits.reduce(
    (sum, { start, end, replacement }) => sum + replacement.byteLength - (end - start),
    0,
  );
  const heads: { start: number; replacement: Buffer }[] = [];
  if (grown !== 0) {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(riffBytes + grown);
    heads.push({ start: 4, replacement: size });
  }
  if (flags !== undefined) {
    const value = (flags.value & ~(exifFlag | xmpFlag)) | (hasOrientation ? exifFlag : 0);
    if (value !== flags.value) heads.push({ start: flags.at, replacement: Buffer.of(value) });
  }
  const edits = heads.map(({ start, replacement }) => ({ start, end: start + replacement.byteLength, replacement }));
  findings.edits = [...edits, ...findings.edits].toSorted((one, other) => one.start - other.start);
}

function orientationChunk(orientation: number | undefined): Buffer<ArrayBuffer> {
  if (orientation === undefined) return Buffer.alloc(0);
  const data = orientationExif(orientation);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(data.byteLength);
  return Buffer.concat([Buffer.from('EXIF'), length, data]);
}
