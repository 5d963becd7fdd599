import { createRecent, type Recent } from '../recent.ts';

/** How much of what an entity gets may be retries: a provider in trouble must not get more than without them. */
export interface RetryBudget {
  /** Counts a call that is sent to an entity for the first time. */
  call(entityId: string): void;
  /** Takes a retry out of the budget, if there is one. @param percent of the calls of the last 10 seconds */
  take(entityId: string, percent: number): boolean;
}

const windowMs = 10_000;
/** Retries that there may be however few calls there are, unless there may be none at all. */
const always = 3;

/** @param monotonic milliseconds on a clock that only goes forward */
export function createRetryBudget(monotonic: () => number): RetryBudget {
  const entities = new Map<string, { readonly calls: Recent; readonly retries: Recent }>();

  function countsOf(entityId: string): { readonly calls: Recent; readonly retries: Recent } {
    const counts = entities.get(entityId) ?? { calls: createRecent(windowMs), retries: createRecent(windowMs) };
    entities.set(entityId, counts);
    return counts;
  }

  return {
    call: (entityId) => countsOf(entityId).calls.add(monotonic()),
    take(entityId, percent) {
      const { calls, retries } = countsOf(entityId);
      const nowMs = monotonic();
      const most = percent === 0 ? 0 : Math.max(always, (calls.count(nowMs) * percent) / 100);
      if (retries.count(nowMs) + 1 > most) return false;
      retries.add(nowMs);
      return true;
    },
  };
}
