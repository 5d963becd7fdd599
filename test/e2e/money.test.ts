/** Budgets in dollars, prices in the books, and what is told of costs. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseUsd } from '../../src/money.ts';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity, openAiRoutes } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { apiError, openAiClient } from '../fixtures/openai-client.ts';
import { jsonOf, postJson } from '../fixtures/setting.ts';
import { ledgerRows, type UsageRow } from '../fixtures/usage.ts';

const patience = { timeout: 20_000 };
const keyOf = (id: string): string => `sk-money-${id}`;
const consumer = (id: string) => ({ id, key: keyOf(id) });
const budget = (id: string, usd: number, more: object = {}) => ({
  id,
  limit: { usd },
  window: 'lifetime',
  scope: { consumers: [id] },
  ...more,
});

let main: FakeOpenAi;
let second: FakeOpenAi;
let gateway: Gateway;

beforeAll(async () => {
  main = await startFakeOpenAi({ alsoKnown: ['cents', 'odd', 'strange'] });
  second = await startFakeOpenAi({ alsoKnown: ['dear'] });
  gateway = await startGateway({
    config: gatewayConfig([openAiEntity(main, { health: {} }), openAiEntity(second, { id: 'second', health: {} })], {
      routes: openAiRoutes(['openai-main', 'second']),
      aliases: { both: { targets: ['openai-main/cents', 'second/dear'] } },
      prices: [
        { entity: 'openai-main', model: 'cents', per_image: 0.1 },
        { entity: 'openai-main', model: 'odd', per_image: 0.017 },
        { entity: 'second', model: 'dear', per_image: 0.25 },
      ],
      consumers: [
        'crowd',
        'three',
        'seven',
        'odd',
        'unpriced',
        'lost',
        'tight',
        'partial',
        'tokens',
        'fair',
        'asking',
      ].map(consumer),
      budgets: [
        budget('crowd', 2.5),
        budget('three', 0.3),
        budget('seven', 0.7),
        budget('odd', 100),
        budget('unpriced', 5),
        budget('lost', 5),
        budget('tight', 0.3),
        budget('partial', 5, { limit: { usd: 5, images: 100 } }),
        budget('tokens', 5),
        budget('asking', 1),
        budget('fair', 2.5, { abandoned: 'release' }),
      ],
    }),
  });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await main.close();
  await second.close();
});

const ask = (
  id: string,
  body: object,
  headers: Readonly<Record<string, string>> = {},
  signal: AbortSignal | null = null,
): Promise<Response> =>
  postJson(
    `${gateway.url}/v1/images/generations`,
    { model: 'openai-main/cents', prompt: 'a lighthouse', ...body },
    { authorization: `Bearer ${keyOf(id)}`, ...headers },
    { signal },
  );

async function outcomes(calls: readonly Promise<Response>[]): Promise<Readonly<Record<string, number>>> {
  const codes = await Promise.all(
    calls.map(async (call) => {
      const answer = await call;
      const { error } = await jsonOf(answer);
      return answer.status === 200 ? 'answered' : JSON.stringify(error);
    }),
  );
  return Object.fromEntries(
    Object.entries(Object.groupBy(codes, (code) => /"code":"(\w+)"/.exec(code)?.[1] ?? code)).map(([code, all]) => [
      code,
      all?.length ?? 0,
    ]),
  );
}

/** The rows of a consumer, once all of them are over. */
async function settledRows(id: string): Promise<readonly UsageRow[]> {
  let rows: readonly UsageRow[] = [];
  await expect
    .poll(async () => {
      rows = await ledgerRows(gateway, `consumer=${id}`);
      return rows.length > 0 && rows.every(({ state }) => state !== 'reserved');
    }, patience)
    .toBe(true);
  return rows;
}

const nanoOf = (rows: readonly UsageRow[]): number =>
  rows.reduce((sum, { cost_usd: cost }) => sum + (parseUsd(cost ?? 'none') ?? Number.NaN), 0);

describe('a budget in dollars', () => {
  it('bills exactly its limit when twenty times as many calls come at once [R10, X04]', async () => {
    const billed = main.billed;
    expect(await outcomes(Array.from({ length: 500 }, () => ask('crowd', {})))).toEqual({
      answered: 25,
      budget_exceeded: 475,
    });
    expect(main.billed - billed).toBe(25);
    expect(nanoOf(await settledRows('crowd'))).toBe(2_500_000_000);
  });

  it.each([
    ['three', 3],
    ['seven', 7],
  ])('of a sum that no double holds buys %s pictures of ten cents [R12]', async (id, pictures) => {
    for (let index = 0; index < pictures; index += 1) expect((await ask(id, {})).status).toBe(200);
    const refused = await ask(id, {});
    expect(refused.status).toBe(429);
    expect(await jsonOf(refused)).toMatchObject({
      error: {
        code: 'budget_exceeded',
        message: expect.stringContaining(`of up to $0.1: $0.${String(pictures)} of $0.${String(pictures)} are used.`),
      },
    });
  });

  it('adds up a thousand uneven amounts to the nano-dollar [R12]', async () => {
    for (let round = 0; round < 25; round += 1) {
      const calls = Array.from({ length: 40 }, () => ask('odd', { model: 'openai-main/odd' }));
      expect(await outcomes(calls)).toEqual({ answered: 40 });
    }
    expect(nanoOf(await settledRows('odd'))).toBe(17_000_000_000);
  });

  it('refuses a model without a price, before anything is sent', async () => {
    const before = main.requests.length;
    const error = await apiError(
      openAiClient(gateway, { apiKey: keyOf('unpriced') }).images.generate({
        model: 'openai-main/strange',
        prompt: 'a lighthouse',
      }),
    );
    expect(error).toMatchObject({ status: 429, code: 'unpriced_model', param: 'model', type: 'insufficient_quota' });
    expect(error.message).toContain('strange');
    expect(main.requests).toHaveLength(before);
    expect(await ledgerRows(gateway, 'consumer=unpriced')).toEqual([]);
  });

  it('counts an answer that was lost at the most that it may have cost, and what came after it as well', async () => {
    main.next({ cut: 'mid_body' });
    const answer = await ask('lost', { model: 'both' });
    expect(answer.status).toBe(200);
    // What the lost one has cost is not known yet.
    expect(answer.headers.has('x-pinhole-cost-usd')).toBe(false);
    await answer.arrayBuffer();
    expect(await settledRows('lost')).toMatchObject([
      { state: 'estimated', images: 2, cost_usd: '0.35', entity: 'second', attempts: 2 },
    ]);
  });

  it('has no room for a second try where the lost first one has used it up', async () => {
    main.next({ cut: 'mid_body' });
    const billed = second.billed;
    const answer = await ask('tight', { model: 'both' });
    expect([answer.status, await jsonOf(answer)]).toMatchObject([502, { error: { code: 'upstream_error' } }]);
    expect(second.billed).toBe(billed);
    expect(nanoOf(await settledRows('tight'))).toBe(100_000_000);
    // Nothing is held any more for the try that was not made.
    await expect.poll(async () => outcomes([ask('tight', {})]), patience).toEqual({ answered: 1 });
  });

  it('is never falsely refused: failed and abandoned calls give back what they did not use [R11]', async () => {
    for (let index = 0; index < 180; index += 1) main.next({ status: 500, body: {} });
    for (let round = 0; round < 9; round += 1) {
      const calls = Array.from({ length: 20 }, () => ask('fair', {}));
      expect(Object.keys(await outcomes(calls))).not.toContain('answered');
    }
    // Answered, but nobody is there any more: nothing is known of what was billed, and this budget lets go of it.
    main.always({ hold: new Promise(() => {}) });
    const leaving = new AbortController();
    const before = main.requests.length;
    const left = Array.from({ length: 20 }, () =>
      ask('fair', {}, {}, leaving.signal).then(
        () => 'answered',
        () => 'left',
      ),
    );
    await main.until(() => main.requests.length === before + 20);
    leaving.abort();
    expect(new Set(await Promise.all(left))).toEqual(new Set(['left']));
    main.always(undefined);
    await expect.poll(() => ledgerRows(gateway, 'consumer=fair&state=reserved'), { timeout: 6_000 }).toEqual([]);
    expect(await outcomes(Array.from({ length: 26 }, () => ask('fair', {})))).toEqual({
      answered: 25,
      budget_exceeded: 1,
    });
  });

  it('stands beside one of pictures, and each has its own count', async () => {
    expect(await outcomes([ask('partial', { n: 3 })])).toEqual({ answered: 1 });
    expect(await settledRows('partial')).toMatchObject([{ images: 3, cost_usd: '0.3', state: 'settled' }]);
  });
});

describe('how a budget in dollars stands', () => {
  it('is told in decimal dollars, exactly, on the admin listener', async () => {
    const answer = await fetch(`${gateway.adminUrl}/api/budgets?id=seven`);
    expect(await jsonOf(answer)).toMatchObject({
      budgets: [
        {
          id: 'seven',
          counters: [{ unit: 'usd', used: '0.7', held: '0', limit: '0.7', remaining: '0', percent: 100 }],
        },
      ],
    });
  });

  it('is told to a caller who asks', async () => {
    const answer = await postJson(
      `${gateway.url}/v1/images/generations?embed_budget=true`,
      { model: 'openai-main/cents', prompt: 'a lighthouse' },
      { authorization: `Bearer ${keyOf('asking')}` },
    );
    expect(await jsonOf(answer)).toMatchObject({
      budget: [{ id: 'asking', unit: 'usd', used: '0.1', limit: '1', remaining: '0.9', window_end: null }],
    });
  });
});

describe('what is told of costs', () => {
  it('is what the call came to by its price, in a header and on demand in the body', async () => {
    const answer = await postJson(
      `${gateway.url}/v1/images/generations?embed_costs=true`,
      { model: 'openai-main/cents', prompt: 'a lighthouse', n: 2 },
      { authorization: `Bearer ${keyOf('partial')}` },
    );
    expect(answer.headers.get('x-pinhole-cost-usd')).toBe('0.2');
    expect(await jsonOf(answer)).toMatchObject({ cost: 0.2 });
  });

  it('goes by the tokens that the provider counted, where the price is by tokens', async () => {
    const answer = await ask('tokens', { model: 'openai-main/gpt-image-1', size: '1024x1024', quality: 'high' });
    const { usage } = (await answer.json()) as { usage: { input_tokens: number; output_tokens: number } };
    const [row] = await settledRows('tokens');
    // gpt-image-1: $5 for a million tokens of text, $40 for a million of pictures made.
    const nanoUsd = usage.input_tokens * 5_000 + usage.output_tokens * 40_000;
    expect(parseUsd(row?.cost_usd ?? '')).toBe(nanoUsd);
  });
});

describe('a file with `unpriced: allow`', () => {
  it('lets a model without a price pass, uncounted in dollars and not in silence', async () => {
    const fake = await startFakeOpenAi({ alsoKnown: ['strange'] });
    await using open = await startGateway({
      config: gatewayConfig([openAiEntity(fake, { health: {} })], {
        unpriced: 'allow',
        budgets: [{ id: 'all', limit: { usd: 1, images: 2 }, window: 'lifetime' }],
      }),
    });
    const call = () => postJson(`${open.url}/v1/images/generations`, { model: 'strange', prompt: 'a lighthouse' });
    expect(await outcomes([call(), call()])).toEqual({ answered: 2 });
    await open.output.line(({ message }) => message === 'a call without a price is not counted in dollars', 5_000);
    expect(await outcomes([call()])).toEqual({ budget_exceeded: 1 });
    await expect
      .poll(async () => ledgerRows(open), patience)
      .toMatchObject([
        { images: 1, cost_usd: null, state: 'settled' },
        { images: 1, cost_usd: null, state: 'settled' },
      ]);
    await fake.close();
  });
});
