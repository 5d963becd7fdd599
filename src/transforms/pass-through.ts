/**
 * Lets an answer in OpenAI's form through as it arrives. Its beginning is held back until it is clear what it is: a small
 * answer is read whole, and only one that has come to its first picture's base64 may go on unchanged.
 */
import { bytesSource, type ByteSource } from '../body/byte-source.ts';
import { createJsonObserver, type JsonObserver } from '../body/json-observer.ts';
import { GatewayError } from '../errors.ts';
import { base64Head } from '../images/base64.ts';
import { sniffMediaType } from '../images/probe.ts';
import type { ImageUsage } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { readUsage } from '../pipeline/wire-usage.ts';

export interface HeldReply {
  /** The same answer from its first byte, what was held back included. */
  readonly reply: UpstreamReply;
  /** The answer's bytes for the caller. Undefined: it has to be read and written anew. */
  readonly passThrough: (() => ByteSource) | undefined;
}

/** The most that is held back; an answer without a picture in its first bytes is not one to pass on unseen. */
const maxHeldBytes = 64 * 1024;

/** What was in an answer that has passed. */
export interface Passed {
  readonly images: number;
  readonly usage: ImageUsage | undefined;
}

/**
 * Reads as much of an answer as it takes to know whether it can pass.
 * @param onPassed called once the answer has passed
 */
export async function holdBack(reply: UpstreamReply, onPassed: (passed: Passed) => void): Promise<HeldReply> {
  const watch = watchImages();
  const chunks: Uint8Array[] = [];
  let heldBytes = 0;
  const rest = reply.body[Symbol.asyncIterator]();
  while (heldBytes < maxHeldBytes && watch.firstPicture === undefined && !watch.strange) {
    const { done, value } = await rest.next();
    if (done === true) return { reply: { ...reply, body: bytesSource(Buffer.concat(chunks)) }, passThrough: undefined };
    chunks.push(value);
    heldBytes += value.byteLength;
    watch.observer.feed(value);
  }
  const body = joined(chunks, rest, reply.body);
  if (watch.firstPicture === undefined || sniffMediaType(base64Head(watch.firstPicture)) === undefined) {
    return { reply: { ...reply, body }, passThrough: undefined };
  }
  return {
    reply: { ...reply, body },
    passThrough: () => ({
      length: reply.body.length,
      cancel: body.cancel,
      async *[Symbol.asyncIterator]() {
        yield* joined(chunks, rest, reply.body, (chunk) => watch.observer.feed(chunk));
        if (!watch.observer.end().complete) {
          throw new GatewayError('upstream_invalid_response', 'The provider’s answer broke off.');
        }
        onPassed({ images: watch.images(), usage: readUsage(watch.usage) });
      },
    }),
  };
}

/** What was held back, and the rest, of which each chunk is shown before it goes on. */
function joined(
  chunks: readonly Uint8Array[],
  rest: AsyncIterator<Uint8Array>,
  body: ByteSource,
  show: (chunk: Uint8Array) => void = () => {},
): ByteSource {
  return {
    length: body.length,
    cancel: () => body.cancel(),
    async *[Symbol.asyncIterator]() {
      try {
        yield* chunks;
        for (let next = await rest.next(); next.done !== true; next = await rest.next()) {
          show(next.value);
          yield next.value;
        }
      } finally {
        // Whoever leaves early lets go of the connection.
        body.cancel();
      }
    },
  };
}

interface ImageWatch {
  readonly observer: JsonObserver;
  /** The first bytes of the first picture's base64, once it has begun. */
  readonly firstPicture: Uint8Array | undefined;
  /** A long text came that is no picture's base64: this is not the document that we thought. */
  readonly strange: boolean;
  images(): number;
  readonly usage: Record<string, unknown>;
}

/** Notes down what the books need of an images response that passes by. */
function watchImages(): ImageWatch {
  const seen = new Set<number>();
  const usage = Object.create(null) as Record<string, unknown>;
  let firstPicture: Uint8Array | undefined;
  let strange = false;
  const observer = createJsonObserver({
    onLongText([data, index, name], head) {
      if (data !== 'data' || typeof index !== 'number' || name !== 'b64_json') strange = true;
      else {
        firstPicture ??= head;
        seen.add(index);
      }
    },
    onValue([top, second, third], value) {
      if (top === 'data' && typeof second === 'number' && (third === 'b64_json' || third === 'url')) seen.add(second);
      if (top !== 'usage' || typeof second !== 'string') return;
      if (third === undefined) usage[second] = value;
      else usage[second] = { ...Object(usage[second]), [third]: value };
    },
  });
  return {
    observer,
    images: () => seen.size,
    usage,
    get firstPicture() {
      return firstPicture;
    },
    get strange() {
      return strange;
    },
  };
}
