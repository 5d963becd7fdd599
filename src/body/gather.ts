/** Bytes that come in pieces and are kept. */
export interface Gatherer {
  /** Takes a piece. A large one is kept as it is, so it must not change afterwards; small ones are copied together. */
  add(piece: Uint8Array): void;
  readonly byteLength: number;
  /** What was added so far, in order. */
  slices(): readonly Uint8Array[];
  /** What was added so far, in one piece. */
  joined(): Uint8Array;
}

/** From this size on a piece costs little more than its bytes. */
const largePieceBytes = 2048;
const smallestBlockBytes = 1024;
const largestBlockBytes = 65_536;

/**
 * Keeps bytes at the price of bytes. A sender may let its body drip in pieces of one byte, and an object for each of
 * them would take a hundred times the memory that the body's bound allows for.
 */
export function createGatherer(): Gatherer {
  const done: Uint8Array[] = [];
  let block: Uint8Array | undefined;
  let used = 0;
  let byteLength = 0;

  const closeBlock = (): void => {
    if (block !== undefined && used > 0) done.push(block.subarray(0, used));
    block = undefined;
    used = 0;
  };

  const copyIntoBlock = (piece: Uint8Array): void => {
    if (block === undefined || used + piece.byteLength > block.byteLength) {
      closeBlock();
      const wanted = Math.max(smallestBlockBytes, piece.byteLength, Math.min(byteLength, largestBlockBytes));
      block = new Uint8Array(wanted);
    }
    block.set(piece, used);
    used += piece.byteLength;
  };

  const slices = (): readonly Uint8Array[] =>
    block === undefined || used === 0 ? [...done] : [...done, block.subarray(0, used)];

  return {
    add(piece) {
      if (piece.byteLength >= largePieceBytes) {
        closeBlock();
        done.push(piece);
      } else if (piece.byteLength > 0) {
        copyIntoBlock(piece);
      }
      byteLength += piece.byteLength;
    },
    get byteLength() {
      return byteLength;
    },
    slices,
    joined() {
      const all = slices();
      const [only] = all;
      return all.length === 1 && only !== undefined ? only : Buffer.concat(all);
    },
  };
}
