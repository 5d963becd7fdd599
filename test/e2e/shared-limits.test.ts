import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, imagesPipeline, openAiEntity } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { postgresPassword, startPostgres, type PostgresServer } from '../fixtures/postgres.ts';
import { redisPassword, startRedis, type RedisServer } from '../fixtures/redis.ts';
import { jsonOf, postJson } from '../fixtures/setting.ts';

const patience = { timeout: 30_000 };
const secrets = [postgresPassword, redisPassword];

let postgres: PostgresServer;
let redis: RedisServer;
let folder: string;
let fake: FakeOpenAi;

beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
}, 60_000);
afterAll(() => Promise.all([postgres.stop(), redis.stop()]));
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pinhole-shared-limits-'));
  fake = await startFakeOpenAi();
});
afterEach(async () => {
  await fake.close();
  await rm(folder, { recursive: true });
});

/** What the file says about a place to count in. */
type Place = Readonly<Record<string, string>>;

const places: readonly (readonly [string, () => Place])[] = [
  ['on one SQLite file', () => ({ state: `sqlite:${join(folder, 'shared.db')}` })],
  ['on one PostgreSQL', () => ({ state: postgres.newState() })],
  ['on one Redis', () => ({ state: 'memory:', rate_limits: redis.newPlace() })],
];

function config(place: Place, limit: object, more: object = {}): object {
  const [first, ...rest] = imagesPipeline;
  const images = [first, { plugin: 'rate-limit', config: limit }, ...rest];
  return gatewayConfig([openAiEntity(fake)], { ...place, pipelines: { images }, ...more });
}

const generate = ({ url }: Gateway): Promise<Response> => postJson(`${url}/v1/images/generations`, { prompt: 'a' });

async function statusOf(answer: Promise<Response>): Promise<number> {
  const response = await answer;
  await response.arrayBuffer();
  return response.status;
}

async function readiness(gateway: Gateway): Promise<unknown> {
  const response = await fetch(`${gateway.adminUrl}/readyz`);
  return [response.status, await response.json()];
}

const failing = { status: 'not ready', rate_limits: 'failing' };

async function startTwo(file: object): Promise<readonly [Gateway, Gateway]> {
  const start = (): Promise<Gateway> => startGateway({ config: file, secrets });
  return Promise.all([start(), start()]);
}

describe.each(places)('two gateways %s', (_name, newPlace) => {
  it('let exactly as many through as one limit allows, and both say what is left', async () => {
    const [one, other] = await startTwo(config(newPlace(), { requests: 40, window: '1d' }));
    const first = await generate(one);
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('39');
    const second = await generate(other);
    expect(second.headers.get('x-ratelimit-limit-requests')).toBe('40');
    expect(second.headers.get('x-ratelimit-remaining-requests')).toBe('38');
    expect(second.headers.get('x-ratelimit-reset-requests')).toMatch(/^1h1[12]m/);
    const statuses = await Promise.all(
      Array.from({ length: 120 }, (_, index) => statusOf(generate(index % 2 === 0 ? one : other))),
    );
    expect(statuses.filter((status) => status === 200)).toHaveLength(38);
    expect(statuses.filter((status) => status === 429)).toHaveLength(82);
    const refused = await generate(other);
    expect(await jsonOf(refused)).toMatchObject({ error: { type: 'rate_limit_error', code: 'rate_limit_exceeded' } });
    expect(refused.headers.get('x-ratelimit-remaining-requests')).toBe('0');
    // One comes back every 36 minutes.
    const waitS = Number(refused.headers.get('retry-after'));
    expect(waitS).toBeGreaterThan(2000);
    expect(waitS).toBeLessThanOrEqual(2160);
    expect(fake.billed).toBe(40);
    await Promise.all([one.stop(), other.stop()]);
  }, 60_000);

  it('have no more under way than one cap allows; and the places of a killed one are there again', async () => {
    const [one, other] = await startTwo(config(newPlace(), { concurrency: 3 }));
    const answered = Promise.withResolvers<void>();
    fake.always({ hold: answered.promise });
    const statuses: unknown[] = [];
    const calls = Array.from({ length: 10 }, async (_, index) => {
      statuses.push(await statusOf(generate(index % 2 === 0 ? one : other)).catch(() => 'cut off'));
    });
    // Those that are let in wait for their answer, so all others are refused first.
    await expect.poll(() => statuses.length, patience).toBe(7);
    expect(fake.requests).toHaveLength(3);
    expect(await statusOf(generate(other))).toBe(429);
    answered.resolve();
    await Promise.all(calls);
    expect(statuses.filter((status) => status === 200)).toHaveLength(3);
    expect(statuses.filter((status) => status === 429)).toHaveLength(7);

    fake.always({ hold: new Promise(() => {}) });
    const begun = fake.requests.length;
    const lost: Promise<unknown>[] = [];
    for (let call = 1; call <= 3; call += 1) {
      lost.push(statusOf(generate(one)).catch(() => 'cut off'));
      await fake.until(() => fake.requests.length === begun + call);
    }
    expect(await statusOf(generate(other))).toBe(429);
    await one.kill();
    expect(await Promise.all(lost)).toEqual(['cut off', 'cut off', 'cut off']);
    fake.always(undefined);
    await expect.poll(() => statusOf(generate(other)), patience).toBe(200);
    await other.stop();
  }, 90_000);
});

describe('a Redis', () => {
  const limit = { id: 'a', requests: 1000, window: '1d', concurrency: 100 };

  it('that goes away is answered with 503 before anything is sent, and is over when it is back', async () => {
    const gateway = await startGateway({
      config: config({ state: 'memory:', rate_limits: redis.newPlace() }, limit),
      secrets,
    });
    expect(await statusOf(generate(gateway))).toBe(200);
    await redis.interrupt();
    try {
      for (let call = 0; call < 5; call += 1) {
        const response = await generate(gateway);
        expect(response.status).toBe(503);
        expect(await jsonOf(response)).toMatchObject({ error: { code: 'overloaded' } });
      }
      expect(await readiness(gateway)).toEqual([503, failing]);
      expect(fake.billed).toBe(1);
      await gateway.output.line(
        ({ message }) => message === 'requests cannot be counted against their rate limits',
        5_000,
      );
    } finally {
      await redis.resume();
    }
    await expect.poll(() => readiness(gateway), patience).toEqual([200, { status: 'ready' }]);
    expect(await statusOf(generate(gateway))).toBe(200);
    await gateway.output.line(
      ({ message }) => message === 'requests are counted against their rate limits again',
      5_000,
    );
    await gateway.stop();
  }, 60_000);

  it('that hangs makes one call wait for a second, and the others not at all', async () => {
    const gateway = await startGateway({
      config: config({ state: 'memory:', rate_limits: redis.newPlace() }, limit),
      secrets,
    });
    expect(await statusOf(generate(gateway))).toBe(200);
    redis.freeze();
    try {
      const startedMs = performance.now();
      expect(await statusOf(generate(gateway))).toBe(503);
      expect(performance.now() - startedMs).toBeLessThan(3_000);
      const afterwardsMs = performance.now();
      const statuses = await Promise.all(Array.from({ length: 20 }, () => statusOf(generate(gateway))));
      expect(new Set(statuses)).toEqual(new Set([503]));
      expect(performance.now() - afterwardsMs).toBeLessThan(900);
      expect(await readiness(gateway)).toEqual([503, failing]);
    } finally {
      redis.thaw();
    }
    await expect.poll(() => readiness(gateway), patience).toEqual([200, { status: 'ready' }]);
    expect(await statusOf(generate(gateway))).toBe(200);
    await gateway.stop();
  }, 60_000);

  it('that goes away lets calls go on uncounted where the file says so, also of a gateway that starts meanwhile', async () => {
    const rateLimits = redis.newPlace();
    await redis.interrupt();
    let gateway: Gateway;
    try {
      gateway = await startGateway({
        config: config(
          { state: 'memory:', rate_limits: rateLimits },
          { requests: 2, window: '1d' },
          {
            on_state_failure: 'allow',
          },
        ),
        secrets,
      });
      for (let call = 0; call < 4; call += 1) expect(await statusOf(generate(gateway))).toBe(200);
      expect(await readiness(gateway)).toEqual([200, { status: 'ready', rate_limits: 'failing' }]);
      await gateway.output.line(
        ({ message, reason }) =>
          message === 'a call goes on uncounted, since it cannot be counted against its limits' &&
          String(reason).includes('ECONNREFUSED'),
        5_000,
      );
    } finally {
      await redis.resume();
    }
    await expect.poll(() => readiness(gateway), patience).toEqual([200, { status: 'ready' }]);
    expect([await statusOf(generate(gateway)), await statusOf(generate(gateway))]).toEqual([200, 200]);
    expect(await statusOf(generate(gateway))).toBe(429);
    await gateway.stop();
  }, 60_000);

  it('keeps its connection over a reload, gets another with another address, and its password is shown nowhere', async () => {
    const [first, second] = [redis.newPlace(), redis.newPlace()];
    const file = (rateLimits: string, more: object = {}): object =>
      config(
        { state: 'memory:', rate_limits: rateLimits },
        { id: 'a', requests: 5, window: '1d', concurrency: 2 },
        more,
      );
    const gateway = await startGateway({ config: file(first), secrets });
    const remaining = async (): Promise<string | null> =>
      (await generate(gateway)).headers.get('x-ratelimit-remaining-requests');
    expect(await remaining()).toBe('4');
    const connections = async (place: string): Promise<number> => {
      const list = String(await redis.command(place, 'CLIENT', 'LIST'));
      const database = place.slice(place.lastIndexOf('/') + 1);
      return list.split('\n').filter((line) => line.includes(` db=${database} `) && !line.includes('cmd=client'))
        .length;
    };
    const ids = async (): Promise<string[]> =>
      [...String(await redis.command(first, 'CLIENT', 'LIST')).matchAll(/^id=(\d+) .* cmd=(?!client)/gm)].map(
        ([, id = '']) => id,
      );
    const before = await ids();
    await gateway.apply(file(first, { aliases: {} }));
    expect(await remaining()).toBe('3');
    expect(await ids()).toEqual(before);

    // One that is under way while the place changes ends as it began.
    const hold = Promise.withResolvers<void>();
    fake.next({ hold: hold.promise });
    const begun = fake.requests.length;
    const call = statusOf(generate(gateway));
    await fake.until(() => fake.requests.length === begun + 1);
    const status = await gateway.apply(file(second));
    expect(JSON.stringify(status)).not.toContain(redisPassword);
    expect(JSON.stringify(status)).toContain('~ rate_limits: redis://:[redacted]@');
    expect(await remaining()).toBe('4');
    expect(await connections(first)).toBe(1);
    hold.resolve();
    expect(await call).toBe(200);
    await expect.poll(() => connections(first), patience).toBe(0);
    expect(await remaining()).toBe('3');

    const refused = await gateway.refuse(file(second.replace(/\d+$/, 'nine')));
    expect(JSON.stringify(refused)).toContain('must be redis://HOST:PORT/DATABASE');
    expect(JSON.stringify(refused)).not.toContain(redisPassword);

    // Where a file leads that is right, but to a server that wants another password, is the log's business.
    await gateway.apply(file(second.replace(redisPassword, 'pw-wrong-4711')));
    expect(await statusOf(generate(gateway))).toBe(503);
    await gateway.output.line(({ reason }) => String(reason).startsWith('WRONGPASS'), 5_000);
    await gateway.apply(file(second));
    expect(await remaining()).toBe('2');
    await gateway.stop();
  }, 60_000);
});

it('counts in each process for itself where the file says so', async () => {
  const place = { state: `sqlite:${join(folder, 'shared.db')}`, rate_limits: 'process' };
  const [one, other] = await startTwo(config(place, { requests: 1, window: '1d' }));
  expect([await statusOf(generate(one)), await statusOf(generate(other))]).toEqual([200, 200]);
  expect([await statusOf(generate(one)), await statusOf(generate(other))]).toEqual([429, 429]);
  await Promise.all([one.stop(), other.stop()]);
});

it('counts against limits in SQLite after a restart where it was before', async () => {
  const file = config({ state: `sqlite:${join(folder, 'kept.db')}` }, { requests: 1, window: '1d' });
  const first = await startGateway({ config: file });
  expect(await statusOf(generate(first))).toBe(200);
  await first.stop();
  const second = await startGateway({ config: file });
  expect(await statusOf(generate(second))).toBe(429);
  await second.stop();
});

describe('a database', () => {
  it('that goes away is answered with 503 by the limits too, and counts again when it is back', async () => {
    const gateway = await startGateway({
      config: config({ state: postgres.newState(), rate_limits: 'state' }, { requests: 2, window: '1d' }),
      secrets,
    });
    expect(await statusOf(generate(gateway))).toBe(200);
    await postgres.interrupt();
    try {
      expect(await statusOf(generate(gateway))).toBe(503);
      expect(await readiness(gateway)).toMatchObject([503, { rate_limits: 'failing' }]);
    } finally {
      await postgres.resume();
    }
    await expect.poll(() => readiness(gateway), patience).toEqual([200, { status: 'ready' }]);
    expect([await statusOf(generate(gateway)), await statusOf(generate(gateway))]).toEqual([200, 429]);
    await gateway.stop();
  }, 60_000);
});
