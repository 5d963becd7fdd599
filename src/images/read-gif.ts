/** The layout of GIF, animated or not: https://www.w3.org/Graphics/GIF/spec-gif89a.txt */
import { noteDimensions, type Findings } from './findings.ts';
import { skip, take, type Reading } from './reading.ts';

const trailer = 0x3b;
const extension = 0x21;
const imageDescriptor = 0x2c;

export function* readGif(findings: Findings): Reading {
  const head = yield* take(13);
  noteDimensions(findings, head.readUInt16LE(6), head.readUInt16LE(8));
  yield* skip(colourTableBytes(head.readUInt8(10)));
  for (;;) {
    const introducer = (yield* take(1)).readUInt8(0);
    if (introducer === extension) {
      yield* skip(1);
      yield* skipSubBlocks();
    } else if (introducer === imageDescriptor) {
      const descriptor = yield* take(9);
      noteDimensions(findings, descriptor.readUInt16LE(4), descriptor.readUInt16LE(6));
      yield* skip(colourTableBytes(descriptor.readUInt8(8)));
      // The size of a code.
      yield* skip(1);
      yield* skipSubBlocks();
    } else if (introducer !== 0) {
      // The trailer, or nothing that a GIF has. Zeros stray between blocks now and then.
      findings.complete = introducer === trailer;
      return;
    }
  }
}

function colourTableBytes(flags: number): number {
  return (flags & 0x80) === 0 ? 0 : 3 << ((flags & 7) + 1);
}

function* skipSubBlocks(): Reading {
  for (let byteLength = -1; byteLength !== 0;) {
    byteLength = (yield* take(1)).readUInt8(0);
    yield* skip(byteLength);
  }
}
