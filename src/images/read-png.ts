/** The layout of PNG, animated or not: https://www.w3.org/TR/png-3/ */
import { crc32 } from 'node:zlib';
import { noteDimensions, noteEdit, type Findings, type Position } from './findings.ts';
import { exifOrientation, orientationExif } from './orientation.ts';
import { skip, take, type Reading } from './reading.ts';

/** Chunks that a decoder needs to show the picture as it is meant; everything else tells something about it. */
const shown: ReadonlySet<string> = new Set(
  'PLTE IDAT tRNS gAMA cHRM sRGB iCCP cICP mDCV mDCv cLLI cLLi sBIT bKGD hIST pHYs sPLT acTL fcTL fdAT'.split(' '),
);
const longestChunk = 0x7fff_ffff;
/** Where the orientation stands in EXIF data, if anywhere. */
const exifBytes = 65_536;

export function* readPng(findings: Findings, at: Position): Reading {
  yield* skip(8);
  for (let isFirst = true; ; isFirst = false) {
    const start = at();
    const head = yield* take(8);
    const byteLength = head.readUInt32BE(0);
    const type = head.toString('latin1', 4, 8);
    if (byteLength > longestChunk || isFirst !== (type === 'IHDR')) return;

    let replacement = Buffer.alloc(0);
    if (isFirst) {
      if (byteLength !== 13) return;
      const header = yield* take(8);
      noteDimensions(findings, header.readUInt32BE(0), header.readUInt32BE(4));
      yield* skip(5 + 4);
      continue;
    } else if (type === 'eXIf') {
      const exif = yield* take(Math.min(byteLength, exifBytes));
      replacement = orientationChunk(exifOrientation(exif));
      yield* skip(byteLength - exif.byteLength + 4);
    } else {
      yield* skip(byteLength + 4);
    }
    if (type === 'IEND') break;
    // The first letter of a chunk that no decoder may pass over is a capital.
    const stays = shown.has(type) || /^[A-Z]/.test(type);
    if (!stays && !noteEdit(findings, start, at(), replacement)) return;
  }
  findings.complete = true;
  noteEdit(findings, at(), Infinity);
}

function orientationChunk(orientation: number | undefined): Buffer<ArrayBuffer> {
  if (orientation === undefined) return Buffer.alloc(0);
  const data = orientationExif(orientation);
  const body = Buffer.concat([Buffer.from('eXIf'), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.byteLength);
  const checksum = Buffer.alloc(4);
  checksum.writeUInt32BE(crc32(body));
  return Buffer.concat([length, body, checksum]);
}
