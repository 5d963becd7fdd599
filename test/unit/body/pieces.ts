import * as fc from 'fast-check';
import type { ByteSource } from '../../../src/body/byte-source.ts';

/** Where to cut bytes; for `cut`. */
export const cuts: fc.Arbitrary<readonly number[]> = fc.array(fc.nat(), { maxLength: 12 });

/** The bytes, cut at these positions, which are taken modulo their length; some pieces are empty. */
export function cut(bytes: Uint8Array, positions: readonly number[]): readonly Uint8Array[] {
  const inside = positions.map((position) => position % (bytes.byteLength + 1));
  const edges = [0, ...inside.toSorted((a, b) => a - b), bytes.byteLength];
  return edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge));
}

/** All pieces of one byte. */
export function bytewise(bytes: Uint8Array): readonly Uint8Array[] {
  return Array.from(bytes, (_, at) => bytes.subarray(at, at + 1));
}

export async function* stream(pieces: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  yield* pieces;
}

/** A body that comes in these pieces. */
export function sourceOf(pieces: AsyncIterable<Uint8Array>): ByteSource {
  return { length: undefined, cancel() {}, [Symbol.asyncIterator]: () => pieces[Symbol.asyncIterator]() };
}

export async function gather(pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}
