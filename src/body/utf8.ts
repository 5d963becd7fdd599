import { isUtf8 } from 'node:buffer';

/** Watches bytes that come in pieces. */
export interface Utf8Check {
  /** Whether everything up to here can be UTF-8. A character cut by the border is judged with the next piece. */
  write(piece: Uint8Array): boolean;
  /** Whether the bytes do not end inside a character. */
  end(): boolean;
}

const nothing: Uint8Array = new Uint8Array(0);

/** Tells whether bytes are UTF-8 without decoding them. */
export function createUtf8Check(): Utf8Check {
  let cut = nothing;

  return {
    write(piece) {
      let rest = piece;
      if (cut.byteLength > 0) {
        const missing = sequenceLength(cut[0] ?? 0) - cut.byteLength;
        cut = Buffer.concat([cut, piece.subarray(0, missing)]);
        if (piece.byteLength < missing) return true;
        if (!isUtf8(cut)) return false;
        rest = piece.subarray(missing);
      }
      const left = cutLength(rest);
      cut = left === 0 ? nothing : rest.subarray(-left);
      return isUtf8(left === 0 ? rest : rest.subarray(0, -left));
    },
    end: () => cut.byteLength === 0,
  };
}

/** Bytes at the end that begin a character without completing it. */
function cutLength(bytes: Uint8Array): number {
  for (let back = 1; back <= 3 && back <= bytes.byteLength; back += 1) {
    const byte = bytes[bytes.byteLength - back] ?? 0;
    const continuation = (byte & 0xc0) === 0x80;
    if (!continuation) return sequenceLength(byte) > back ? back : 0;
  }
  return 0;
}

/** How many bytes a character has, by its first. */
function sequenceLength(lead: number): number {
  if (lead < 0xc0) return 1;
  if (lead < 0xe0) return 2;
  return lead < 0xf0 ? 3 : 4;
}
