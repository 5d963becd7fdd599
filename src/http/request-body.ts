import type { IncomingMessage } from 'node:http';
import { bytesSource, type ByteSource } from '../body/byte-source.ts';
import { GatewayError } from '../errors.ts';
import { createByteQueue, type ByteQueue } from './byte-queue.ts';
import { declaredBytes, failBody, onBodyFault, sendContinue } from './inbound.ts';

export interface RequestBodyOptions {
  /** The most that is accepted. A larger `content-length` is refused before anything is read. */
  readonly maxBytes: number;
  /**
   * Milliseconds for which the client may be silent. It is also the credit of a slow one: waiting uses it up, each
   * KiB that arrives gives a second back. So a body that comes at 1 KiB/s or faster is never cut off, and one that
   * merely dribbles is, soon after this time.
   */
  readonly bodyMs: number;
}

/** At this pace, in bytes per second, waiting costs a client nothing. */
const fairPace = 1024;

/**
 * The body of a request. Reading it for the first time sends `100 Continue` to a client that waits for it. Giving it up
 * leaves the connection open, because an answer has still to go out on it; `prepareEarlyAnswer` sees to the rest.
 * Reading throws GatewayError payload_too_large, request_timeout, client_closed_request, or bad_request when the
 * framing of the body turns out to be broken.
 */
export function requestBody(request: IncomingMessage, options: RequestBodyOptions): ByteSource {
  const length = declaredBytes(request);
  if (length === 0) return bytesSource(new Uint8Array());
  let reading: ByteQueue | undefined;
  let cancelled = false;
  return {
    length,
    cancel() {
      cancelled = true;
      reading?.destroy();
    },
    async *[Symbol.asyncIterator]() {
      if (reading !== undefined) throw new Error('A request body can be read only once.');
      if (cancelled) return;
      if (length !== undefined && length > options.maxBytes) throw tooLarge(options.maxBytes);
      reading = queueOf(request);
      sendContinue(request);
      yield* bounded(paced(reading, request, options.bodyMs), options.maxBytes);
    },
  };
}

async function* bounded(chunks: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Uint8Array> {
  let received = 0;
  for await (const chunk of chunks) {
    received += chunk.byteLength;
    if (received > maxBytes) throw tooLarge(maxBytes);
    yield chunk;
  }
}

/** Only the time spent waiting for the client counts, never the time that the reader takes. */
async function* paced(queue: ByteQueue, request: IncomingMessage, bodyMs: number): AsyncGenerator<Uint8Array> {
  let creditMs = bodyMs;
  const giveUp = (): void => failBody(request, new GatewayError('request_timeout', 'The body arrived too slowly.'));
  const chunks = queue[Symbol.asyncIterator]();
  try {
    for (;;) {
      const since = performance.now();
      const timer = setTimeout(giveUp, creditMs);
      const { done, value } = await chunks.next().finally(() => clearTimeout(timer));
      if (done === true) return;
      const earnedMs = (value.byteLength * 1000) / fairPace;
      creditMs = Math.min(bodyMs, Math.max(0, creditMs - (performance.now() - since)) + earnedMs);
      yield value;
    }
  } finally {
    queue.destroy();
  }
}

function queueOf(request: IncomingMessage): ByteQueue {
  const queue = createByteQueue({
    pause: () => request.pause(),
    resume: () => request.resume(),
    abandon() {
      letGo();
      // Without a listener for data a flowing request would throw its bytes away at full speed.
      request.pause();
    },
  });
  const take = (chunk: Buffer): void => queue.push(chunk);
  const end = (): void => {
    letGo();
    queue.end();
  };
  const leave = (cause: unknown): void => {
    letGo();
    queue.fail(new GatewayError('client_closed_request', 'The client went away.', { cause }));
  };
  const close = (): void => leave(undefined);
  const letGo = (): void => void request.off('data', take).off('end', end).off('close', close);
  // Nothing has been read yet, so whatever had come is gone with the connection.
  if (request.destroyed) {
    leave(undefined);
    return queue;
  }
  request.on('data', take).on('end', end).on('close', close);
  // Stays for good: a connection that breaks while nobody reads must not become an uncaught error.
  request.on('error', leave);
  onBodyFault(request, (fault) => {
    letGo();
    queue.fail(fault);
  });
  return queue;
}

function tooLarge(maxBytes: number): GatewayError {
  return new GatewayError('payload_too_large', `The body is larger than the ${maxBytes} bytes that are accepted here.`);
}
