import { createJsonUnescaper } from '../body/json-unescape.ts';

/** Text that is not base64. */
export class InvalidBase64 extends Error {
  override readonly name = 'InvalidBase64';

  constructor(message = 'The text is not base64.') {
    super(message);
  }
}

/** Converts bytes piece by piece; what does not come out even is held back for the next piece. */
export interface Base64Codec {
  write(piece: Uint8Array): Uint8Array;
  /** What was held back. Call it once, last. */
  end(): Uint8Array;
}

export interface Base64Options {
  /** The text stood in a JSON string and still has its escapes, such as `\/` or `\n`. */
  readonly escaped?: boolean | undefined;
}

const alphabet = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
export const paddingByte = 0x3d;
const nothing = new Uint8Array(0);

/** The two letters of every 12 bits, as they lie in memory. */
const lettersOf = new Uint16Array(4096);
/** The 6 bits of a letter, or what else it is. */
const bitsOf = new Uint8Array(256);
/** The 12 bits of every two letters, first letter in the high byte. */
const bitsOfPair = new Uint16Array(65_536);

/** 0 for every two bytes that are letters of the first alphabet, in whichever order they lie in a word; 1 for others. */
const strangePairs = new Uint8Array(65_536);

const blank = 0x40;
const padding = 0x41;
const foreign = 0xff;
const noPair = 0xffff;

fillTables();

function fillTables(): void {
  const bytes = new Uint8Array(lettersOf.buffer);
  for (let bits = 0; bits < 4096; bits += 1) {
    bytes[bits * 2] = alphabet[bits >> 6] ?? 0;
    bytes[bits * 2 + 1] = alphabet[bits & 63] ?? 0;
  }
  bitsOf.fill(foreign);
  for (const byte of Buffer.from(' \t\r\n')) bitsOf[byte] = blank;
  bitsOf[paddingByte] = padding;
  for (const [bits, byte] of alphabet.entries()) bitsOf[byte] = bits;
  const isPlain = new Uint8Array(256);
  for (const byte of alphabet) isPlain[byte] = 1;
  // RFC 4648 §5, the alphabet for URLs.
  for (const [bits, byte] of [...Buffer.from('-_')].entries()) bitsOf[byte] = 62 + bits;
  for (let pair = 0; pair < 65_536; pair += 1) {
    const high = bitsOf[pair >> 8] ?? foreign;
    const low = bitsOf[pair & 255] ?? foreign;
    bitsOfPair[pair] = high < 64 && low < 64 ? high * 64 + low : noPair;
    strangePairs[pair] = (isPlain[pair >> 8] ?? 0) & (isPlain[pair & 255] ?? 0) ? 0 : 1;
  }
}

/** Bytes to base64. */
export function createBase64Encoder(): Base64Codec {
  let held: Uint8Array = nothing;

  return {
    write(piece) {
      if (held.byteLength + piece.byteLength < 3) {
        held = Buffer.concat([held, piece]);
        return nothing;
      }
      const borrowed = (3 - held.byteLength) % 3;
      const whole = piece.byteLength - ((piece.byteLength - borrowed) % 3);
      const letters = new Uint16Array(((held.byteLength + whole) / 3) * 2);
      const first = Buffer.concat([held, piece.subarray(0, borrowed)]);
      const at = encodeTriples(first, 0, first.byteLength, letters, 0);
      encodeTriples(piece, borrowed, whole, letters, at);
      held = new Uint8Array(piece.subarray(whole));
      return new Uint8Array(letters.buffer);
    },
    end() {
      if (held.byteLength === 0) return nothing;
      const letters = new Uint16Array(2);
      encodeTriples(held, 0, 3, letters, 0);
      const bytes = new Uint8Array(letters.buffer);
      bytes.fill(paddingByte, held.byteLength + 1);
      return bytes;
    },
  };
}

/** @returns the position in `letters` after the last that was written */
function encodeTriples(bytes: Uint8Array, from: number, to: number, letters: Uint16Array, start: number): number {
  let at = start;
  for (let first = from; first < to; first += 3) {
    const second = bytes[first + 1] ?? 0;
    letters[at] = lettersOf[((bytes[first] ?? 0) << 4) | (second >> 4)] ?? 0;
    letters[at + 1] = lettersOf[((second & 15) << 8) | (bytes[first + 2] ?? 0)] ?? 0;
    at += 2;
  }
  return at;
}

/**
 * Base64 to bytes. Takes both alphabets of RFC 4648, blanks and line ends anywhere, and text without its padding.
 * Both functions throw InvalidBase64.
 */
export function createBase64Decoder(options: Base64Options = {}): Base64Codec {
  const quanta = createQuantumDecoder();
  if (options.escaped !== true) return quanta;
  const unescaper = createJsonUnescaper(() => new InvalidBase64());
  return {
    write: (piece) => quanta.write(unescaper.write(piece)),
    end: () => Buffer.concat([quanta.write(unescaper.end()), quanta.end()]),
  };
}

function createQuantumDecoder(): Base64Codec {
  /** Bits of the letters of a quantum that is not complete, and how many letters those are. */
  let bits = 0;
  let letters = 0;
  let paddings = 0;

  const takeByte = (byte: number): boolean => {
    const value = bitsOf[byte] ?? foreign;
    if (value === blank) return false;
    if (value === padding) {
      paddings += 1;
      if (letters < 2 || letters + paddings > 4) throw new InvalidBase64();
      return false;
    }
    if (value === foreign || paddings > 0) throw new InvalidBase64();
    bits = (bits << 6) | value;
    letters += 1;
    return letters === 4;
  };

  return {
    write(piece) {
      const output = new Uint8Array(((letters + piece.byteLength) >> 2) * 3);
      let at = 0;
      let size = 0;
      while (at < piece.byteLength) {
        if (letters === 0 && paddings === 0) {
          const quanta = decodeQuanta(piece, at, output, size);
          at += quanta * 4;
          size += quanta * 3;
          if (at >= piece.byteLength) break;
        }
        if (takeByte(piece[at] ?? 0)) {
          output[size] = bits >> 16;
          output[size + 1] = bits >> 8;
          output[size + 2] = bits;
          size += 3;
          bits = 0;
          letters = 0;
        }
        at += 1;
      }
      return output.subarray(0, size);
    },
    end() {
      if (letters === 1) throw new InvalidBase64('The base64 text is cut.');
      if (letters === 2) return Uint8Array.of(bits >> 4);
      if (letters === 3) return Uint8Array.of(bits >> 10, bits >> 2);
      return nothing;
    },
  };
}

/** Decodes four letters at a time for as long as there is nothing but letters. @returns how many fours that were */
function decodeQuanta(text: Uint8Array, from: number, output: Uint8Array, start: number): number {
  const last = text.byteLength - 4;
  let at = from;
  let size = start;
  while (at <= last) {
    const high = bitsOfPair[((text[at] ?? 0) << 8) | (text[at + 1] ?? 0)] ?? noPair;
    const low = bitsOfPair[((text[at + 2] ?? 0) << 8) | (text[at + 3] ?? 0)] ?? noPair;
    if ((high | low) > 4095) break;
    output[size] = high >> 4;
    output[size + 1] = (high << 4) | (low >> 8);
    output[size + 2] = low;
    at += 4;
    size += 3;
  }
  return (at - from) / 4;
}

/** Whether the first `length` bytes are letters of the first alphabet, that of RFC 4648 §4. */
export function isPlainLetters(slice: Uint8Array, length: number): boolean {
  // Words lie at multiples of four.
  const before = Math.min(length, -slice.byteOffset & 3);
  const count = (length - before) >> 2;
  const words = new Uint32Array(slice.buffer, count === 0 ? 0 : slice.byteOffset + before, count);
  let strange = areStrange(slice.subarray(0, before)) | areStrange(slice.subarray(before + words.byteLength, length));
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at] ?? 0;
    strange |= (strangePairs[word & 0xffff] ?? 1) | (strangePairs[word >>> 16] ?? 1);
  }
  return strange === 0;
}

/** For a few bytes. */
function areStrange(bytes: Uint8Array): number {
  let strange = 0;
  for (const byte of bytes) strange |= strangePairs[byte * 0x0101] ?? 1;
  return strange;
}
