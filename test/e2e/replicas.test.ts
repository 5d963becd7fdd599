import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { startGateway, startGatewayIn, type Gateway } from '../fixtures/gateway.ts';
import { postgresPassword, startPostgres, type PostgresServer } from '../fixtures/postgres.ts';
import { postJson } from '../fixtures/setting.ts';
import { startTraffic } from '../fixtures/traffic.ts';
import { imagesIn, ledgerRows, printedRows } from '../fixtures/usage.ts';

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
});

function at<Value>(list: readonly Value[], index: number): Value {
  const value = list[index];
  if (value === undefined) throw new Error('not there');
  return value;
}
