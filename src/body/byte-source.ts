import { createGatherer } from './gather.ts';

/**
 * A body that has not been read yet: of a request that comes in, or of an answer that comes back from a provider.
 * It can be read once. Iterating applies backpressure; leaving the loop early, or `cancel`, lets go of the socket.
 *
 * A source is bounded where it is made: it throws the error chosen there once more than its limit has come, so nobody
 * who reads one has to count again.
 */
export interface ByteSource extends AsyncIterable<Uint8Array> {
  /** Bytes to come, where the sender announced it. Never trusted as a bound. */
  readonly length: number | undefined;
  /** Gives up the rest. Safe to call at any time, more than once. */
  cancel(): void;
}

/** Bytes that are already here. */
export function bytesSource(bytes: Uint8Array): ByteSource {
  return {
    length: bytes.byteLength,
    cancel() {},
    async *[Symbol.asyncIterator]() {
      if (bytes.byteLength > 0) yield bytes;
    },
  };
}

/**
 * Bytes that a stream brings, at most `maxBytes` of them.
 * @param overflow makes the error thrown when there are more
 */
export function streamSource(
  stream: AsyncIterable<Uint8Array> & { destroy(): void },
  options: { readonly length: number | undefined; readonly maxBytes: number; overflow(): Error },
): ByteSource {
  return {
    length: options.length,
    cancel: () => stream.destroy(),
    async *[Symbol.asyncIterator]() {
      if (options.length !== undefined && options.length > options.maxBytes) {
        stream.destroy();
        throw options.overflow();
      }
      let received = 0;
      for await (const chunk of stream) {
        received += chunk.byteLength;
        if (received > options.maxBytes) throw options.overflow();
        yield chunk;
      }
    },
  };
}

/** A source that its reader may leave in the middle, and somebody else reads on from there. Only `end` lets go of it. */
export function resumable(source: ByteSource): { readonly source: ByteSource; end(): void } {
  let chunks: AsyncIterator<Uint8Array> | undefined;
  return {
    source: {
      length: source.length,
      cancel() {},
      // Without `return`: a loop that is left early would end the source.
      [Symbol.asyncIterator]: () => ({ next: () => (chunks ??= source[Symbol.asyncIterator]()).next() }),
    },
    end: () => source.cancel(),
  };
}

/** The whole body in one piece. The source's own bound holds. */
export async function collect(source: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const gathered = createGatherer();
  for await (const chunk of source) gathered.add(chunk);
  return gathered.joined();
}

/** Reads what is left, for whatever it does on the way. */
export async function readToEnd(body: ByteSource): Promise<void> {
  const chunks = body[Symbol.asyncIterator]();
  while ((await chunks.next()).done !== true);
}
