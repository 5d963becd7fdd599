/** Answers as they are kept under a key: in the state what is small, with the name of what lies beside the pictures. */
import type { Blob, BlobStore } from '../blobs/blob-store.ts';
import { bytesSource, type ByteSource } from '../body/byte-source.ts';
import { errorBody, GatewayError } from '../errors.ts';
import { payloadContent } from '../images/convert-payload.ts';
import type { BodyResponse } from '../pipeline/response.ts';
import type { StageEnv } from '../pipeline/stage.ts';
import type { RecordedAnswer } from './answer-recording.ts';

export interface KeptAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: { readonly text: string } | { readonly blob: string };
}

/** Bytes of an error that is kept in the state itself. */
const mostTextBytes = 16 * 1024;

/** Milliseconds for which the bytes outlast their key, for whoever has begun to read them. */
export const longerMs = 3_600_000;

/** @throws GatewayError overloaded when it cannot be kept; the signal's reason */
export async function keepAnswer(
  { status, headers, body }: RecordedAnswer & { kind: 'answer' },
  answers: BlobStore,
  { keptUntilMs, signal }: { readonly keptUntilMs: number; readonly signal: AbortSignal },
): Promise<KeptAnswer> {
  // An error holds words only: what is written about pictures into errors is no picture.
  if (status >= 400 && body.kind === 'bytes' && body.bytes.byteLength <= mostTextBytes) {
    return { status, headers, body: { text: Buffer.from(body.bytes).toString() } };
  }
  const expiresAtMs = keptUntilMs + longerMs;
  const blob = await answers.put(payloadContent(body), 'application/octet-stream', { expiresAtMs, signal });
  return { status, headers, body: { blob } };
}

/** An error that takes the place of an answer. */
export function errorAnswer(error: GatewayError): KeptAnswer {
  return {
    status: error.status,
    headers: { 'content-type': 'application/json', 'x-should-retry': String(error.retry) },
    body: { text: errorBody(error) },
  };
}

/** For a key whose request was made, and has no answer that could be given again. */
export function noAnswer(why: string, cause?: unknown): GatewayError {
  const message =
    `The call under this \`Idempotency-Key\` was made before and may have been billed, but ${why}. ` +
    'It is not made again; to make it anew, send another key.';
  return new GatewayError('upstream_error', message, { retry: false, headers: replayed, cause });
}

const replayed = { 'x-pinhole-idempotent-replay': 'true' };

/** Whether it is an answer that was kept under an `Idempotency-Key`: others have not asked for that. */
export function isReplay({ headers }: BodyResponse): boolean {
  return 'x-pinhole-idempotent-replay' in headers;
}

/**
 * The answer once more.
 * @param text what was kept in the state
 * @throws GatewayError upstream_error when it is not there any more, overloaded when it cannot be read
 */
export async function openAnswer(text: string, answers: BlobStore, exchange: Reading): Promise<BodyResponse> {
  // Nobody but `keepAnswer` and `errorAnswer` has written it.
  const { status, headers, body } = JSON.parse(text) as KeptAnswer;
  const response = { kind: 'body', status, headers: { ...headers, ...replayed } } as const;
  const source = await openBody(body, answers, exchange);
  if (source === undefined) throw noAnswer('its answer is not there any more');
  return { ...response, body: source };
}

/**
 * The bytes of an answer; undefined when they are not there any more.
 * @throws GatewayError overloaded
 */
export async function openBody(
  body: KeptAnswer['body'],
  answers: BlobStore,
  { signal, defer }: Reading,
): Promise<ByteSource | undefined> {
  if ('text' in body) return bytesSource(Buffer.from(body.text));
  const blob = await answers.open(body.blob, signal);
  if (blob === undefined) return undefined;
  defer(() => blob.close());
  return contentOf(blob);
}

/** For how long an answer is read. */
interface Reading {
  readonly signal: AbortSignal;
  defer(work: () => Promise<void>): void;
}

/** A blob as the body of an answer. */
export function contentOf(blob: Blob): ByteSource {
  return {
    length: blob.byteLength,
    // Nothing is read ahead, and the blob is closed when the exchange is over.
    cancel() {},
    [Symbol.asyncIterator]: () => blob.read()[Symbol.asyncIterator](),
  };
}

/** Milliseconds for writing an answer to where it is kept. */
const keepMs = 120_000;

/** Work that keeps an answer, and is given up when it takes too long. @throws GatewayError overloaded */
export async function withDeadline<Value>(
  { clock }: Pick<StageEnv, 'clock'>,
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const deadline = new AbortController();
  const timer = clock.timer(keepMs, () =>
    deadline.abort(new GatewayError('overloaded', `The answer was not written within ${keepMs / 1000} seconds.`)),
  );
  try {
    return await work(deadline.signal);
  } finally {
    timer.cancel();
  }
}
