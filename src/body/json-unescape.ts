import { asBuffer } from './as-buffer.ts';

/** Turns the inside of a JSON string, piece by piece, into the UTF-8 that it means. */
export interface JsonUnescaper {
  /** A piece without a backslash comes back as it is, not copied. */
  write(piece: Uint8Array): Uint8Array;
  /** What was held back. */
  end(): Uint8Array;
}

const backslash = 0x5c;
const letterU = 0x75;
const nothing = new Uint8Array(0);

/** RFC 8259 §7: the byte after the backslash, and the one that is meant. */
const shortEscapes: ReadonlyMap<number, number> = new Map(
  Object.entries({ '"': '"', '\\': '\\', '/': '/', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' }).map(
    ([written, meant]) => [written.charCodeAt(0), meant.charCodeAt(0)],
  ),
);

/**
 * UTF-8 has no lone surrogates: `\ud800` without its other half becomes U+FFFD, as in a well-formed string.
 * @param invalid makes the error thrown for an escape that JSON does not have
 */
export function createJsonUnescaper(invalid: () => Error): JsonUnescaper {
  let held: Uint8Array = nothing;

  const unescape = (input: Uint8Array, last: boolean): Uint8Array => {
    // An escape is never shorter than what it stands for.
    const output = new Uint8Array(input.byteLength);
    let at = 0;
    let size = 0;
    while (at < input.byteLength) {
      const byte = input[at] ?? 0;
      if (byte !== backslash) {
        output[size] = byte;
        size += 1;
        at += 1;
        continue;
      }
      const escape = readEscape(input, at, last);
      if (escape === 'cut') break;
      if (escape === 'invalid') throw invalid();
      size = writeUtf8(output, size, escape.codePoint);
      at += escape.byteLength;
    }
    held = input.subarray(at);
    if (last && held.byteLength > 0) throw invalid();
    return output.subarray(0, size);
  };

  return {
    write(piece) {
      if (held.byteLength === 0) return asBuffer(piece).includes(backslash) ? unescape(piece, false) : piece;
      return unescape(Buffer.concat([held, piece]), false);
    },
    end: () => (held.byteLength === 0 ? nothing : unescape(held, true)),
  };
}

interface Escape {
  readonly codePoint: number;
  readonly byteLength: number;
}

function readEscape(input: Uint8Array, at: number, last: boolean): Escape | 'cut' | 'invalid' {
  const kind = input[at + 1];
  if (kind === undefined) return 'cut';
  if (kind !== letterU) {
    const meant = shortEscapes.get(kind);
    return meant === undefined ? 'invalid' : { codePoint: meant, byteLength: 2 };
  }
  const unit = readUnit(input, at);
  if (typeof unit === 'string') return unit;
  const high = unit >= 0xd800 && unit <= 0xdbff;
  if (high && !last && !settled(input, at + 6)) return 'cut';
  const low = high ? readUnit(input, at + 6) : undefined;
  if (typeof low === 'number' && low >= 0xdc00 && low <= 0xdfff)
    return { codePoint: 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00), byteLength: 12 };
  const surrogate = unit >= 0xd800 && unit <= 0xdfff;
  return { codePoint: surrogate ? 0xfffd : unit, byteLength: 6 };
}

/** Whether enough has come to tell if the bytes from here on are another `\uXXXX`. */
function settled(input: Uint8Array, at: number): boolean {
  if (input.byteLength >= at + 6) return true;
  const [first, second] = input.subarray(at);
  return (first !== undefined && first !== backslash) || (second !== undefined && second !== letterU);
}

/** The UTF-16 code unit of a `\uXXXX`. */
function readUnit(input: Uint8Array, at: number): number | 'cut' | 'invalid' {
  if (input.byteLength < at + 6) return 'cut';
  if (input[at] !== backslash || input[at + 1] !== letterU) return 'invalid';
  let unit = 0;
  for (let digit = at + 2; digit < at + 6; digit += 1) {
    const value = hexValue(input[digit] ?? 0);
    if (value === undefined) return 'invalid';
    unit = unit * 16 + value;
  }
  return unit;
}

function hexValue(byte: number): number | undefined {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : undefined;
}

function writeUtf8(output: Uint8Array, at: number, codePoint: number): number {
  const follow = (shift: number): number => 0x80 | ((codePoint >> shift) & 0x3f);
  if (codePoint < 0x80) {
    output[at] = codePoint;
    return at + 1;
  }
  if (codePoint < 0x800) {
    output.set([0xc0 | (codePoint >> 6), follow(0)], at);
    return at + 2;
  }
  if (codePoint < 0x10000) {
    output.set([0xe0 | (codePoint >> 12), follow(6), follow(0)], at);
    return at + 3;
  }
  output.set([0xf0 | (codePoint >> 18), follow(12), follow(6), follow(0)], at);
  return at + 4;
}
