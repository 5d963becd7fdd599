/** The home of undici: requests to providers. */
import { createHash } from 'node:crypto';
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
  /** Requests to one origin at the same time; further ones wait for a connection. Without it there is no limit. */
  readonly maxConnections?: number | undefined;
  /** Milliseconds for making a connection, TLS included. */
  readonly connectTimeoutMs: number;
}

/** A provider's connection pools. */
export interface PooledClient extends HttpClient {
  /** Lets the requests under way finish, and takes no more. */
  close(): Promise<void>;
  /** Breaks off what is under way. */
  destroy(): Promise<void>;
}

/** Asks for plain bytes: pictures do not shrink, and slices of base64 are passed on as they come. */
const ownHeaders = { 'accept-encoding': 'identity', 'user-agent': 'pinhole' };

/** Keep-alive connections to a provider: a pool for each of its origins, opened when it is first needed. */
export function createHttpClient(settings: HttpClientSettings): PooledClient {
  const pools = new Map<string, Pool>();

  function poolTo(origin: string): Pool {
    const known = pools.get(origin);
    if (known !== undefined) return known;
    if (pools.size >= maxPools)
      throw new GatewayError('upstream_invalid_response', 'The provider names ever new hosts.');
    const pool = openPool(origin, settings);
    pools.set(origin, pool);
    return pool;
  }

  return {
    async send(request, options) {
      options.signal.throwIfAborted();
      const url = new URL(request.url);
      const pool = poolTo(url.origin);
      const { headers, body, digest } = describeBody(request.body);
      const signed = options.sign === undefined ? undefined : await options.sign(await digest());
      options.signal.throwIfAborted();
      return dispatch(
        pool,
        {
          method: request.method,
          path: url.pathname + url.search,
          headers: { ...ownHeaders, ...headers, ...request.headers, ...signed },
          body: body(),
        },
        options,
      );
    },
    close: async () => void (await Promise.all(Array.from(pools.values(), (pool) => pool.close()))),
    destroy: async () => void (await Promise.all(Array.from(pools.values(), (pool) => pool.destroy()))),
  };
}

/** More regional hosts than any provider has. */
const maxPools = 32;

function openPool(origin: string, { maxConnections, connectTimeoutMs }: HttpClientSettings): Pool {
  return new Pool(origin, {
    connections: maxConnections ?? null,
    connect: { timeout: connectTimeoutMs },
    // One request a connection: a broken connection is then the failure of one call, and it is known whether it was sent.
    allowH2: false,
    pipelining: 1,
    // The caller's signal carries the deadline for the whole; a limit between bytes would miss a slow drip anyway.
    headersTimeout: 0,
    bodyTimeout: 0,
  });
}

/** A body in undici's terms, and what describes it. */
interface DescribedBody {
  readonly headers: Readonly<Record<string, string>>;
  /** The body from its start. */
  body(): Uint8Array | Readable | null;
  /** Its SHA-256 in hexadecimal: the pictures in it are read for this, and again when it is sent. */
  digest(): Promise<string>;
}

function describeBody(wire: WireBody): DescribedBody {
  if (wire.kind === 'none') return { headers: {}, body: () => null, digest: () => sha256([]) };
  const { mediaType, byteLength, open } = writeWireBody(wire);
  return {
    headers: { 'content-type': mediaType, 'content-length': String(byteLength) },
    body() {
      const bytes = open();
      return bytes instanceof Uint8Array ? bytes : Readable.from(bytes, { objectMode: false });
    },
    digest() {
      const bytes = open();
      return sha256(bytes instanceof Uint8Array ? [bytes] : bytes);
    },
  };
}

async function sha256(pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of pieces) hash.update(piece);
  return hash.digest('hex');
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
