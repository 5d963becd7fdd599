import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRateLimiter, type Rate } from '../../src/gcra.ts';
import { silentLog } from '../../src/log.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { perform, type LimitTables, type Moment } from '../../src/stores/limit-rules.ts';
import type { LimiterSettings } from '../../src/stores/limiter.ts';
import { postgresLimiter } from '../../src/stores/postgres-limiter.ts';
import { processLimiter } from '../../src/stores/process-limiter.ts';
import { redisLimiter } from '../../src/stores/redis-limiter.ts';
import { readVerdict, takeCall, takeScript } from '../../src/stores/redis-scripts.ts';
import { sqliteLimiter } from '../../src/stores/sqlite-limiter.ts';
import { startPostgres, type PostgresServer } from '../fixtures/postgres.ts';
import { startRedis, type RedisServer } from '../fixtures/redis.ts';
import { limiterContract, sharedLimiterContract } from './limiter-contract.ts';

let folder: string;
let postgres: PostgresServer;
let redis: RedisServer;

beforeAll(async () => {
  [folder, postgres, redis] = await Promise.all([
    mkdtemp(join(tmpdir(), 'pinhole-limits-')),
    startPostgres(),
    startRedis(),
  ]);
}, 60_000);
afterAll(async () => {
  await Promise.all([rm(folder, { recursive: true }), postgres.stop(), redis.stop()]);
});

const settings = (given: Partial<LimiterSettings> = {}): LimiterSettings => ({
  clock: systemClock,
  log: silentLog,
  ...given,
});

limiterContract('process', () => {
  let laterMs = 0;
  const clock = { ...systemClock, monotonic: () => systemClock.monotonic() + laterMs };
  return {
    open: (given) => processLimiter.create('', settings({ clock, ...given })),
    moveClock: async (milliseconds) => void (laterMs += milliseconds),
  };
});

let files = 0;

sharedLimiterContract('sqlite', () => {
  files += 1;
  const file = join(folder, String(files), 'state.db');
  let laterMs = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + laterMs };
  return {
    address: `sqlite:${file}`,
    open: (given) => sqliteLimiter.create(file, settings({ clock, ...given })),
    moveClock: async (milliseconds) => void (laterMs += milliseconds),
    async kept() {
      const database = new DatabaseSync(`${file}-limits`);
      try {
        const [moments] = database.prepare(`SELECT count(*) AS count FROM moments WHERE name <> ''`).all();
        const [places] = database.prepare('SELECT count(*) AS count FROM places').all();
        return Number(moments?.['count']) + Number(places?.['count']);
      } finally {
        database.close();
      }
    },
  };
});

sharedLimiterContract('postgres', () => {
  const address = postgres.newState();
  return {
    address,
    open: (given) => postgresLimiter.create(address.replace(/^postgres:/, ''), settings(given)),
    // The server's clock stays, so what it has written down is moved the other way.
    async moveClock(milliseconds) {
      await postgres.query(
        address,
        `UPDATE pinhole_limits SET us = us - ${milliseconds * 1000} WHERE us > 0;
         UPDATE pinhole_places SET expires_at_us = expires_at_us - ${milliseconds * 1000}`,
      );
    },
    async kept() {
      const [found] = await postgres.query(
        address,
        `SELECT (SELECT count(*) FROM pinhole_limits WHERE name <> '') + (SELECT count(*) FROM pinhole_places) AS count`,
      );
      return Number(found?.['count']);
    },
  };
});

const moveScript = `
for _, key in ipairs(redis.call('KEYS', 'pinhole:{limits}:rate:*')) do
  local us, fraction = string.match(redis.call('GET', key), '^(%d+) (%d+)$')
  local moment = tonumber(us) - tonumber(ARGV[1])
  redis.call('SET', key, string.format('%.0f ', moment) .. fraction, 'KEEPTTL')
end
for _, key in ipairs(redis.call('KEYS', 'pinhole:{limits}:places:*')) do
  redis.call('PERSIST', key)
  for _, each in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    redis.call('ZINCRBY', key, -tonumber(ARGV[1]), each)
  end
end`;

sharedLimiterContract('redis', () => {
  const address = redis.newPlace();
  return {
    address,
    open: (given) => redisLimiter.create(address.replace(/^redis:/, ''), settings(given)),
    async moveClock(milliseconds) {
      await redis.command(address, 'EVAL', moveScript, '0', String(milliseconds * 1000));
    },
    async kept() {
      const keys = await redis.command(address, 'KEYS', '*');
      return Array.isArray(keys) ? keys.filter((key) => !String(key).endsWith(':probe')).length : -1;
    },
  };
});

/** Arrivals at a rate's own pace. */
const scenarios = fc
  .record({
    amount: fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 1_000_000_000 })),
    windowUs: fc.oneof(fc.integer({ min: 1000, max: 100_000 }), fc.integer({ min: 1000, max: 2_073_600_000_000 })),
    burst: fc.integer({ min: 1, max: 20 }),
  })
  .chain((rate) => {
    const unitUs = Math.max(1, Math.ceil(rate.windowUs / rate.amount));
    const arrival = fc.record({
      afterUs: fc.oneof(
        fc.constant(0),
        fc.nat({ max: unitUs }),
        fc.nat({ max: 2 * unitUs }),
        fc.nat({ max: 9 * unitUs }),
      ),
      cost: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 10 })),
    });
    return fc.record({ rate: fc.constant(rate), arrivals: fc.array(arrival, { minLength: 1, maxLength: 20 }) });
  });

/** What the exact limiter says to the arrivals. */
function expected(rate: Rate, arrivals: readonly { readonly afterUs: number; readonly cost: number }[]) {
  const limiter = createRateLimiter(rate, 10);
  let nowUs = 1_795_000_000_000_000;
  return arrivals.map(({ afterUs, cost }) => {
    nowUs += afterUs;
    const outlook = limiter.look('a', cost, nowUs);
    const verdict =
      outlook.waitUs > 0
        ? { kind: 'refused', index: 0, outlook }
        : { kind: 'taken', standings: [limiter.take('a', cost, nowUs)] };
    return { nowUs, demand: { rates: [{ name: 'a', rate, cost }], places: [], holder: '' }, verdict };
  });
}

describe('sums of moments', () => {
  it('in tables come to what they come to in memory, to the fraction of a microsecond', () => {
    fc.assert(
      fc.property(scenarios, ({ rate, arrivals }) => {
        let kept: Moment | undefined;
        const none = (): never => {
          throw new Error('there are no places here');
        };
        const tables: LimitTables = {
          moment: () => kept,
          setMoment: (_name, moment) => void (kept = moment),
          occupants: none,
          holds: none,
          occupy: none,
          vacate: none,
        };
        for (const { nowUs, demand, verdict } of expected(rate, arrivals)) {
          expect(perform(tables, { kind: 'take', demand }, nowUs)).toEqual(verdict);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('in Redis come to the same', async () => {
    const address = redis.newPlace();
    // The script itself, with the time given instead of asked for.
    const script = takeScript.text.replace(`redis.call('TIME')`, `{ARGV[#ARGV - 1], ARGV[#ARGV]}`);
    const { createClient } = await import('@redis/client');
    const client = createClient({ url: address, RESP: 2 });
    await client.connect();
    try {
      await fc.assert(
        fc.asyncProperty(scenarios, async ({ rate, arrivals }) => {
          await client.flushDb();
          for (const { nowUs, demand, verdict } of expected(rate, arrivals)) {
            const call = takeCall(demand, 1_000_000);
            const time = [Math.floor(nowUs / 1_000_000), nowUs % 1_000_000].map(String);
            const answer = await client.eval(script, { keys: call.keys, arguments: [...call.arguments, ...time] });
            expect(readVerdict(answer, demand)).toEqual(verdict);
          }
        }),
        { numRuns: 150 },
      );
    } finally {
      client.destroy();
    }
  });
});
