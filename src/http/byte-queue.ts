/** Between a sender that pushes and a reader that pulls: holds little, and makes the sender pause. */
export interface ByteQueue extends AsyncIterable<Uint8Array> {
  push(chunk: Uint8Array): void;
  /** Everything has come. */
  end(): void;
  /** Nothing more will come, because of `error`; the reader gets what is held first, then the error. */
  fail(error: unknown): void;
  /** The reader gives up the rest. Also what leaving a `for await` loop does. */
  destroy(): void;
}

export interface QueuedSender {
  pause(): void;
  resume(): void;
  /** Called at most once, when the reader gives up before the end. */
  abandon(): void;
}

/** Bytes held before the sender is paused: a few reads of a socket. With fewer, it would be stopped after each. */
const highWaterBytes = 256 * 1024;

/** Chunks are passed on as they came, never copied. There is one reader. */
export function createByteQueue(sender: QueuedSender): ByteQueue {
  const chunks: Uint8Array[] = [];
  let heldBytes = 0;
  let paused = false;
  let end:
    { readonly kind: 'complete' | 'abandoned' } | { readonly kind: 'failed'; readonly error: unknown } | undefined;
  let reader: PromiseWithResolvers<IteratorResult<Uint8Array, undefined>> | undefined;

  const settle = (): void => {
    const waiting = reader;
    reader = undefined;
    if (waiting !== undefined) next().then(waiting.resolve, waiting.reject);
  };

  const take = (): Uint8Array | undefined => {
    const chunk = chunks.shift();
    if (chunk === undefined) return undefined;
    heldBytes -= chunk.byteLength;
    if (paused && heldBytes === 0) {
      paused = false;
      sender.resume();
    }
    return chunk;
  };

  const next = (): Promise<IteratorResult<Uint8Array, undefined>> => {
    const chunk = take();
    if (chunk !== undefined) return Promise.resolve({ done: false, value: chunk });
    if (end === undefined) {
      reader = Promise.withResolvers();
      return reader.promise;
    }
    // The sender's error is passed on as it is, whatever it may be.
    if (end.kind === 'failed') return Promise.reject(end.error);
    return Promise.resolve({ done: true, value: undefined });
  };

  const finish = (how: NonNullable<typeof end>): void => {
    if (end !== undefined) return;
    end = how;
    settle();
  };

  const destroy = (): void => {
    chunks.length = 0;
    heldBytes = 0;
    if (end !== undefined) return;
    finish({ kind: 'abandoned' });
    sender.abandon();
  };

  return {
    push(chunk) {
      if (end !== undefined || chunk.byteLength === 0) return;
      if (reader !== undefined) {
        reader.resolve({ done: false, value: chunk });
        reader = undefined;
        return;
      }
      chunks.push(chunk);
      heldBytes += chunk.byteLength;
      if (!paused && heldBytes >= highWaterBytes) {
        paused = true;
        sender.pause();
      }
    },
    end: () => finish({ kind: 'complete' }),
    fail: (error) => finish({ kind: 'failed', error }),
    destroy,
    [Symbol.asyncIterator]: () => ({
      next,
      return() {
        destroy();
        return Promise.resolve({ done: true, value: undefined });
      },
    }),
  };
}
