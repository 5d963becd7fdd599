import { isUtf8 } from 'node:buffer';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createUtf8Check } from '../../../src/body/utf8.ts';
import { bytewise, cut, cuts } from './pieces.ts';

function isUtf8InPieces(pieces: readonly Uint8Array[]): boolean {
  const check = createUtf8Check();
  return pieces.every((piece) => check.write(piece)) && check.end();
}

const texts = fc.string({ unit: 'binary' }).map((text) => Buffer.from(text));
/** Bytes that often are UTF-8, or nearly. */
const bytes = fc.oneof(
  texts,
  fc.uint8Array({ maxLength: 12 }).map((some) => Buffer.from(some)),
  fc
    .array(fc.constantFrom(0x41, 0x80, 0xbf, 0xc3, 0xc0, 0xe2, 0x82, 0xac, 0xed, 0xa0, 0xf0, 0x9f, 0xf4, 0xf8, 0xff), {
      maxLength: 8,
    })
    .map((some) => Buffer.from(some)),
);

describe('createUtf8Check', () => {
  it('says the same of pieces as of the whole', () => {
    fc.assert(
      fc.property(bytes, cuts, (whole, positions) => {
        expect(isUtf8InPieces(cut(whole, positions))).toBe(isUtf8(whole));
        expect(isUtf8InPieces(bytewise(whole))).toBe(isUtf8(whole));
      }),
      { numRuns: 2000 },
    );
  });
});
