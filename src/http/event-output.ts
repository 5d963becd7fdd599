/** Server-sent events to a caller: what keeps the connection open while it waits, and an error after the beginning. */
import { errorBody, type GatewayError } from '../errors.ts';
import type { LiveConnection } from '../pipeline/exchange.ts';
import type { BodyResponse } from '../pipeline/response.ts';
import type { Clock } from '../pipeline/stage.ts';
import { prepareEarlyAnswer } from './lingering.ts';

/** Of every answer that is a stream. Proxies in between are not to hold it back. */
export const eventHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache',
  'x-accel-buffering': 'no',
} as const;

/** A comment, which clients pass over. */
export const ping: Uint8Array = Buffer.from(': ping\n\n');

/** An error in OpenAI's form, as an event. */
export function errorEvent(error: GatewayError): Uint8Array {
  return Buffer.from(`event: error\ndata: {"type":"error",${errorBody(error).slice(1)}\n\n`);
}

/** Whether an answer is a stream of events. */
export function isEvents({ headers }: BodyResponse): boolean {
  return headers['content-type'] === eventHeaders['content-type'];
}

/** The end of a stream of which nothing but comments has gone out. */
export function errorEvents(error: GatewayError): BodyResponse {
  return {
    kind: 'body',
    status: 200,
    headers: eventHeaders,
    body: {
      length: undefined,
      cancel() {},
      async *[Symbol.asyncIterator]() {
        yield errorEvent(error);
      },
    },
  };
}

/** Pings to a caller whose answer is not there yet. */
export interface Pinger {
  /** Begins to ping, unless it has begun already. */
  every(milliseconds: number): void;
  /** Ends it: from now on somebody else writes. */
  stop(): void;
  /** Milliseconds from ping to ping; undefined: nobody has asked for any. */
  readonly everyMs: number | undefined;
  /** Whether the answer has begun with a ping. */
  readonly hasBegun: boolean;
}

/** @param headers those of the answer, asked for when it begins */
export function createPinger(
  { request, answer }: LiveConnection,
  headers: () => ReadonlyMap<string, string>,
  clock: Clock,
): Pinger {
  let everyMs: number | undefined;
  let timer: { cancel(): void } | undefined;
  let hasBegun = false;
  let isOver = false;

  function wait(milliseconds: number): void {
    timer = clock.timer(milliseconds, () => {
      send();
      wait(milliseconds);
    });
  }

  function send(): void {
    if (answer.kind !== 'response' || answer.response.destroyed || answer.response.writableNeedDrain) return;
    const { response } = answer;
    if (!hasBegun) {
      prepareEarlyAnswer(request, response);
      response.writeHead(200, { ...Object.fromEntries(headers()), ...eventHeaders });
      hasBegun = true;
    }
    response.write(ping);
  }

  return {
    every(milliseconds) {
      if (everyMs !== undefined || isOver) return;
      everyMs = milliseconds;
      wait(milliseconds);
    },
    stop() {
      isOver = true;
      timer?.cancel();
    },
    get everyMs() {
      return everyMs;
    },
    get hasBegun() {
      return hasBegun;
    },
  };
}

/**
 * Items as they come, and `undefined` each time that none has for so long. An item that is being dealt with is no silence.
 * @param everyMs undefined: however long it takes
 */
export async function* withSilences<Item>(
  items: AsyncIterable<Item>,
  everyMs: number | undefined,
  clock: Clock,
): AsyncGenerator<Item | undefined, void> {
  if (everyMs === undefined) {
    yield* items;
    return;
  }
  const iterator = items[Symbol.asyncIterator]();
  try {
    for (;;) {
      const coming = iterator.next();
      while (!(await comesWithin(coming, everyMs, clock))) yield undefined;
      const { done, value } = await coming;
      if (done === true) return;
      yield value;
    }
  } finally {
    // Not waited for: it may itself be waiting for the provider.
    void iterator.return?.()?.catch(() => {});
  }
}

/** Whether a promise settles in time, in whichever way. */
async function comesWithin(coming: Promise<unknown>, milliseconds: number, clock: Clock): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = clock.timer(milliseconds, () => resolve(false));
  const settled = coming.then(
    () => true as const,
    () => true as const,
  );
  try {
    return await Promise.race([settled, late]);
  } finally {
    timer.cancel();
  }
}
