import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity, sandboxEntity } from '../fixtures/gateway-config.ts';
import { startGateway, startGatewayIn } from '../fixtures/gateway.ts';
import { apiError, callerKey, openAiClient } from '../fixtures/openai-client.ts';
import { png } from '../fixtures/pictures.ts';
import { postJson, startSetting, type Setting } from '../fixtures/setting.ts';

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
        ],
        budgets: [
          budget('crowd', 100),
          budget('failing', 5),
          budget('leaving', 1, { abandoned: 'release' }),
          budget('threes', 7),
          budget('warned', 1, { on_exceed: 'warn' }),
          budget('shared', 2, { scope: { teams: ['growth'] } }),
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

describe('a budget in a file', () => {
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
