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

/** A rate, ready for sums. What keys have used is counted in parts: `amount` of them come back in a microsecond. */
export interface Meter {
  /** Parts of so many microseconds. */
  partsOf(microseconds: number): bigint;
  /** Parts of so many units. */
  partsOfUnits(units: number): bigint;
  /** Parts of the whole burst. */
  readonly most: bigint;
  /** Where a key stands that has used so many parts and not got them back yet. */
  standing(used: bigint): Standing;
  /** What taking `cost` units would come to, for such a key. */
  outlook(used: bigint, cost: number): Outlook;
}

export function createMeter({ amount, windowUs, burst }: Rate): Meter {
  const perUnit = BigInt(windowUs);
  const perMicrosecond = BigInt(amount);
  const most = BigInt(burst) * perUnit;

  /** Rounded up: after so many, it is true. */
  const microseconds = (parts: bigint): number => Number((parts + perMicrosecond - 1n) / perMicrosecond);

  function standing(used: bigint): Standing {
    const left = most > used ? most - used : 0n;
    return { remaining: Number(left / perUnit), fullAfterUs: microseconds(used) };
  }

  return {
    most,
    partsOf: (us) => BigInt(us) * perMicrosecond,
    partsOfUnits: (units) => BigInt(units) * perUnit,
    standing,
    outlook(used, cost) {
      const wanted = BigInt(cost) * perUnit;
      const missing = used + wanted - most;
      const waitUs = missing <= 0n ? 0 : wanted > most ? Infinity : microseconds(missing);
      return { ...standing(used), waitUs };
    },
  };
}

/** The outlook that is in the way for longest; undefined when none is. */
export function longestWait(outlooks: readonly Outlook[]): number | undefined {
  let found: number | undefined;
  outlooks.forEach(({ waitUs }, index) => {
    if (waitUs > (found === undefined ? 0 : (outlooks[found]?.waitUs ?? 0))) found = index;
  });
  return found;
}

export interface RateLimiter {
  readonly rate: Rate;
  /** What taking `cost` units would come to. Takes none. @param nowUs microseconds on a scale that only goes forward */
  look(key: string, cost: number, nowUs: number): Outlook;
  /** Takes `cost` units, whether or not there are as many. */
  take(key: string, cost: number, nowUs: number): Standing;
  /** Whether all that was ever taken has come back. */
  isIdle(nowUs: number): boolean;
  /** Keys that are remembered. */
  readonly size: number;
}

/**
 * @param maxKeys beyond so many keys, the one that was used least recently is taken for unused. Keys that have
 *   all their units again are forgotten earlier, since nothing tells them from unused ones
 */
export function createRateLimiter(rate: Rate, maxKeys: number): RateLimiter {
  const meter = createMeter(rate);
  /** In the order of their last use. */
  const fullAt = new Map<string, bigint>();

  /** What a key has used and not got back yet, in parts. */
  function used(key: string, now: bigint): bigint {
    const moment = fullAt.get(key) ?? now;
    return moment > now ? moment - now : 0n;
  }

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
    look: (key, cost, nowUs) => meter.outlook(used(key, meter.partsOf(nowUs)), cost),
    take(key, cost, nowUs) {
      const now = meter.partsOf(nowUs);
      const parts = used(key, now) + meter.partsOfUnits(cost);
      fullAt.delete(key);
      fullAt.set(key, now + parts);
      forget(now);
      return meter.standing(parts);
    },
    isIdle(nowUs) {
      const now = meter.partsOf(nowUs);
      return Array.from(fullAt.values()).every((moment) => moment <= now);
    },
    get size() {
      return fullAt.size;
    },
  };
}
