/** How budgets stand, in the words of the admin API and of answers. */
import { formatUsd } from '../money.ts';
import type { CounterState } from '../stores/store.ts';

/** An amount of some unit as it is shown: dollars as exact decimal text, anything else as a number. */
export function shownAmount(unit: string, amount: number): number | string {
  return unit === 'usd' ? formatUsd(amount) : amount;
}

/** How many percent of a limit are used, rounded down. What has no room at all is full. */
export function percentOf(used: number, limit: number): number {
  // Nano-dollars times a hundred may be more than a number holds exactly.
  return limit === 0 ? 100 : Number((BigInt(used) * 100n) / BigInt(limit));
}

/** A counter as it is shown. */
export interface ShownStanding {
  readonly unit: string;
  /** What calls that are over have used. */
  readonly used: number | string;
  /** The most that calls under way may come to. */
  readonly held: number | string;
  readonly limit: number | string;
  readonly remaining: number | string;
  /** What is used, in percent of the limit. */
  readonly percent: number;
}

export function showStanding(unit: string, { settled, held }: CounterState, limit: number): ShownStanding {
  return {
    unit,
    used: shownAmount(unit, settled),
    held: shownAmount(unit, held),
    limit: shownAmount(unit, limit),
    remaining: shownAmount(unit, Math.max(0, limit - settled - held)),
    percent: percentOf(settled, limit),
  };
}

/** The end of a window; null when it has none. */
export function shownEnd(endMs: number): string | null {
  return Number.isFinite(endMs) ? new Date(endMs).toISOString() : null;
}
