/**
 * Writes pictures anew in other formats: a few at a time, the others in a line that is bounded. The work itself is done on
 * the threads of libvips; two at a time leave the machine room for everything else.
 */
import { GatewayError } from '../errors.ts';
import { recodePicture, type OutputFormat } from './codecs.ts';
import { collectPayload } from './convert-payload.ts';
import type { BytesPayload, ImagePayload } from './payload.ts';

/** What a picture is to become. */
export interface WantedFormat {
  readonly format: Exclude<OutputFormat, 'avif'>;
  /** Percent, 0 to 100; PNG has none. */
  readonly quality: number;
}

export interface Recoder {
  /**
   * @throws GatewayError overloaded when too many pictures wait; what `recodePicture` throws; the signal's reason
   */
  recode(payload: ImagePayload, wanted: WantedFormat, signal: AbortSignal): Promise<BytesPayload>;
}

/** The largest file that is written anew. */
const maxFileBytes = 64 * 1024 * 1024;

export function createRecoder({
  atOnce,
  maxWaiting,
}: {
  readonly atOnce: number;
  readonly maxWaiting: number;
}): Recoder {
  const waiting: (() => void)[] = [];
  let running = 0;

  async function takePlace(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (running < atOnce) {
      running += 1;
      return;
    }
    // It has been paid for already: the caller should not send it again.
    if (waiting.length >= maxWaiting) {
      throw new GatewayError('overloaded', 'Too many pictures wait to be converted.', { retry: false });
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = (): void => {
      const place = waiting.indexOf(resolve);
      if (place >= 0) waiting.splice(place, 1);
      reject(signal.reason);
    };
    signal.addEventListener('abort', leave, { once: true });
    waiting.push(resolve);
    await promise.finally(() => signal.removeEventListener('abort', leave));
  }

  /** Hands the place on to the next in line. */
  function leavePlace(): void {
    const next = waiting.shift();
    if (next === undefined) running -= 1;
    else next();
  }

  return {
    async recode(payload, { format, quality }, signal) {
      await takePlace(signal);
      try {
        const file = await collectPayload(payload, maxFileBytes);
        signal.throwIfAborted();
        return { kind: 'bytes', bytes: await recodePicture(file, format, quality) };
      } finally {
        leavePlace();
      }
    },
  };
}
