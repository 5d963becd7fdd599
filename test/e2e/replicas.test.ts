import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { parseUsd } from '../../src/money.ts';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import type { Script } from '../fixtures/fake-server.ts';
import { gatewayConfig, openAiEntity, openAiRoutes } from '../fixtures/gateway-config.ts';
import { startGateway, startGatewayIn, type Gateway } from '../fixtures/gateway.ts';
import { postgresPassword, startPostgres, type PostgresServer } from '../fixtures/postgres.ts';
import { postJson } from '../fixtures/setting.ts';
import { startTraffic } from '../fixtures/traffic.ts';
import { imagesIn, ledgerRows, printedRows, type UsageRow } from '../fixtures/usage.ts';

const patience = { timeout: 60_000 };

let server: PostgresServer;
let folder: string;
let fake: FakeOpenAi;

beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(() => server.stop());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pinhole-replicas-'));
  fake = await startFakeOpenAi();
});
afterEach(async () => {
  await fake.close();
  await rm(folder, { recursive: true });
});

const places = [
  ['SQLite', 2, () => `sqlite:${join(folder, 'shared.db')}`],
  ['PostgreSQL', 3, () => server.newState()],
] as const;

const secrets = [postgresPassword];
const config = (state: string, images: number) =>
  gatewayConfig([openAiEntity(fake)], { state, budgets: [{ id: 'all', limit: { images }, window: 'lifetime' }] });

async function generate({ url }: Gateway, n = 1): Promise<number> {
  const response = await postJson(`${url}/v1/images/generations`, { prompt: 'a', n });
  await response.arrayBuffer();
  return response.status;
}

describe.each(places)('gateways that share a state in %s [X19]', (_name, count, newState) => {
  it('serve exactly 100 of 500 calls of 50 clients when there is room for 100 pictures [R10, X04]', async () => {
    const state = newState();
    const gateways = await Promise.all(
      Array.from({ length: count }, () => startGateway({ config: config(state, 100), secrets })),
    );
    const statuses = (
      await Promise.all(
        Array.from({ length: 50 }, async (_, client) => {
          const own: number[] = [];
          for (let call = 0; call < 10; call += 1) own.push(await generate(at(gateways, (client + call) % count)));
          return own;
        }),
      )
    ).flat();
    expect(statuses.filter((status) => status === 200)).toHaveLength(100);
    expect(statuses.filter((status) => status === 429)).toHaveLength(400);
    expect(fake.billed).toBe(100);
    for (const gateway of gateways) {
      await expect.poll(() => ledgerRows(gateway, 'state=settled'), patience).toHaveLength(100);
    }
    await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]()));
  }, 120_000);

  it('lose no call that was answered when one of them is killed under load, and bill none twice [R8]', async () => {
    const state = newState();
    const file = config(state, 1_000_000);
    const [first, ...others] = await Promise.all(
      Array.from({ length: count }, () => startGateway({ config: file, secrets })),
    );
    if (first === undefined) throw new Error('no gateway');
    let killed = first;
    for (let round = 0; round < 3; round += 1) {
      let answered = 0;
      const traffic = startTraffic(16, async (client) => {
        const status = await generate(client % 2 === 0 ? killed : at(others, 0));
        if (status !== 200) throw new Error(String(status));
        answered += 1;
      });
      const before = answered;
      await expect.poll(() => answered, patience).toBeGreaterThan(before + 60);
      await killed.kill();
      await traffic.stop();
      killed = await startGatewayIn(killed.dir, { config: file, secrets });
    }
    const survivor = at(others, 0);
    await expect.poll(() => ledgerRows(survivor, 'state=reserved'), patience).toEqual([]);
    const rows = await ledgerRows(survivor);
    expect(imagesIn(rows, 'settled', 'released')).toBeLessThanOrEqual(fake.billed);
    expect(fake.billed).toBeLessThanOrEqual(imagesIn(rows, 'settled', 'released', 'estimated'));
    // Eight clients were waiting for the one that was killed, each time.
    expect(imagesIn(rows, 'estimated')).toBeLessThanOrEqual(3 * 8);
    const ids = rows.map(({ request_id: id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(await printedRows(survivor)).toHaveLength(rows.length);
    await Promise.all([killed, ...others].map((gateway) => gateway.stop()));
  }, 180_000);

  it('agree to the nano-dollar with what the provider billed, whatever goes wrong, but for answers that were lost [R12]', async () => {
    const state = newState();
    const entities = [openAiEntity(fake), openAiEntity(fake, { id: 'second' })];
    const file = gatewayConfig(entities, {
      state,
      routes: openAiRoutes(['openai-main', 'second']),
      prices: entities.map(({ id }) => ({ entity: id, model: '*', per_image: 0.017 })),
      budgets: [{ id: 'all', limit: { usd: 1000, images: 100_000 }, window: 'lifetime' }],
    });
    const gateways = await Promise.all(Array.from({ length: count }, () => startGateway({ config: file, secrets })));
    const random = randomNumbers();
    /** Calls of many clients at once, while the provider answers some with one of these mishaps. */
    const round = async (mishaps: readonly Script[], patienceOf: () => AbortSignal | null): Promise<void> => {
      for (let index = 0; index < 200; index += 1) fake.next(mishaps[random(mishaps.length)] ?? {});
      await Promise.all(
        Array.from({ length: 12 }, async (_, client) => {
          for (let call = 0; call < 10; call += 1) {
            const fallbacks = random(2) === 0 ? { fallbacks: ['second/gpt-image-2'] } : {};
            const body = { model: 'openai-main/gpt-image-2', prompt: 'a', n: 1 + random(3), ...fallbacks };
            const { url } = at(gateways, (client + call) % count);
            await postJson(`${url}/v1/images/generations`, body, {}, { signal: patienceOf() })
              .then((response) => response.arrayBuffer())
              .catch(() => undefined);
          }
        }),
      );
      await expect.poll(() => ledgerRows(at(gateways, 0), 'state=reserved'), patience).toEqual([]);
    };
    const failures: readonly Script[] = [
      {},
      {},
      { status: 500, body: {} },
      { status: 429, body: {} },
      { html: true, status: 502 },
      { delayMs: 40 },
    ];
    await round(failures, () => null);
    const exact = await ledgerRows(at(gateways, 0));
    expect(exact.filter(({ state: kind }) => kind === 'estimated')).toEqual([]);
    expect(nanoOf(exact)).toBe(fake.billed * 17_000_000);

    // Some answers are lost, and some clients lose their patience.
    const losses: readonly Script[] = [...failures, { cut: 'before_headers' }, { cut: 'mid_body' }];
    await round(losses, () => (random(6) === 0 ? AbortSignal.timeout(1 + random(40)) : null));
    const rows = await ledgerRows(at(gateways, 0));
    const certain = nanoOf(rows.filter(({ state: kind }) => kind !== 'estimated'));
    const estimated = nanoOf(rows.filter(({ state: kind }) => kind === 'estimated'));
    expect(estimated).toBeGreaterThan(0);
    expect(certain).toBeLessThanOrEqual(fake.billed * 17_000_000);
    expect(fake.billed * 17_000_000).toBeLessThanOrEqual(certain + estimated);
    await Promise.all(gateways.map((gateway) => gateway[Symbol.asyncDispose]()));
  }, 120_000);
});

/** The same numbers in every run. */
function randomNumbers(): (below: number) => number {
  let seed = 20261118;
  return (below) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    // The low bits of such numbers come round after a few.
    return Math.floor((seed / 2147483648) * below);
  };
}

function nanoOf(rows: readonly UsageRow[]): number {
  return rows.reduce((sum, { cost_usd: cost }) => sum + (parseUsd(cost ?? '') ?? Number.NaN), 0);
}

function at<Value>(list: readonly Value[], index: number): Value {
  const value = list[index];
  if (value === undefined) throw new Error('not there');
  return value;
}
