import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRateLimiter, type Rate, type RateLimiter } from '../../src/gcra.ts';

const second = 1_000_000;

/** What comes to a limiter: after so many microseconds, so many units are wanted. */
interface Arrival {
  readonly afterUs: number;
  readonly cost: number;
}

const rates: fc.Arbitrary<Rate> = fc.record({
  amount: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 1_000_000_000 })),
  windowUs: fc.oneof(fc.integer({ min: 1000, max: 100_000 }), fc.integer({ min: 1000, max: 2_073_600_000_000 })),
  burst: fc.integer({ min: 1, max: 20 }),
});

/** Arrivals at a rate's own pace: mostly much closer than it allows, with pauses now and then. */
const scenarios = rates.chain((rate) => {
  const unitUs = Math.max(1, Math.ceil(rate.windowUs / rate.amount));
  const arrival = fc.record({
    afterUs: fc.oneof(
      fc.constant(0),
      fc.nat({ max: unitUs }),
      fc.nat({ max: 2 * unitUs }),
      fc.nat({ max: 30 * unitUs }),
    ),
    cost: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 10 })),
  });
  return fc.record({ rate: fc.constant(rate), arrivals: fc.array(arrival, { maxLength: 60 }), startUs: fc.nat() });
});

/** Takes the units if there are enough, as its users do. */
function ask(limiter: RateLimiter, cost: number, nowUs: number, key = 'a'): boolean {
  if (limiter.look(key, cost, nowUs).waitUs > 0) return false;
  limiter.take(key, cost, nowUs);
  return true;
}

/** The arrivals with their moments, and whether they were let in. */
function run(rate: Rate, arrivals: readonly Arrival[], startUs: number) {
  const limiter = createRateLimiter(rate, 100);
  let nowUs = startUs;
  return arrivals.map(({ afterUs, cost }) => {
    nowUs += afterUs;
    return { nowUs, cost, letIn: ask(limiter, cost, nowUs) };
  });
}

describe('a rate limiter', () => {
  it('never lets in more than the burst and what came back, in any span of time', () => {
    fc.assert(
      fc.property(scenarios, ({ rate, arrivals, startUs }) => {
        const letIn = run(rate, arrivals, startUs).filter((arrival) => arrival.letIn);
        for (const [first, { nowUs: fromUs }] of letIn.entries()) {
          let units = 0n;
          for (const { nowUs, cost } of letIn.slice(first)) {
            units += BigInt(cost);
            const allowed = BigInt(rate.burst) * BigInt(rate.windowUs) + BigInt(rate.amount) * BigInt(nowUs - fromUs);
            expect(units * BigInt(rate.windowUs) <= allowed).toBe(true);
          }
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('decides as a bucket of tokens does that is counted in exact fractions', () => {
    fc.assert(
      fc.property(scenarios, ({ rate, arrivals, startUs }) => {
        const full = BigInt(rate.burst) * BigInt(rate.windowUs);
        let tokens = full;
        let beforeUs = startUs;
        for (const { nowUs, cost, letIn } of run(rate, arrivals, startUs)) {
          tokens += BigInt(rate.amount) * BigInt(nowUs - beforeUs);
          if (tokens > full) tokens = full;
          beforeUs = nowUs;
          const wanted = BigInt(cost) * BigInt(rate.windowUs);
          expect(letIn).toBe(tokens >= wanted);
          if (letIn) tokens -= wanted;
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('tells to the microsecond when there will be room, and when all has come back', () => {
    fc.assert(
      fc.property(scenarios, fc.integer({ min: 1, max: 20 }), ({ rate, arrivals, startUs }, cost) => {
        const limiter = createRateLimiter(rate, 100);
        let nowUs = startUs;
        for (const arrival of arrivals) ask(limiter, arrival.cost, (nowUs += arrival.afterUs));
        const { waitUs, fullAfterUs, remaining } = limiter.look('a', cost, nowUs);
        expect(waitUs === 0).toBe(cost <= remaining);
        expect(waitUs === Infinity).toBe(cost > rate.burst);
        if (waitUs > 0 && waitUs < Infinity) {
          expect(limiter.look('a', cost, nowUs + waitUs).waitUs).toBe(0);
          expect(limiter.look('a', cost, nowUs + waitUs - 1).waitUs).toBe(1);
        }
        expect(limiter.look('a', 1, nowUs + fullAfterUs)).toEqual({ waitUs: 0, remaining: rate.burst, fullAfterUs: 0 });
        if (fullAfterUs > 0) expect(limiter.look('a', 1, nowUs + fullAfterUs - 1).fullAfterUs).toBe(1);
      }),
      { numRuns: 1000 },
    );
  });

  it('lets sixty in at once, and then one each second', () => {
    const limiter = createRateLimiter({ amount: 60, windowUs: 60 * second, burst: 60 }, 10);
    const letIn = (nowUs: number): number => {
      let count = 0;
      while (ask(limiter, 1, nowUs)) count += 1;
      return count;
    };
    expect(letIn(5 * second)).toBe(60);
    expect(letIn(6 * second - 1)).toBe(0);
    expect(letIn(6 * second)).toBe(1);
    expect(letIn(6.5 * second)).toBe(0);
    expect(letIn(9 * second)).toBe(3);
    expect(letIn(1000 * second)).toBe(60);
  });

  it('counts each key by itself', () => {
    const limiter = createRateLimiter({ amount: 1, windowUs: second, burst: 1 }, 10);
    expect([ask(limiter, 1, 0, 'a'), ask(limiter, 1, 0, 'a'), ask(limiter, 1, 0, 'b')]).toEqual([true, false, true]);
  });

  it('forgets what has come back, and holds no more keys than it may', () => {
    const limiter = createRateLimiter({ amount: 1, windowUs: second, burst: 2 }, 50);
    for (let index = 0; index < 1000; index += 1) {
      limiter.take(`many-${index}`, 1, index);
      expect(limiter.size).toBeLessThanOrEqual(50);
    }
    for (let index = 0; index < 60; index += 1) limiter.take('one', 1, 10 * second);
    expect(limiter.size).toBe(1);
    expect(limiter.look('one', 1, 10 * second).waitUs).toBeGreaterThan(0);
  });
});
