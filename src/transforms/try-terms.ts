/** What a stage that tries several candidates and `dispatch` tell each other about the try under way. */
import type { Exchange } from '../pipeline/exchange.ts';
import type { Clock } from '../pipeline/stage.ts';

const endsAtMs = new WeakMap<Exchange, number>();

/** Sets until when the try may take, by the clock that only goes forward. */
export function limitTry(exchange: Exchange, untilMs: number): void {
  endsAtMs.set(exchange, untilMs);
}

/** Milliseconds that are left for the try, at least one; infinite without a limit. */
export function timeForTry(exchange: Exchange, clock: Pick<Clock, 'monotonic'>): number {
  const untilMs = endsAtMs.get(exchange);
  return untilMs === undefined ? Infinity : Math.max(1, Math.round(untilMs - clock.monotonic()));
}
