/** The home of undici: requests to providers. */
import { Readable } from 'node:stream';
import { Pool, type Dispatcher } from 'undici';
import { streamSource } from '../body/byte-source.ts';
import { GatewayError } from '../errors.ts';
import type { HttpClient, SendOptions, UpstreamReply, WireBody } from '../pipeline/upstream.ts';
import { createByteQueue } from './byte-queue.ts';
import { brokenError, overflowError, unreachableError } from './client-faults.ts';
import { decodeContent, isEncoded, type ByteStream } from './content-coding.ts';
import { writeWireBody } from './wire-body.ts';

export interface HttpClientSettings {
  /** Scheme, host and port. */
  readonly origin: string;
  /** Requests at the same time; further ones wait for a connection. Without it there is no limit. */
  readonly maxConnections?: number | undefined;
  /** Milliseconds for making a connection, TLS included. */
  readonly connectTimeoutMs: number;
}

/** A provider's connection pool. */
export interface PooledClient extends HttpClient {
  /** Lets the requests under way finish, and takes no more. */
  close(): Promise<void>;
  /** Breaks off what is under way. */
  destroy(): Promise<void>;
}

/** Asks for plain bytes: pictures do not shrink, and slices of base64 are passed on as they come. */
const ownHeaders = { 'accept-encoding': 'identity', 'user-agent': 'pinhole' };

/** A pool of keep-alive connections to one origin. */
export function createHttpClient({ origin, maxConnections, connectTimeoutMs }: HttpClientSettings): PooledClient {
  const home = new URL(origin).origin;
  const pool = new Pool(home, {
    connections: maxConnections ?? null,
    connect: { timeout: connectTimeoutMs },
    // One request a connection: a broken connection is then the failure of one call, and it is known whether it was sent.
    allowH2: false,
    pipelining: 1,
    // The caller's signal carries the deadline for the whole; a limit between bytes would miss a slow drip anyway.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
  return {
    async send(request, options) {
      options.signal.throwIfAborted();
      const url = new URL(request.url);
      if (url.origin !== home) {
        throw new GatewayError('internal_error', 'A request was given to the connections of another origin.');
      }
      const { headers, body } = describeBody(request.body);
      return dispatch(
        pool,
        {
          method: request.method,
          path: url.pathname + url.search,
          headers: { ...ownHeaders, ...headers, ...request.headers },
          body,
        },
        options,
      );
    },
    close: () => pool.close(),
    destroy: () => pool.destroy(),
  };
}

/** A body in undici's terms, and the headers that describe it. */
function describeBody(body: WireBody): {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | Readable | null;
} {
  if (body.kind === 'none') return { headers: {}, body: null };
  const { mediaType, byteLength, open } = writeWireBody(body);
  const bytes = open();
  if (bytes instanceof Uint8Array) return { headers: { 'content-type': mediaType }, body: bytes };
  return {
    headers: { 'content-type': mediaType, 'content-length': String(byteLength) },
    body: Readable.from(bytes, { objectMode: false }),
  };
}

/** One request, from its place in the queue for a connection to the last byte of its answer. */
function dispatch(
  pool: Pool,
  request: Dispatcher.DispatchOptions & { readonly body: Uint8Array | Readable | null },
  options: SendOptions,
): Promise<UpstreamReply> {
  const { signal, maxReplyBytes } = options;
  const { promise, resolve, reject } = Promise.withResolvers<UpstreamReply>();
  let controller: Dispatcher.DispatchController | undefined;
  let state: 'waiting' | 'sent' | 'answering' | 'over' = 'waiting';
  let bodyFailure: { readonly error: unknown } | undefined;

  const queue = createByteQueue({
    pause: () => controller?.pause(),
    resume: () => controller?.resume(),
    abandon: () => breakOff(new Error('The answer is of no interest any more.')),
  });

  const settle = (): void => {
    state = 'over';
    signal.removeEventListener('abort', abort);
  };
  const fail = (error: unknown): void => {
    if (state === 'over') return;
    const answering = state === 'answering';
    settle();
    if (request.body instanceof Readable) request.body.destroy();
    if (answering) queue.fail(error);
    else reject(error);
  };
  const breakOff = (error: unknown): void => {
    fail(error);
    controller?.abort(error instanceof Error ? error : new Error('aborted', { cause: error }));
  };
  const abort = (): void => breakOff(signal.reason);
  const sent = (): void => {
    if (state !== 'waiting') return;
    state = 'sent';
    options.onSent();
  };

  signal.addEventListener('abort', abort, { once: true });
  if (request.body instanceof Readable) {
    // Listened to for good: undici stops doing so at the end of the answer.
    request.body.on('error', (error) => (bodyFailure ??= { error }));
  }
  pool.dispatch(request, {
    onRequestStart(given) {
      // Thrown, not aborted: the connection is fine and stays for the next request.
      if (state === 'over') throw new Error('The request was given up while it waited for a connection.');
      controller = given;
    },
    onBodySent: sent,
    onRequestSent: sent,
    onResponseStart(_controller, status, headers) {
      if (status < 200 || state === 'over') return;
      state = 'answering';
      try {
        resolve(describeReply(status, headers, queue, maxReplyBytes));
      } catch (error) {
        state = 'sent';
        breakOff(error);
      }
    },
    onResponseData: (_controller, chunk) => queue.push(chunk),
    onResponseEnd() {
      if (state === 'over') return;
      settle();
      queue.end();
    },
    onResponseError(_controller, error) {
      if (bodyFailure !== undefined) fail(bodyFailure.error);
      else fail(state === 'waiting' ? unreachableError(error) : brokenError(error));
    },
  });
  return promise;
}

function describeReply(
  status: number,
  received: Readonly<Record<string, string | string[] | undefined>>,
  queue: ByteStream,
  maxBytes: number,
): UpstreamReply {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(received)) {
    if (value !== undefined) headers[name] = typeof value === 'string' ? value : value.join(', ');
  }
  const overflow = (): GatewayError => overflowError(maxBytes);
  const { 'content-length': length, 'content-encoding': coding } = headers;
  const bytes = length === undefined ? undefined : Number(length);
  const plain = streamSource(queue, { length: bytes, maxBytes, overflow });
  if (!isEncoded(coding)) return { status, headers, body: plain };
  delete headers['content-encoding'];
  delete headers['content-length'];
  const decoded = decodeContent({ ...plain, destroy: () => plain.cancel() }, coding);
  return { status, headers, body: streamSource(decoded, { length: undefined, maxBytes, overflow }) };
}
