import type { ByteSource } from '../body/byte-source.ts';
import { createSpool, type SpoolOptions } from '../body/spool.ts';
import { GatewayError } from '../errors.ts';
import type { BytesPayload, FilePayload } from '../images/payload.ts';
import type { AnswerRecorder } from '../pipeline/exchange.ts';

export interface RecordingOptions extends Omit<SpoolOptions, 'overflow'> {
  readonly error: AnswerRecorder['error'];
}

/** An answer that is written down while it goes out: small ones in memory, others in a temporary file without a name. */
export interface AnswerRecording extends AnswerRecorder {
  /** What there is at the end of the exchange. Once. */
  finish(): Promise<RecordedAnswer>;
  /** Lets go of everything; after it nothing that was recorded can be read. */
  discard(): Promise<void>;
}

export type RecordedAnswer =
  /** No answer has gone out, or not to its end. */
  | { readonly kind: 'nothing' }
  /** It went out, but was too large, or there was no room for it. */
  | { readonly kind: 'unkept'; readonly cause: unknown }
  | {
      readonly kind: 'answer';
      readonly status: number;
      /** Those that belong to the answer, whoever gets it. */
      readonly headers: Readonly<Record<string, string>>;
      readonly body: BytesPayload | FilePayload;
    };

export function createAnswerRecording({ error, ...spool }: RecordingOptions): AnswerRecording {
  let head: { readonly status: number; readonly headers: Readonly<Record<string, string>> } | undefined;
  let body: BytesPayload | WrittenBody | undefined;

  return {
    error,
    answer(response, headers) {
      const { status, body: given } = response;
      head = { status, headers: { ...ownHeaders(headers), ...response.headers } };
      const before = body;
      if (before !== undefined && !('bytes' in before)) void before.discard();
      if (given instanceof Uint8Array) {
        body = { kind: 'bytes', bytes: given };
        return response;
      }
      body = writeDown(given, spool);
      return { ...response, body: body.source };
    },
    async finish() {
      if (head === undefined || body === undefined) return { kind: 'nothing' };
      const written = 'bytes' in body ? body : await body.finish();
      return 'cause' in written ? written : { kind: 'answer', ...head, body: written };
    },
    async discard() {
      if (body !== undefined && !('bytes' in body)) await body.discard();
    },
  };
}

/** The request's own id and times are no part of the answer. */
function ownHeaders(headers: ReadonlyMap<string, string>): Readonly<Record<string, string>> {
  return Object.fromEntries([...headers].filter(([name]) => name.startsWith('x-pinhole-')));
}

interface WrittenBody {
  readonly source: ByteSource;
  finish(): Promise<BytesPayload | FilePayload | { readonly kind: 'unkept'; readonly cause: unknown }>;
  discard(): Promise<void>;
}

/** A body that can be left in the middle, and read on from there by somebody else. */
function writeDown(given: ByteSource, options: Omit<SpoolOptions, 'overflow'>): WrittenBody {
  const spool = createSpool({
    ...options,
    overflow: () => new GatewayError('overloaded', `The answer is larger than ${options.maxBytes} bytes.`),
  });
  const chunks = given[Symbol.asyncIterator]();
  let isComplete = false;
  let unkept: { readonly cause: unknown } | undefined;
  let failure: { readonly error: unknown } | undefined;

  async function write(chunk: Uint8Array): Promise<void> {
    if (unkept !== undefined) return;
    try {
      // The spool takes over what it is given, and may let go of its memory; the chunk itself is yet to go out.
      await spool.write(new Uint8Array(chunk));
    } catch (cause) {
      // Whoever waits for the answer gets it all the same.
      unkept = { cause };
      await spool.discard();
    }
  }

  async function next(): Promise<IteratorResult<Uint8Array>> {
    // A source that has failed says later that it is at its end.
    if (failure !== undefined) throw failure.error;
    try {
      const result = await chunks.next();
      if (result.done === true) isComplete = true;
      else await write(result.value);
      return result;
    } catch (error) {
      failure = { error };
      throw error;
    }
  }

  return {
    source: {
      length: given.length,
      // Whoever gives up is not the only one who reads.
      cancel() {},
      [Symbol.asyncIterator]: () => ({ next }),
    },
    async finish() {
      if (!isComplete)
        return { kind: 'unkept', cause: new GatewayError('overloaded', 'The answer did not come to its end.') };
      if (unkept !== undefined) return { kind: 'unkept', ...unkept };
      try {
        return await spool.finish();
      } catch (cause) {
        return { kind: 'unkept', cause };
      }
    },
    async discard() {
      given.cancel();
      await spool.discard();
    },
  };
}
