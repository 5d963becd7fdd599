/** R8 and R10: what the books say after a process was killed again and again, and while everything goes wrong. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseUsd } from '../../src/money.ts';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { startGateway, startGatewayIn, type Gateway } from '../fixtures/gateway.ts';
import { postJson } from '../fixtures/setting.ts';
import { startTraffic } from '../fixtures/traffic.ts';
import { ledgerRows, type UsageRow } from '../fixtures/usage.ts';
import { report } from './figures.ts';

const patience = { timeout: 60_000 };
const clients = 32;
const perPicture = 0.04;

let fake: FakeOpenAi;

beforeEach(async () => {
  fake = await startFakeOpenAi({ alsoKnown: ['flat'] });
});
afterEach(() => fake.close());

const config = (usd: number, more: object = {}) =>
  gatewayConfig([openAiEntity(fake)], {
    state: 'sqlite:./data/pinhole.db',
    prices: [{ entity: 'openai-main', model: 'flat', per_image: perPicture }],
    budgets: [{ id: 'all', limit: { usd }, window: 'lifetime' }],
    ...more,
  });

let calls = 0;

/** One call under an id of its own. @returns the status, or undefined when there was no answer */
async function call({ url }: Gateway, id: string, n = 1, signal?: AbortSignal): Promise<number | undefined> {
  const body = { model: 'flat', prompt: id, n };
  try {
    const answer = await postJson(
      `${url}/v1/images/generations`,
      body,
      { 'x-request-id': id },
      { signal: signal ?? null },
    );
    await answer.arrayBuffer();
    return answer.status;
  } catch {
    return undefined;
  }
}

const nanoOf = (rows: readonly UsageRow[]): number =>
  rows.reduce((sum, { cost_usd: cost }) => sum + (parseUsd(cost ?? '') ?? Number.NaN), 0);
const inState = (rows: readonly UsageRow[], ...states: readonly string[]): readonly UsageRow[] =>
  rows.filter(({ state }) => states.includes(state));

/** Starts a gateway on the folder of a dead one, and kills it before it can be ready. */
async function killDuringRecovery({ dir, configPath }: Gateway): Promise<void> {
  const main = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
  const child = spawn(process.execPath, [main, 'start', '--config', configPath], { cwd: dir, stdio: 'ignore' });
  const ended = once(child, 'exit');
  await pause(150 + Math.random() * 400);
  child.kill('SIGKILL');
  await ended;
}

describe('R8: the ledger survives kill -9', () => {
  it('40 kills at random moments under 32 clients, some of them during recovery', async () => {
    const file = config(1_000_000);
    let gateway = await startGateway({ config: file });
    const answered = new Set<string>();
    let open = 0;
    let slowestMs = 0;
    for (let kill = 0; kill < 40; kill += 1) {
      const before = answered.size;
      const traffic = startTraffic(clients, async () => {
        const id = `call-${String((calls += 1))}`;
        const status = await call(gateway, id);
        if (status === 200) answered.add(id);
        else await pause(5);
      });
      await expect.poll(() => answered.size, patience).toBeGreaterThan(before);
      await pause(Math.random() * 400);
      await gateway.kill();
      await traffic.stop();
      if (kill % 4 === 0) await killDuringRecovery(gateway);
      const startedAtMs = performance.now();
      gateway = await startGatewayIn(gateway.dir, { config: file });
      slowestMs = Math.max(slowestMs, performance.now() - startedAtMs);
      open += inState(await ledgerRows(gateway), 'reserved').length;
    }
    const rows = await ledgerRows(gateway);
    const known = new Set(rows.map(({ request_id: id }) => id));
    const certain = nanoOf(inState(rows, 'settled', 'released'));
    const estimated = inState(rows, 'estimated');
    const billed = fake.billed * perPicture * 1e9;
    const figures = {
      answered: answered.size,
      rows: rows.length,
      'answered and missing': [...answered].filter((id) => !known.has(id)).length,
      'rows twice': rows.length - known.size,
      'rows that nobody asked for': [...known].filter((id) => !id.startsWith('call-')).length,
      billed: fake.billed,
      estimated: estimated.length,
      'still open after recovery': open,
      'slowest start ms': Math.round(slowestMs),
    };
    report('R8', 'the ledger survives kill -9', figures);
    await gateway.stop();
    expect(figures).toMatchObject({
      'answered and missing': 0,
      'rows twice': 0,
      'rows that nobody asked for': 0,
      'still open after recovery': 0,
    });
    expect(certain).toBeLessThanOrEqual(Math.round(billed));
    expect(Math.round(billed)).toBeLessThanOrEqual(certain + nanoOf(estimated));
    // No more than were under way at each kill.
    expect(estimated.length).toBeLessThanOrEqual(40 * clients);
    expect(slowestMs).toBeLessThanOrEqual(3_000);
  });
});

describe('R10: a budget is never overspent', () => {
  it('$20 at $0.04 a picture, through reloads, kills, broken answers and clients that leave', async () => {
    const limitNanoUsd = 20e9;
    const version = (more: object = {}) => config(20, more);
    let gateway = await startGateway({ config: version() });
    const mishaps = [
      {},
      {},
      {},
      { status: 500, body: {} },
      { cut: 'before_headers' as const },
      { cut: 'mid_body' as const },
    ];
    for (let round = 0; round < 10; round += 1) {
      for (let each = 0; each < 60; each += 1) fake.next(mishaps[Math.floor(Math.random() * mishaps.length)] ?? {});
      const traffic = startTraffic(clients, async () => {
        const signal = Math.random() < 0.2 ? AbortSignal.timeout(1 + Math.random() * 30) : undefined;
        const status = await call(gateway, `call-${String((calls += 1))}`, 1 + Math.floor(Math.random() * 3), signal);
        if (status !== 200) await pause(5);
      });
      await pause(300);
      await gateway.apply(version({ logging: { level: round % 2 === 0 ? 'warn' : 'info', format: 'json' } }));
      await pause(Math.random() * 200);
      await gateway.kill();
      await traffic.stop();
      gateway = await startGatewayIn(gateway.dir, { config: version() });
    }
    // What is left is sold to the last picture that fits.
    while ((await call(gateway, `call-${String((calls += 1))}`)) === 200);
    await expect.poll(() => ledgerRows(gateway, 'state=reserved'), patience).toEqual([]);
    const rows = await ledgerRows(gateway);
    const spent = nanoOf(rows);
    const billed = Math.round(fake.billed * perPicture * 1e9);
    report('R10', 'a budget is never overspent', {
      limit: '20 USD',
      'spent by the books': spent / 1e9,
      'billed by the provider': billed / 1e9,
      estimated: nanoOf(inState(rows, 'estimated')) / 1e9,
    });
    await gateway.stop();
    expect(billed).toBeLessThanOrEqual(limitNanoUsd);
    expect(spent).toBe(limitNanoUsd);
    expect(nanoOf(inState(rows, 'settled', 'released'))).toBeLessThanOrEqual(billed);
  });
});
