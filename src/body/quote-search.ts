import { backslash, quote } from './json-bytes.ts';

/** Finds where the JSON strings of a document end. */
export interface QuoteSearch {
  /**
   * The position of the quote that ends the string; -1 when it is not in this chunk, in which case the next chunk is to
   * be searched from its start.
   */
  find(chunk: Buffer, from: number): number;
}

/** Most strings are short. Beyond so many bytes the native search pays for its call. */
const nearBytes = 32;

export function createQuoteSearch(): QuoteSearch {
  /** The last chunk ended in a backslash that takes the next byte with it. */
  let escaping = false;

  return {
    find(chunk, from) {
      let at = from;
      if (escaping && at < chunk.length) {
        escaping = false;
        at += 1;
      }
      while (at < chunk.length) {
        const near = Math.min(at + nearBytes, chunk.length);
        while (at < near) {
          const byte = chunk[at];
          if (byte === quote) return at;
          at += byte === backslash ? 2 : 1;
        }
        if (at >= chunk.length) break;

        const found = chunk.indexOf(quote, at);
        const stop = found === -1 ? chunk.length : found;
        const escaped = endsInEscape(chunk, at, stop);
        if (found !== -1 && !escaped) return found;
        at = escaped ? stop + 1 : stop;
      }
      escaping = at > chunk.length;
      return -1;
    },
  };
}

/** Whether an odd number of backslashes stands right before `end`. */
function endsInEscape(chunk: Buffer, from: number, end: number): boolean {
  let first = end;
  while (first > from && chunk[first - 1] === backslash) first -= 1;
  return (end - first) % 2 === 1;
}
