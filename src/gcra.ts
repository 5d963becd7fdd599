/**
 * The generic cell rate algorithm: for each key one number, the moment at which all that it has used will have come back
 * (https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm). It is exact: that moment is counted in parts of a
 * microsecond of which an integer number makes one unit.
 */

export interface Rate {
  /** So many units come back evenly … */
  readonly amount: number;
  /** … over so many microseconds. */
  readonly windowUs: number;
  /** The most units that there are at once. */
  readonly burst: number;
}

/** Where a key stands. */
export interface Standing {
  /** Whole units that are left. */
  readonly remaining: number;
  /** Microseconds until there are as many as there can be. */
  readonly fullAfterUs: number;
}

/** What taking some units would come to. */
export interface Outlook extends Standing {
  /** Microseconds until there are enough: 0 when there are, Infinity when there never will be. */
  readonly waitUs: number;
}

export interface RateLimiter {
  readonly rate: Rate;
  /** What taking `cost` units would come to. Takes none. @param nowUs microseconds on a scale that only goes forward */
  look(key: string, cost: number, nowUs: number): Outlook;
  /** Takes `cost` units, whether or not there are as many. */
  take(key: string, cost: number, nowUs: number): Standing;
  /** Keys that are remembered. */
  readonly size: number;
}

/**
 * @param maxKeys beyond so many keys, the one that was used least recently is taken for unused. Keys that have
 *   all their units again are forgotten earlier, since nothing tells them from unused ones
 */
export function createRateLimiter(rate: Rate, maxKeys: number): RateLimiter {
  const perUnit = BigInt(rate.windowUs);
  const perMicrosecond = BigInt(rate.amount);
  const most = BigInt(rate.burst) * perUnit;
  /** In the order of their last use. */
  const fullAt = new Map<string, bigint>();

  /** What a key has used and not got back yet, in parts. */
  function used(key: string, now: bigint): bigint {
    const moment = fullAt.get(key) ?? now;
    return moment > now ? moment - now : 0n;
  }

  function standing(parts: bigint): Standing {
    const left = most > parts ? most - parts : 0n;
    return { remaining: Number(left / perUnit), fullAfterUs: microseconds(parts) };
  }

  /** Rounded up: after so many, it is true. */
  const microseconds = (parts: bigint): number => Number((parts + perMicrosecond - 1n) / perMicrosecond);

  function forget(now: bigint): void {
    // Two for each that may come, so that what is over does not pile up.
    for (let count = 0; count < 2; count += 1) {
      const [oldest] = fullAt;
      if (oldest === undefined) return;
      const [key, moment] = oldest;
      if (moment > now && fullAt.size <= maxKeys) return;
      fullAt.delete(key);
    }
  }

  return {
    rate,
    look(key, cost, nowUs) {
      const parts = used(key, BigInt(nowUs) * perMicrosecond);
      const wanted = BigInt(cost) * perUnit;
      const missing = parts + wanted - most;
      const waitUs = missing <= 0n ? 0 : wanted > most ? Infinity : microseconds(missing);
      return { ...standing(parts), waitUs };
    },
    take(key, cost, nowUs) {
      const now = BigInt(nowUs) * perMicrosecond;
      const parts = used(key, now) + BigInt(cost) * perUnit;
      fullAt.delete(key);
      fullAt.set(key, now + parts);
      forget(now);
      return standing(parts);
    },
    get size() {
      return fullAt.size;
    },
  };
}
