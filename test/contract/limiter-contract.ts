import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import type { Rate } from '../../src/gcra.ts';
import type { Demand, Limiter, LimiterSettings, Verdict } from '../../src/stores/limiter.ts';
import { many } from './places.ts';

/** Somewhere to count. */
export interface LimiterPlace {
  open(settings?: Partial<LimiterSettings>): Limiter;
  /** Makes it so many milliseconds later than it is; with a negative number, sets the clock back. */
  moveClock(milliseconds: number): Promise<void>;
  /** How many keys are remembered; undefined: nobody can look. */
  kept?(): Promise<number>;
}

/** A place that several processes may open at once. */
export interface SharedLimiterPlace extends LimiterPlace {
  readonly address: string;
}

const hourMs = 3_600_000;
const hourUs = hourMs * 1000;
const idle = new AbortController().signal;

/** Three an hour, so that nothing comes back while a test runs. */
const slow: Rate = { amount: 3, windowUs: hourUs, burst: 3 };

interface Asked {
  readonly rates?: readonly (readonly [key: string, cost?: number, rate?: Rate])[];
  readonly places?: readonly (readonly [key: string, most: number])[];
  readonly holder?: string;
}

function demand({ rates = [], places = [], holder = 'nobody' }: Asked): Demand {
  return {
    rates: rates.map(([key, cost = 1, rate = slow]) => ({ limit: JSON.stringify(rate), key, rate, cost })),
    places: places.map(([key, most]) => ({ limit: 'places', key, most })),
    holder,
  };
}

/** Opens a limiter as loading a file does. */
async function opened(place: LimiterPlace, settings?: Partial<LimiterSettings>): Promise<Limiter> {
  const limiter = place.open(settings);
  limiter.prepare();
  await limiter.prepared();
  return limiter;
}

const take = (limiter: Limiter, asked: Asked): Promise<Verdict> => limiter.take(demand(asked), idle);

const kinds = async (limiter: Limiter, ...all: readonly Asked[]): Promise<string[]> => {
  const found: string[] = [];
  for (const asked of all) found.push((await take(limiter, asked)).kind);
  return found;
};

export function limiterContract(name: string, newPlace: () => LimiterPlace): void {
  describe(`${name} limiter`, () => {
    it('takes units while there are any, and says what is left and how long to wait', async () => {
      const place = newPlace();
      const limiter = await opened(place);
      const a = { rates: [['a']] } as const;
      const standing = async (): Promise<unknown> => {
        const verdict = await take(limiter, a);
        return verdict.kind === 'taken' ? verdict.standings.map(({ remaining }) => remaining) : verdict;
      };
      expect([await standing(), await standing(), await standing()]).toEqual([[2], [1], [0]]);
      const refused = await take(limiter, a);
      expect(refused).toMatchObject({ kind: 'refused', index: 0, outlook: { remaining: 0 } });
      if (refused.kind !== 'refused') throw new Error('taken');
      const { waitUs, fullAfterUs } = refused.outlook;
      // Of what was taken, as much has come back as time has passed.
      expect(waitUs).toBeLessThanOrEqual(hourUs / 3);
      expect(waitUs).toBeGreaterThan(hourUs / 3 - 60_000_000);
      expect(fullAfterUs - waitUs).toBe((hourUs / 3) * 2);
      await place.moveClock(hourMs / 3);
      expect(await kinds(limiter, a, a)).toEqual(['taken', 'refused']);
      await place.moveClock(10 * hourMs);
      expect(await kinds(limiter, a, a, a, a)).toEqual(['taken', 'taken', 'taken', 'refused']);
      await limiter.close();
    });

    it('counts keys and limits apart, and what costs more by what it costs', async () => {
      const limiter = await opened(newPlace());
      const large: Rate = { amount: 1_000_000_000, windowUs: 2_073_600_000_000, burst: 10 };
      expect(await take(limiter, { rates: [['a', 2]] })).toMatchObject({ standings: [{ remaining: 1 }] });
      expect(await take(limiter, { rates: [['a', 2]] })).toMatchObject({ kind: 'refused' });
      expect(await take(limiter, { rates: [['b', 3]] })).toMatchObject({ standings: [{ remaining: 0 }] });
      expect(await take(limiter, { rates: [['a', 10, large]] })).toMatchObject({ standings: [{ remaining: 0 }] });
      expect(await take(limiter, { rates: [['b', 4]] })).toMatchObject({ outlook: { waitUs: Infinity } });
      expect(await take(limiter, { rates: [['a', 1]] })).toMatchObject({ standings: [{ remaining: 0 }] });
      await limiter.close();
    });

    it('takes from all rates or from none, and names the one that has room last', async () => {
      const limiter = await opened(newPlace());
      const day: Rate = { amount: 1, windowUs: 24 * hourUs, burst: 1 };
      expect(await kinds(limiter, { rates: [['a', 1, day]] }, { rates: [['b', 3]] })).toEqual(['taken', 'taken']);
      const refused = await take(limiter, { rates: [['b'], ['a', 1, day], ['c', 3]] });
      expect(refused).toMatchObject({ kind: 'refused', index: 1 });
      expect(await kinds(limiter, { rates: [['c', 3]] })).toEqual(['taken']);
      await limiter.close();
    });

    it('gives places to so many holders, until they leave', async () => {
      const limiter = await opened(newPlace());
      const enter = (holder: string, key = 'a'): Promise<Verdict> => take(limiter, { places: [[key, 2]], holder });
      expect((await enter('x')).kind + (await enter('y')).kind).toBe('takentaken');
      expect(await enter('z')).toEqual({ kind: 'full', index: 0 });
      // Who has one keeps it, and has no second one.
      expect((await enter('x')).kind).toBe('taken');
      expect((await enter('z', 'b')).kind).toBe('taken');
      const a = [{ limit: 'places', key: 'a' }];
      await limiter.leave('x', a);
      await limiter.leave('x', a);
      await limiter.leave('who', a);
      expect((await enter('z')).kind).toBe('taken');
      expect((await enter('x')).kind).toBe('full');
      await limiter.close();
    });

    it('has a place for who comes next as soon as it is left', async () => {
      const limiter = await opened(newPlace());
      for (let index = 0; index < 50; index += 1) {
        expect(await kinds(limiter, { places: [['a', 1]], holder: `h${index}` })).toEqual(['taken']);
        void limiter.leave(`h${index}`, [{ limit: 'places', key: 'a' }]);
      }
      await limiter.close();
    });

    it('takes rates and places together, or none of them', async () => {
      const limiter = await opened(newPlace());
      await take(limiter, { places: [['full', 1]], holder: 'x' });
      const both = {
        rates: [['a', 3]],
        places: [
          ['free', 1],
          ['full', 1],
        ],
        holder: 'y',
      } as const;
      expect(await take(limiter, both)).toEqual({ kind: 'full', index: 1 });
      expect(await kinds(limiter, { rates: [['a', 3]], places: [['free', 1]], holder: 'z' })).toEqual(['taken']);
      expect(await kinds(limiter, { rates: [['a']], places: [['other', 1]], holder: 'z' })).toEqual(['refused']);
      expect(await kinds(limiter, { places: [['other', 1]], holder: 'y' })).toEqual(['taken']);
      await limiter.close();
    });

    it('lets through exactly as many of those that come at once', async () => {
      const limiter = await opened(newPlace());
      const hundred: Rate = { amount: 100, windowUs: 24 * hourUs, burst: 100 };
      const verdicts = await Promise.all(
        many(500, (index) => take(limiter, { rates: [['a', 1, hundred]], places: [['p', 60]], holder: `h${index}` })),
      );
      const count = (kind: string): number => verdicts.filter((verdict) => verdict.kind === kind).length;
      expect([count('taken'), count('full'), count('refused')]).toEqual([60, 440, 0]);
      const more = await Promise.all(many(100, () => take(limiter, { rates: [['a', 1, hundred]] })));
      expect(more.filter(({ kind }) => kind === 'taken')).toHaveLength(40);
      await limiter.close();
    });

    it('takes any text for a key', async () => {
      const limiter = await opened(newPlace());
      const keys = ['', ' ', 'a\0b', '\uD800', 'ü'.repeat(10_000), "'; DROP TABLE moments; --"];
      for (const key of keys) {
        const asked: Asked = { rates: [[key, 2]], places: [[key, 1]] };
        expect(await kinds(limiter, asked, asked)).toEqual(['taken', 'refused']);
      }
      await limiter.close();
    });

    it('waits for nobody whose signal is aborted, and gives that one nothing', async () => {
      const limiter = await opened(newPlace());
      const gone = new Error('gone');
      await expect(limiter.take(demand({ rates: [['a', 3]] }), AbortSignal.abort(gone))).rejects.toBe(gone);
      const leaving = new AbortController();
      const taking = limiter.take(demand({ places: [['p', 1]], holder: 'x' }), leaving.signal);
      leaving.abort(gone);
      const outcome = await taking.catch((error: unknown) => error);
      if (outcome === gone) {
        await expect.poll(() => kinds(limiter, { places: [['p', 1]], holder: 'y' })).toEqual(['taken']);
      }
      expect(await kinds(limiter, { rates: [['a', 3]] })).toEqual(['taken']);
      expect(limiter.healthy()).toBe(true);
      await limiter.close();
    });
  });
}

/** What limiters must do that several processes share. */
export function sharedLimiterContract(name: string, newPlace: () => SharedLimiterPlace): void {
  limiterContract(name, newPlace);

  describe(`${name} limiter, shared`, () => {
    it('lets exactly 100 of 600 through that come to three openings at once', async () => {
      const place = newPlace();
      const openings = await Promise.all(many(3, () => opened(place)));
      const hundred: Rate = { amount: 100, windowUs: 24 * hourUs, burst: 100 };
      const verdicts = await Promise.all(
        many(600, (index) => take(at(openings, index % 3), { rates: [['a', 1, hundred]] })),
      );
      expect(verdicts.filter(({ kind }) => kind === 'taken')).toHaveLength(100);
      await Promise.all(openings.map((limiter) => limiter.close()));
    });

    it('lets exactly as many through as there may be, of three processes; and has the places of a killed one again', async () => {
      const place = newPlace();
      const leaseMs = 1500;
      const children = await Promise.all(many(3, () => startTaker(place.address, leaseMs)));
      for (const { child } of children) child.stdin.write('go\n');
      const answers = await Promise.all(children.map(({ next }) => next()));
      const counts = answers.map((answer) => answer.split(' ').map(Number));
      expect(counts.reduce((sum, [rates = 0]) => sum + rates, 0)).toBe(100);
      expect(counts.reduce((sum, [, places = 0]) => sum + places, 0)).toBe(10);

      const limiter = await opened(place, { leaseMs });
      const enter = (index: number) => take(limiter, { places: [['a', 10]], holder: `new ${index}` });
      // Who is alive renews its leases.
      const aliveSinceMs = performance.now();
      await expect.poll(() => performance.now() - aliveSinceMs, { timeout: 10_000 }).toBeGreaterThan(2 * leaseMs);
      expect((await enter(0)).kind).toBe('full');
      for (const { child } of children) child.kill('SIGKILL');
      await expect.poll(async () => (await enter(0)).kind, { timeout: 10_000 }).toBe('taken');
      const more = await Promise.all(many(12, (index) => enter(index)));
      expect(more.filter(({ kind }) => kind === 'taken')).toHaveLength(10);
      await limiter.close();
    }, 60_000);

    it('counts on when it is opened again', async () => {
      const place = newPlace();
      const first = await opened(place);
      await take(first, { rates: [['a', 2]] });
      await first.close();
      const second = await opened(place);
      expect(await take(second, { rates: [['a']] })).toMatchObject({ standings: [{ remaining: 0 }] });
      await second.close();
    });

    it('has a place, that was left in one opening, for who comes to the next', async () => {
      const place = newPlace();
      const openings = await Promise.all(many(2, () => opened(place)));
      for (let index = 0; index < 30; index += 1) {
        const limiter = at(openings, index % 2);
        expect(await kinds(limiter, { places: [['a', 1]], holder: `h${index}` })).toEqual(['taken']);
        void limiter.leave(`h${index}`, [{ limit: 'places', key: 'a' }]);
      }
      await Promise.all(openings.map((limiter) => limiter.close()));
    });

    it('takes keys in any order without anybody waiting in a circle', async () => {
      const place = newPlace();
      const openings = await Promise.all(many(3, () => opened(place)));
      const keys = ['e', 'a', 'd', 'b', 'c'];
      const wide: Rate = { amount: 1000, windowUs: 24 * hourUs, burst: 1000 };
      const verdicts = await Promise.all(
        many(300, async (index) => {
          const limiter = at(openings, index % 3);
          const from = index % keys.length;
          const order = [...keys.slice(from), ...keys.slice(0, from)];
          const holder = `h${index}`;
          const verdict = await take(limiter, {
            rates: order.map((key) => [key, 1, wide] as const),
            places: order.map((key) => [key, 1000] as const),
            holder,
          });
          await limiter.leave(
            holder,
            order.map((key) => ({ limit: 'places', key })),
          );
          return verdict;
        }),
      );
      expect(verdicts.filter(({ kind }) => kind === 'taken')).toHaveLength(300);
      const last = await take(at(openings, 0), { rates: [['a', 1, wide]], places: [['a', 1]], holder: 'last' });
      expect(last).toMatchObject({ kind: 'taken', standings: [{ remaining: 699 }] });
      await Promise.all(openings.map((limiter) => limiter.close()));
    });

    it('makes nobody wait longer than for a whole burst when the clock is set back', async () => {
      const place = newPlace();
      const limiter = await opened(place);
      await take(limiter, {
        rates: [
          ['a', 1],
          ['b', 3],
        ],
        places: [['p', 1]],
        holder: 'x',
      });
      await place.moveClock(-24 * 365 * hourMs);
      const refused = await take(limiter, { rates: [['a']] });
      if (refused.kind !== 'refused') throw new Error('taken');
      expect(refused.outlook.fullAfterUs).toBeLessThanOrEqual(hourUs);
      await place.moveClock(hourMs);
      expect(await kinds(limiter, { rates: [['a', 3]] })).toEqual(['taken']);
      await limiter.close();
      // Whose process is gone had a lease to a time that is now far away.
      const next = await opened(place);
      expect(await kinds(next, { places: [['p', 1]], holder: 'y' })).toEqual(['full']);
      await place.moveClock(60_000);
      expect(await kinds(next, { places: [['p', 1]], holder: 'y' })).toEqual(['taken']);
      await next.close();
    });

    it('forgets what has come back', async () => {
      const place = newPlace();
      const limiter = await opened(place, { pruneEveryMs: 50, leaseMs: 500 });
      const quick: Rate = { amount: 1, windowUs: 1000, burst: 1 };
      // More than are forgotten at once.
      await Promise.all(
        many(50, async (caller) => {
          for (let index = 0; index < 50; index += 1) {
            const holder = `${caller}/${index}`;
            await take(limiter, { rates: [[holder, 1, quick]], places: [['p', 5000]], holder });
            await limiter.leave(holder, [{ limit: 'places', key: 'p' }]);
          }
        }),
      );
      await take(limiter, { rates: [['stays']] });
      await place.moveClock(60_000);
      await expect.poll(() => place.kept?.(), { timeout: 10_000 }).toBe(1);
      expect(await take(limiter, { rates: [['stays']] })).toMatchObject({ standings: [{ remaining: 1 }] });
      await limiter.close();
    });

    it('opens nothing while nobody asks', async () => {
      const limiter = newPlace().open();
      await limiter.prepared();
      expect(limiter.healthy()).toBe(true);
      await limiter.close();
      await expect(take(limiter, { rates: [['a']] })).rejects.toThrow(/closed/);
    });
  });
}

async function startTaker(address: string, leaseMs: number) {
  const script = fileURLToPath(new URL('../fixtures/limit-taker.ts', import.meta.url));
  const child = spawn(process.execPath, [script, address, '200', String(leaseMs)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => (await lines.next()).value ?? '';
  expect(await next()).toBe('ready');
  return { child, next };
}

function at<Value>(list: readonly Value[], index: number): Value {
  const value = list[index];
  if (value === undefined) throw new Error('not there');
  return value;
}
