/** How fast targets have answered lately, for `least_latency`. */
import type { Operation } from '../pipeline/call.ts';
import type { Attempt, ExchangeEnd } from '../pipeline/exchange.ts';
import type { Clock } from '../pipeline/stage.ts';

export interface Latencies {
  /**
   * Milliseconds that an answer is expected to take; below 0 where nothing is known, so that it is found out, and Infinity
   * where nothing is known but a failure of a moment ago.
   */
  expectedMs(target: LatencyTarget, operation: Operation): number;
  /** Takes down what came of the tries of an exchange that is over, as far as they were at targets that are `followed`. */
  observe(attempts: readonly Attempt[], end: ExchangeEnd, followed: (entity: string, model: string) => boolean): void;
}

interface LatencyTarget {
  readonly entity: { readonly id: string };
  readonly model: string;
}

interface Entry {
  readonly averageMs: number;
  readonly untilMs: number;
}

/** How much of the average the last answer is. */
const lastWeight = 0.25;
/** A target that was once slow would never be tried again, and never show that it has become fast. */
const rememberedMs = 600_000;
/** One that fails and of which nothing else is known would be tried first by every call. */
const failureRememberedMs = 60_000;
/** Far more than a file has targets; what has not been seen for longest goes first. */
const maxEntries = 4096;

export function createLatencies(clock: Pick<Clock, 'monotonic'>): Latencies {
  const entries = new Map<string, Entry>();
  const keyOf = (entity: string, model: string, operation: Operation): string =>
    JSON.stringify([entity, model, operation]);

  function known(key: string): Entry | undefined {
    const entry = entries.get(key);
    return entry !== undefined && entry.untilMs > clock.monotonic() ? entry : undefined;
  }

  function keep(key: string, averageMs: number, forMs: number): void {
    entries.delete(key);
    entries.set(key, { averageMs, untilMs: clock.monotonic() + forMs });
    const [oldest] = entries.keys();
    if (entries.size > maxEntries && oldest !== undefined) entries.delete(oldest);
  }

  return {
    expectedMs: ({ entity, model }, operation) => known(keyOf(entity.id, model, operation))?.averageMs ?? -1,
    observe(attempts, end, followed) {
      for (const attempt of attempts) {
        const { entity, model, question, startedAtMs, answeredAtMs } = attempt;
        if (!followed(entity, model)) continue;
        const key = keyOf(entity, model, question.operation);
        const before = known(key);
        if (answeredAtMs !== undefined && attempt.images !== 0) {
          const tookMs = Math.max(0, answeredAtMs - startedAtMs);
          const averageMs =
            before === undefined || before.averageMs === Infinity
              ? tookMs
              : before.averageMs + lastWeight * (tookMs - before.averageMs);
          keep(key, averageMs, rememberedMs);
        } else if (before === undefined && end.kind !== 'aborted' && isItsFault(attempt)) {
          keep(key, Infinity, failureRememberedMs);
        }
      }
    },
  };
}

/** Whether a failure says something of the target, rather than of the call. */
function isItsFault({ status, answeredAtMs }: Attempt): boolean {
  if (status === undefined || answeredAtMs !== undefined) return true;
  return status >= 500 || [401, 403, 408, 429].includes(status);
}
