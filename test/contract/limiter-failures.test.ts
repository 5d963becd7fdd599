import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Logger } from '../../src/log.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { limiters } from '../../src/stores/index.ts';
import type { Limiter, Verdict } from '../../src/stores/limiter.ts';
import { postgresPassword, startPostgres, type PostgresServer } from '../fixtures/postgres.ts';
import { redisPassword, startRedis, type RedisServer } from '../fixtures/redis.ts';
import { many } from './places.ts';

const patience = { timeout: 20_000 };
const overloaded = { code: 'overloaded', status: 503 };

let folder: string;
let postgres: PostgresServer;
let redis: RedisServer;
let said: string[];
const opened = new Set<Limiter>();

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
beforeEach(() => {
  said = [];
});
afterEach(async () => {
  await Promise.all(Array.from(opened, (limiter) => limiter.close()));
  opened.clear();
});

async function open(address: string): Promise<Limiter> {
  const [, scheme, location = ''] = /^(\w+):(.*)$/.exec(address) ?? [];
  const say = (message: string, fields?: object): void => void said.push(`${message} ${JSON.stringify(fields ?? {})}`);
  const log: Logger = { debug: say, info: say, warn: say, error: say, child: () => log };
  const limiter = limiters.find((each) => each.scheme === scheme)?.create(location, { clock: systemClock, log });
  if (limiter === undefined) throw new Error(`there is no limiter ${scheme}`);
  opened.add(limiter);
  limiter.prepare();
  await limiter.prepared();
  return limiter;
}

const { signal } = new AbortController();
const rate = { amount: 10, windowUs: 86_400_000_000, burst: 10 };

const count = (limiter: Limiter): Promise<Verdict> =>
  limiter.take({ rates: [{ limit: 'a', key: 'a', rate, cost: 1 }], places: [], holder: 'h' }, signal);

const places = [{ limit: 'p', key: 'a', most: 2 }];
const enter = (limiter: Limiter, holder: string): Promise<Verdict> =>
  limiter.take({ rates: [], places, holder }, signal);

/** Whether something is refused because it cannot be counted, and how many milliseconds that took. */
async function refusalMs(taking: () => Promise<Verdict>): Promise<number> {
  const startedMs = performance.now();
  await expect(taking()).rejects.toMatchObject(overloaded);
  return performance.now() - startedMs;
}

const healthy = (limiter: Limiter) => expect.poll(() => limiter.healthy(), patience);

describe.each([
  ['postgres', () => ({ server: postgres, address: postgres.newState() })],
  ['redis', () => ({ server: redis, address: redis.newPlace() })],
] as const)('%s limiter', (_name, newPlace) => {
  it('refuses while the server is away, says so once, and goes on by itself when it is back', async () => {
    const { server, address } = newPlace();
    const limiter = await open(address);
    await enter(limiter, 'stays');
    await enter(limiter, 'leaves');
    await server.interrupt();
    try {
      await refusalMs(() => count(limiter));
      expect(limiter.healthy()).toBe(false);
      // From now on nobody waits.
      for (let index = 0; index < 10; index += 1) expect(await refusalMs(() => count(limiter))).toBeLessThan(500);
      await limiter.leave('leaves', places);
    } finally {
      await server.resume();
    }
    await healthy(limiter).toBe(true);
    expect((await count(limiter)).kind).toBe('taken');
    // What is held is held again, also where the server has forgotten it, and what was left is left.
    await expect.poll(async () => (await enter(limiter, 'comes')).kind, patience).toBe('taken');
    expect((await enter(limiter, 'is late')).kind).toBe('full');
    expect(said.map((line) => line.replace(/ \{.*/, ''))).toEqual([
      'requests cannot be counted against their rate limits',
      'requests are counted against their rate limits again',
    ]);
    expect(said.join('')).not.toMatch(new RegExp(`${postgresPassword}|${redisPassword}`));
  }, 60_000);

  it('is not there at first, and counts as soon as it is', async () => {
    const { server, address } = newPlace();
    await server.interrupt();
    let limiter: Limiter;
    try {
      limiter = await open(address);
      expect(limiter.healthy()).toBe(false);
      expect(said).toHaveLength(1);
      expect(said[0]).toContain('ECONNREFUSED');
      await refusalMs(() => count(limiter));
    } finally {
      await server.resume();
    }
    await healthy(limiter).toBe(true);
    expect((await count(limiter)).kind).toBe('taken');
  }, 60_000);

  it('gives up on a server that takes a connection and says nothing', async () => {
    const { address } = newPlace();
    const mute = createServer().listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const startedMs = performance.now();
    const limiter = await open(address.replace(/@127\.0\.0\.1:\d+/, `@127.0.0.1:${portOf(mute)}`));
    expect(performance.now() - startedMs).toBeLessThan(8_000);
    expect(limiter.healthy()).toBe(false);
    expect(await refusalMs(() => count(limiter))).toBeLessThan(500);
    await limiter.close();
    mute.close();
  }, 30_000);
});

describe('postgres limiter', () => {
  it('holds nothing of what it refused because a lock was held for too long', async () => {
    const address = postgres.newState();
    const [limiter, other] = [await open(address), await open(address)];
    await enter(other, 'first');
    const locked = lockTables(address);
    await locked.begun;
    expect(await refusalMs(() => enter(limiter, 'second'))).toBeLessThan(4_000);
    await locked.end();
    await healthy(limiter).toBe(true);
    expect((await enter(other, 'third')).kind).toBe('taken');
  }, 60_000);

  function lockTables(address: string) {
    const begun = Promise.withResolvers<void>();
    const text = `DO $$ BEGIN
      LOCK TABLE pinhole_limits IN ACCESS EXCLUSIVE MODE;
      FOR step IN 1..3000 LOOP
        EXIT WHEN EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'unlock');
        PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
      END LOOP; END $$`;
    const done = postgres.query(address, text);
    const look = async (): Promise<void> => {
      await expect
        .poll(async () => {
          const found = await postgres.query(
            address,
            `SELECT FROM pg_locks WHERE relation = 'pinhole_limits'::regclass AND mode = 'AccessExclusiveLock' AND granted`,
          );
          return found.length;
        }, patience)
        .toBe(1);
      begun.resolve();
    };
    void look();
    return {
      begun: begun.promise,
      async end() {
        await postgres.query(address, `SET application_name = 'unlock'; SELECT pg_sleep(0.5)`);
        await done;
      },
    };
  }
});

describe('redis limiter', () => {
  it('gets along with a server that hangs for a while', async () => {
    const address = redis.newPlace();
    const limiter = await open(address);
    expect((await enter(limiter, 'first')).kind).toBe('taken');
    redis.freeze();
    try {
      const waits = await Promise.all(many(20, (index) => refusalMs(() => enter(limiter, `while ${index}`))));
      expect(Math.max(...waits)).toBeLessThan(4_000);
      expect(await refusalMs(() => enter(limiter, 'afterwards'))).toBeLessThan(500);
    } finally {
      redis.thaw();
    }
    await healthy(limiter).toBe(true);
    // Places that were given to nobody, when the server woke up, are given back.
    const awakeMs = performance.now();
    await expect.poll(async () => (await enter(limiter, 'second')).kind, patience).toBe('taken');
    expect(performance.now() - awakeMs).toBeLessThan(5_000);
  }, 60_000);

  it('sends its scripts again to a server that has forgotten them', async () => {
    const address = redis.newPlace();
    const limiter = await open(address);
    await count(limiter);
    await redis.command(address, 'SCRIPT', 'FLUSH');
    expect(await count(limiter)).toMatchObject({ standings: [{ remaining: 8 }] });
  });

  it('is not well while the server takes nothing, though it answers', async () => {
    const address = redis.newPlace();
    const limiter = await open(address);
    await count(limiter);
    await redis.command(address, 'CONFIG', 'SET', 'maxmemory', '1');
    try {
      await refusalMs(() => count(limiter));
      expect(said.join('')).toContain('OOM');
      for (let index = 0; index < 5; index += 1) await refusalMs(() => count(limiter));
      expect(limiter.healthy()).toBe(false);
      expect(said).toHaveLength(1);
    } finally {
      await redis.command(address, 'CONFIG', 'SET', 'maxmemory', '0');
    }
    await healthy(limiter).toBe(true);
    expect((await count(limiter)).kind).toBe('taken');
  }, 60_000);

  it('says that the password is wrong, and not which it is', async () => {
    const limiter = await open(redis.newPlace().replace(redisPassword, 'pw-wrong-0815'));
    expect(limiter.healthy()).toBe(false);
    expect(said.join('')).toContain('WRONGPASS');
    expect(said.join('')).not.toContain('pw-wrong-0815');
  });
});

describe('sqlite limiter', () => {
  it('refuses while somebody else has the file, holds nothing of what it refused, and goes on afterwards', async () => {
    const file = join(folder, 'locked.db');
    const limiter = await open(`sqlite:${file}`);
    expect((await enter(limiter, 'first')).kind).toBe('taken');
    const other = new DatabaseSync(`${file}-limits`);
    other.exec('BEGIN IMMEDIATE');
    expect(await refusalMs(() => enter(limiter, 'second'))).toBeLessThan(4_000);
    expect(limiter.healthy()).toBe(false);
    other.exec('ROLLBACK');
    other.close();
    const freeMs = performance.now();
    await healthy(limiter).toBe(true);
    await expect.poll(async () => (await enter(limiter, 'third')).kind, patience).toBe('taken');
    expect(performance.now() - freeMs).toBeLessThan(5_000);
  }, 60_000);

  it('says that a file is none of its own', async () => {
    const file = join(folder, 'spoilt.db');
    await writeFile(`${file}-limits`, 'this is not a database, whatever its name is'.repeat(100));
    const limiter = await open(`sqlite:${file}`);
    expect(limiter.healthy()).toBe(false);
    expect(said.join('')).toContain('file is not a database');
    await rm(`${file}-limits`);
    await healthy(limiter).toBe(true);
    expect((await count(limiter)).kind).toBe('taken');
  }, 30_000);
});

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return address.port;
}
