/** The layout of BMP: https://learn.microsoft.com/windows/win32/gdi/bitmap-storage */
import { noteDimensions, type Findings } from './findings.ts';
import { take, type Reading } from './reading.ts';

/** The oldest header, whose sizes have two bytes. */
const coreHeaderBytes = 12;

export function* readBmp(findings: Findings): Reading {
  const head = yield* take(26);
  const isOld = head.readUInt32LE(14) === coreHeaderBytes;
  // A negative height says that the rows go from top to bottom.
  const [width, height] = isOld
    ? [head.readUInt16LE(18), head.readUInt16LE(20)]
    : [Math.abs(head.readInt32LE(18)), Math.abs(head.readInt32LE(22))];
  noteDimensions(findings, width, height);
  findings.complete = true;
}
