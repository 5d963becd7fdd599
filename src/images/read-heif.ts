/** The layout of AVIF and HEIC: boxes of ISO/IEC 14496-12, and their properties in ISO/IEC 23008-12 §6.5. */
import { noteDimensions, type Findings } from './findings.ts';
import { skip, take, type Reading } from './reading.ts';

/** Far more than the description of any picture has, whatever the number of its tiles. */
const longestMeta = 4 * 1024 * 1024;
const headBytes = 8;

export function* readHeif(findings: Findings): Reading {
  let isDescribed = false;
  let hasData = false;
  for (;;) {
    const head = yield* take(headBytes);
    const type = head.toString('latin1', 4, 8);
    const size = head.readUInt32BE(0);
    // A size of 1 says that the real one follows; 0 that the box goes to the end of the file, however far that is.
    const body = size === 1 ? Number((yield* take(8)).readBigUInt64BE(0)) - 16 : size - headBytes;
    if (size === 0) {
      findings.complete = isDescribed;
      return;
    }
    if (body < 0) return;
    // What stands behind a whole picture need not be a box.
    if (type === 'mdat') findings.complete = false;
    if (type === 'meta' && body <= longestMeta) {
      const meta = yield* take(body);
      readMeta(meta, findings);
      isDescribed ||= findings.dimensions !== undefined;
      hasData ||= meta.includes('idat');
    } else {
      yield* skip(body);
    }
    // A sequence tells its size elsewhere.
    isDescribed ||= type === 'moov';
    hasData ||= type === 'mdat';
    if (type === 'mdat' || !findings.complete) findings.complete = isDescribed && hasData;
  }
}

/** The sizes of all pictures in the file: the whole, its tiles, its thumbnails. */
function readMeta(meta: Buffer, findings: Findings): void {
  // Version and flags stand before the boxes within.
  for (const properties of boxes(meta.subarray(4), 'iprp')) {
    for (const container of boxes(properties, 'ipco')) {
      for (const extents of boxes(container, 'ispe')) {
        if (extents.byteLength >= 12) noteDimensions(findings, extents.readUInt32BE(4), extents.readUInt32BE(8));
      }
    }
  }
}

function* boxes(bytes: Buffer, wanted: string): Generator<Buffer> {
  for (let at = 0; at + headBytes <= bytes.byteLength;) {
    const size = bytes.readUInt32BE(at);
    if (size < headBytes) return;
    if (bytes.toString('latin1', at + 4, at + headBytes) === wanted) yield bytes.subarray(at + headBytes, at + size);
    at += size;
  }
}
