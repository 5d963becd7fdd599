import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity, sandboxEntity } from '../fixtures/gateway-config.ts';
import { startGateway, startGatewayIn } from '../fixtures/gateway.ts';
import { apiError, callerKey, openAiClient } from '../fixtures/openai-client.ts';
import { png } from '../fixtures/pictures.ts';
import { jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

const keyOf = (id: string): string => `sk-budget-${id}`;
const consumer = (id: string, more: object = {}) => ({ id, key: keyOf(id), ...more });
const budget = (id: string, images: number, more: object = {}) => ({
  id,
  limit: { images },
  window: 'lifetime',
  scope: { consumers: [id] },
  ...more,
});

let setting: Setting;

beforeAll(async () => {
  setting = await startSetting({
    config: (fake) =>
      gatewayConfig([openAiEntity(fake)], {
        consumers: [
          consumer('crowd'),
          consumer('failing'),
          consumer('leaving'),
          consumer('threes'),
          consumer('warned'),
          consumer('alice', { team: 'growth', budgets: ['shared'] }),
          consumer('bob', { team: 'growth', budgets: ['shared'] }),
          consumer('bystander'),
          consumer('rolling'),
          consumer('told'),
          consumer('app-1', { team: 'apps' }),
          consumer('app-2', { team: 'apps' }),
        ],
        budgets: [
          budget('crowd', 100),
          budget('failing', 5),
          budget('leaving', 1, { abandoned: 'release' }),
          budget('threes', 7),
          budget('warned', 1, { on_exceed: 'warn' }),
          budget('shared', 2, { scope: { teams: ['growth'] } }),
          budget('told', 9),
          budget('rolling', 2, { window: undefined, rolling: '2s' }),
          budget('apps', 1, { scope: { consumers: ['app-[0-9]'], entities: ['openai-.*'] } }),
          budget('others', 0, { scope: { consumers: ['app-[12]'], entities: ['openai|main'] } }),
          budget('per-end-user', 1, { scope: { consumers: ['bystander'] }, per: 'end_user' }),
        ],
      }),
  });
});
afterAll(() => setting.stop());

const as = (id: string) => openAiClient(setting.gateway, { apiKey: keyOf(id) });
const generate = (id: string, more: object = {}, init = {}) =>
  as(id).images.generate({ prompt: 'a lighthouse', ...more }, init);

/** How many of many calls at once were answered, refused by the budget, and anything else. */
async function crowd(size: number, call: () => Promise<Response>): Promise<Readonly<Record<string, number>>> {
  const outcomes = await Promise.all(
    Array.from({ length: size }, async () => {
      const answer = await call();
      const text = await answer.text();
      return answer.status === 200 ? 'answered' : text.includes('"budget_exceeded"') ? 'refused' : text;
    }),
  );
  return Object.fromEntries(
    Object.entries(Object.groupBy(outcomes, (outcome) => outcome)).map(([outcome, all]) => [outcome, all?.length ?? 0]),
  );
}

describe('a budget of images', () => {
  it('bills exactly its limit when five times as many calls come at once [O10, X04]', async () => {
    const { gateway, fake } = setting;
    const billed = fake.billed;
    const call = () =>
      postJson(
        `${gateway.url}/v1/images/generations`,
        { prompt: 'a lighthouse' },
        { authorization: `Bearer ${keyOf('crowd')}` },
      );
    expect(await crowd(500, call)).toEqual({ answered: 100, refused: 400 });
    expect(fake.billed - billed).toBe(100);
  });

  it('says so in a way that clients do not try again', async () => {
    const before = setting.fake.requests.length;
    const patient = openAiClient(setting.gateway, { apiKey: keyOf('crowd'), maxRetries: 2 });
    const error = await apiError(patient.images.generate({ prompt: 'a lighthouse' }));
    expect(error).toMatchObject({ status: 429, code: 'budget_exceeded', type: 'insufficient_quota' });
    expect(error.headers?.get('x-should-retry')).toBe('false');
    expect(setting.fake.requests).toHaveLength(before);
  });

  it('counts nothing for calls that failed', async () => {
    setting.fake.always({ status: 500, body: {} });
    for (let call = 0; call < 12; call += 1) await apiError(generate('failing'));
    setting.fake.always(undefined);
    for (let call = 0; call < 5; call += 1) await generate('failing');
    expect(await apiError(generate('failing'))).toMatchObject({ code: 'budget_exceeded' });
  });

  it('counts every picture of a call, and takes none of a call that does not fit', async () => {
    await generate('threes', { n: 3 });
    await as('threes').images.edit({ image: await toFile(png(), 'a.png'), prompt: 'bluer', n: 3 });
    expect(await apiError(generate('threes', { n: 2 }))).toMatchObject({ code: 'budget_exceeded' });
    await generate('threes', { n: 1 });
    expect(await apiError(generate('threes', { n: 1 }))).toMatchObject({ code: 'budget_exceeded' });
  });

  it('gives back what was reserved for a client that left, where the budget says so', async () => {
    const { fake } = setting;
    const before = fake.requests.length;
    fake.next({ hold: new Promise(() => {}) });
    const controller = new AbortController();
    const call = generate('leaving', {}, { signal: controller.signal });
    await fake.until(() => fake.requests.length > before);
    expect(await apiError(generate('leaving'))).toMatchObject({ code: 'budget_exceeded' });
    controller.abort();
    await expect(call).rejects.toThrow();
    await fake.until(() => fake.requests.at(before)?.fate === 'aborted');
    await expect.poll(() => generate('leaving').then(() => 'served', String)).toBe('served');
  });

  it('only warns where it is told to', async () => {
    await generate('warned');
    await generate('warned');
    await setting.gateway.output.line(
      (line) => JSON.stringify(line).includes('"warned"') && line['level'] === 'warn',
      5000,
    );
  });

  it('is shared by all in its scope', async () => {
    await generate('alice');
    await generate('bob');
    expect(await apiError(generate('alice'))).toMatchObject({ code: 'budget_exceeded' });
    expect(await apiError(generate('bob'))).toMatchObject({ code: 'budget_exceeded' });
  });
});

describe('the scope of a budget', () => {
  it('takes patterns of whole names', async () => {
    await generate('app-1');
    expect(await apiError(generate('app-2'))).toMatchObject({
      code: 'budget_exceeded',
      message: expect.stringContaining('`apps`'),
    });
  });

  it('has a counter for each end user, by the header or by the call', async () => {
    await generate('bystander', { user: 'eve' });
    await generate('bystander', {}, { headers: { 'x-pinhole-user-id': 'mallory' } });
    await generate('bystander');
    const again = generate('bystander', {}, { headers: { 'x-pinhole-user-id': 'eve' } });
    expect(await apiError(again)).toMatchObject({ code: 'budget_exceeded' });
  });
});

describe('the query embed_budget', () => {
  it('tells in the answer how the budgets stand that count the call', async () => {
    const url = `${setting.gateway.url}/v1/images/generations`;
    const headers = { authorization: `Bearer ${keyOf('told')}` };
    const answer = async (query: string): Promise<unknown> =>
      jsonOf(await postJson(`${url}${query}`, { prompt: 'a lighthouse', n: 2 }, headers));
    expect(await answer('')).not.toHaveProperty('budget');
    expect(await answer('?embed_budget=true')).toMatchObject({
      budget: [{ id: 'told', unit: 'images', used: 4, limit: 9, remaining: 5, window_end: null }],
    });
  });
});

describe('a rolling budget', () => {
  it('has room again when what was used is past', async () => {
    const startedAt = Date.now();
    await generate('rolling', { n: 2 });
    const refused = await apiError(generate('rolling'));
    expect(refused).toMatchObject({ code: 'budget_exceeded' });
    expect(refused.message).toMatch(/2 of 2 are used\. It counts the last 2s\.$/);
    await expect.poll(() => generate('rolling').then(() => 'served', String), { timeout: 10_000 }).toBe('served');
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(2000);
  });
});

describe('a budget in a file', () => {
  it('may change while its counters stand, is told over the admin API, and reset there', async () => {
    const token = 'admin-token-81c2';
    const withBudgets = (...budgets: readonly object[]) =>
      gatewayConfig([sandboxEntity()], {
        state: 'sqlite:./data/pinhole.db',
        admin: { listen: '127.0.0.1:0', token },
        consumers: [{ id: 'web-app', key: callerKey }],
        budgets,
      });
    const all = { id: 'all', limit: { images: 3 }, window: 'month', per: 'consumer' };
    await using gateway = await startGateway({ config: withBudgets(all), secrets: [token] });
    const admin = async (path: string, init: object = {}): Promise<unknown> =>
      jsonOf(await fetch(gateway.adminUrl + path, { headers: { authorization: `Bearer ${token}` }, ...init }));
    const post = { method: 'POST' };
    const counters = (counter: object) => ({ budgets: [{ id: 'all', counters: [{ value: 'web-app', ...counter }] }] });
    const reload = async (...budgets: readonly object[]): Promise<void> => {
      await gateway.write(withBudgets(...budgets));
      // The watcher may have been faster.
      expect(await admin('/api/reload', post)).toMatchObject({ kind: expect.stringMatching(/^(applied|unchanged)$/) });
    };
    const generate = () => openAiClient(gateway).images.generate({ prompt: 'one' });

    expect((await fetch(`${gateway.adminUrl}/api/budgets`)).status).toBe(401);
    expect((await fetch(`${gateway.adminUrl}/api/budgets/all/reset`, { method: 'POST' })).status).toBe(401);
    for (let call = 0; call < 3; call += 1) await generate();
    expect(await apiError(generate())).toMatchObject({ code: 'budget_exceeded' });
    await expect
      .poll(() => admin('/api/budgets'))
      .toMatchObject(counters({ used: 3, held: 0, limit: 3, percent: 100 }));

    await reload({ ...all, limit: { images: 4 } });
    await generate();
    expect(await apiError(generate())).toMatchObject({ code: 'budget_exceeded' });

    await reload({ ...all, window: 'day' });
    expect(await admin('/api/budgets')).toMatchObject({ budgets: [{ window: 'day', counters: [] }] });
    await generate();

    await reload();
    expect(await admin('/api/budgets')).toEqual({ budgets: [] });
    await generate();

    await reload(all);
    expect(await admin('/api/budgets')).toMatchObject(counters({ used: 4, limit: 3, remaining: 0, percent: 133 }));
    expect(await apiError(generate())).toMatchObject({ code: 'budget_exceeded' });

    expect(await admin('/api/budgets/all/reset?value=web-app', post)).toEqual({
      id: 'all',
      reset: [{ value: 'web-app', unit: 'images', used: 4 }],
    });
    await generate();
  });

  it('remembers over a restart, and over a kill', async () => {
    const config = gatewayConfig([sandboxEntity()], {
      state: 'sqlite:./data/pinhole.db',
      consumers: [{ id: 'web-app', key: callerKey }],
      budgets: [{ id: 'all', limit: { images: 3 }, window: 'lifetime' }],
    });
    const first = await startGateway({ config });
    await openAiClient(first).images.generate({ prompt: 'one', n: 2 });
    await first.kill();
    const second = await startGatewayIn(first.dir, { config });
    await openAiClient(second).images.generate({ prompt: 'three' });
    expect(await apiError(openAiClient(second).images.generate({ prompt: 'four' }))).toMatchObject({
      code: 'budget_exceeded',
    });
    expect(await second.stop()).toBe(0);
  });
});
