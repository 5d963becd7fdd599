import { createRateLimiter, longestWait, type RateLimiter } from '../gcra.ts';
import type { Limiter, LimiterDefinition, LimiterSettings, Place, RateDemand } from './limiter.ts';

/** Keys that one limit remembers: some tens of MB, and more callers than come within any window. */
const maxKeys = 200_000;

/** Counts in the memory of this process, for itself alone. */
export const processLimiter: LimiterDefinition = {
  scheme: 'process',
  create: (_location, settings) => createProcessLimiter(settings),
};

/** What `state: memory:` makes of `rate_limits: state`. */
export const memoryLimiter: LimiterDefinition = { ...processLimiter, scheme: 'memory' };

export function createProcessLimiter({ clock }: Pick<LimiterSettings, 'clock'>): Limiter {
  const limiters = new Map<string, RateLimiter>();
  const holders = new Map<string, Set<string>>();

  function limiterOf({ limit, rate }: RateDemand): RateLimiter {
    const limiter = limiters.get(limit) ?? createRateLimiter(rate, maxKeys);
    limiters.set(limit, limiter);
    return limiter;
  }

  /** A new limit comes with a reload, and others may have gone with it. */
  function forgetIdle(nowUs: number): void {
    for (const [name, limiter] of limiters) if (limiter.isIdle(nowUs)) limiters.delete(name);
  }

  return {
    prepare() {},
    prepared: () => Promise.resolve(),
    async take({ rates, places, holder }, signal) {
      signal.throwIfAborted();
      const nowUs = Math.floor(clock.monotonic() * 1000);
      if (rates.some(({ limit }) => !limiters.has(limit))) forgetIdle(nowUs);
      const counts = rates.map((demand) => ({ ...demand, limiter: limiterOf(demand) }));
      const outlooks = counts.map(({ limiter, key, cost }) => limiter.look(key, cost, nowUs));
      const last = longestWait(outlooks);
      const outlook = last === undefined ? undefined : outlooks[last];
      if (last !== undefined && outlook !== undefined) return { kind: 'refused', index: last, outlook };
      const full = places.findIndex((place) => {
        const here = holders.get(nameOf(place));
        return here !== undefined && !here.has(holder) && here.size >= place.most;
      });
      if (full >= 0) return { kind: 'full', index: full };
      for (const place of places) {
        const name = nameOf(place);
        holders.set(name, (holders.get(name) ?? new Set<string>()).add(holder));
      }
      return { kind: 'taken', standings: counts.map(({ limiter, key, cost }) => limiter.take(key, cost, nowUs)) };
    },
    async leave(holder, places) {
      for (const name of places.map(nameOf)) {
        const here = holders.get(name);
        here?.delete(holder);
        if (here?.size === 0) holders.delete(name);
      }
    },
    healthy: () => true,
    async close() {},
  };
}

function nameOf({ limit, key }: Place): string {
  return JSON.stringify([limit, key]);
}
