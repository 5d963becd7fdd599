/** What a stage that tries several candidates and `dispatch` tell each other about the try under way. */
import { GatewayError } from '../errors.ts';
import type { Exchange } from '../pipeline/exchange.ts';
import type { Visit } from '../pipeline/health.ts';
import type { Clock } from '../pipeline/stage.ts';

interface TryTerms {
  /** Until when the try may take, by the clock that only goes forward. */
  readonly untilMs: number;
  /** Whether there is no other candidate to go to. */
  readonly isLast: boolean;
}

const terms = new WeakMap<Exchange, TryTerms>();

/** Sets the terms of the try that begins. */
export function limitTry(exchange: Exchange, given: TryTerms): void {
  terms.set(exchange, given);
}

/** The terms of the try under way. Without a stage that tries several candidates there is one, that takes what it likes. */
export function termsOfTry(exchange: Exchange): TryTerms {
  return terms.get(exchange) ?? { untilMs: Infinity, isLast: true };
}

/** Milliseconds that are left for the try, at least one; infinite without a limit. */
export function timeForTry(exchange: Exchange, clock: Pick<Clock, 'monotonic'>): number {
  const { untilMs } = termsOfTry(exchange);
  return Math.max(1, untilMs === Infinity ? untilMs : Math.round(untilMs - clock.monotonic()));
}

const answered = new WeakMap<Exchange, Set<Visit>>();

/**
 * Keeps a visit whose answer has begun, until it is known what the answer is worth: at the end of the exchange, unless
 * `endVisits` is called before.
 */
export function keepVisit(exchange: Exchange, visit: Visit): void {
  const visits = answered.get(exchange) ?? new Set();
  if (visits.size === 0) {
    answered.set(exchange, visits);
    exchange.defer(({ kind, error }) => {
      // Nobody knows whose fault it is that passing an answer on took too long.
      const isTheirs = error instanceof GatewayError && error.code !== 'upstream_timeout';
      if (kind === 'answered') endVisits(exchange, 'answered');
      else endVisits(exchange, kind === 'failed' && isTheirs ? error : 'abandoned');
    });
  }
  visits.add(visit);
}

/** Ends the visits whose answers have begun: with the failure of what was made of them, for one. */
export function endVisits(exchange: Exchange, outcome: Parameters<Visit['end']>[0]): void {
  const visits = answered.get(exchange);
  for (const visit of visits ?? []) visit.end(outcome);
  visits?.clear();
}
