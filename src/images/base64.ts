import {
  createBase64Decoder,
  createBase64Encoder,
  InvalidBase64,
  isPlainLetters,
  paddingByte,
  type Base64Codec,
  type Base64Options,
} from './base64-codec.ts';
import type { ByteText } from './payload.ts';

// Whoever converts meets these too.
export { createBase64Decoder, createBase64Encoder, InvalidBase64 } from './base64-codec.ts';

type Pieces = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** So much is converted at a time, that a large picture is not in memory twice. Divisible by 3 and by 4. */
const pieceBytes = 98_304;

/** How many letters so many bytes take, padding included. */
export function base64Length(byteLength: number): number {
  return Math.ceil(byteLength / 3) * 4;
}

/** Bytes to base64, as they come. */
export function encodeBase64(pieces: Pieces): AsyncIterable<Uint8Array> {
  return convert(pieces, createBase64Encoder());
}

/** Base64 to bytes, as it comes; what it takes is told at `createBase64Decoder`. Iterating throws InvalidBase64. */
export function decodeBase64(pieces: Pieces, options: Base64Options = {}): AsyncIterable<Uint8Array> {
  return convert(pieces, createBase64Decoder(options));
}

async function* convert(pieces: Pieces, codec: Base64Codec): AsyncIterable<Uint8Array> {
  for await (const piece of pieces) {
    for (let from = 0; from < piece.byteLength; from += pieceBytes) {
      const converted = codec.write(piece.subarray(from, from + pieceBytes));
      if (converted.byteLength > 0) yield converted;
    }
  }
  const rest = codec.end();
  if (rest.byteLength > 0) yield rest;
}

/** Bytes to base64, all at once. For small pictures. */
export function encodeBase64Bytes(bytes: Uint8Array): Uint8Array {
  const encoder = createBase64Encoder();
  return Buffer.concat([encoder.write(bytes), encoder.end()]);
}

/** Base64 to bytes, all at once. For small pictures. @throws InvalidBase64 */
export function decodeBase64Bytes(text: Uint8Array, options: Base64Options = {}): Uint8Array {
  const decoder = createBase64Decoder(options);
  return Buffer.concat([decoder.write(text), decoder.end()]);
}

/**
 * The first bytes of what a base64 text stands for, as far as its beginning tells; none when already that is not base64.
 * For a look at what is coming.
 */
export function base64Head(beginning: Uint8Array): Uint8Array {
  try {
    return createBase64Decoder().write(beginning);
  } catch (error) {
    if (error instanceof InvalidBase64) return new Uint8Array(0);
    throw error;
  }
}

/** How many bytes a text stands for, exactly. It looks at every letter once. @throws InvalidBase64 */
export function decodedLength(text: ByteText): number {
  return survey(text).decodedBytes;
}

/** Whether a text is base64 as RFC 4648 §4 writes it: the first alphabet, padded, and nothing else. */
export function isPlainBase64(text: ByteText): boolean {
  return survey(text).plain;
}

interface Survey {
  readonly decodedBytes: number;
  readonly plain: boolean;
}

/** A text does not change, so what was found out about it stays true as long as it lives. */
const surveys = new WeakMap<ByteText, Survey>();

function survey(text: ByteText): Survey {
  const known = surveys.get(text);
  if (known !== undefined) return known;
  const found = surveyPlain(text) ?? { decodedBytes: countDecoded(text), plain: false };
  surveys.set(text, found);
  return found;
}

function surveyPlain(text: ByteText): Survey | undefined {
  if (text.escaped || text.byteLength % 4 !== 0) return undefined;
  const paddings = countPaddings(text);
  let left = text.byteLength - paddings;
  for (const slice of text.slices) {
    if (!isPlainLetters(slice, Math.min(left, slice.byteLength))) return undefined;
    left = Math.max(0, left - slice.byteLength);
  }
  return { decodedBytes: (text.byteLength / 4) * 3 - paddings, plain: true };
}

/** Padding bytes at the end, two at most. */
function countPaddings(text: ByteText): number {
  let count = 0;
  for (const slice of text.slices.toReversed()) {
    for (let at = slice.byteLength - 1; at >= 0; at -= 1) {
      if (slice[at] !== paddingByte || count === 2) return count;
      count += 1;
    }
  }
  return count;
}

function countDecoded(text: ByteText): number {
  const decoder = createBase64Decoder(text);
  let count = 0;
  for (const slice of text.slices) {
    for (let from = 0; from < slice.byteLength; from += pieceBytes)
      count += decoder.write(slice.subarray(from, from + pieceBytes)).byteLength;
  }
  return count + decoder.end().byteLength;
}
