import type { BlobContent } from './blob-store.ts';

/**
 * A picture's bytes, of which the last chunk comes only when it is certain that they are as many as announced: a store
 * that has the last byte takes the picture for complete.
 * @throws Error when there are more or fewer
 */
export async function* wholeContent({ byteLength, read }: BlobContent): AsyncGenerator<Uint8Array> {
  let received = 0;
  let last: Uint8Array | undefined;
  for await (const chunk of read()) {
    received += chunk.byteLength;
    if (received > byteLength) break;
    if (last !== undefined) yield last;
    last = chunk;
  }
  if (received !== byteLength) throw new Error(`The picture should have ${byteLength} bytes, and has ${received}.`);
  if (last !== undefined) yield last;
}
