import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ask as askJob, begin, jobRoute, until } from '../fixtures/jobs.ts';
import { gatewayConfig, openAiEntity, openAiRoutes, sandboxEntity } from '../fixtures/gateway-config.ts';
import { randomPng } from '../fixtures/pictures.ts';
import { postJson, startSetting, type Setting } from '../fixtures/setting.ts';
import { ledgerRows } from '../fixtures/usage.ts';

interface Told {
  readonly status: number;
  readonly cache: string | null;
  readonly headers: globalThis.Headers;
  readonly text: string;
}

const fallback = { plugin: 'fallback', config: { stages: ['provider-transform', 'dispatch', 'response-normalise'] } };
const pipeline = (...stages: readonly unknown[]): readonly unknown[] => [
  'authenticate',
  'parse',
  'idempotency',
  'route-resolve',
  'constrain',
  ...stages,
  'budget',
  fallback,
  'decode',
];

const as = (id: string) => ({ authorization: `Bearer sk-flight-${id}` });
const patience = { timeout: 20_000 };

describe('single flight', () => {
  let setting: Setting;

  beforeAll(async () => {
    setting = await startSetting({
      config: (fake) =>
        gatewayConfig([openAiEntity(fake), sandboxEntity()], {
          logging: { level: 'debug' },
          consumers: ['alice', 'bob'].map((id) => ({ id, key: `sk-flight-${id}` })),
          budgets: [
            { id: 'all', limit: { images: 1000 }, window: 'lifetime' },
            { id: 'none', limit: { images: 1 }, window: 'lifetime', scope: { routes: ['counted'] } },
          ],
          pipelines: { images: pipeline('respond-async', 'single-flight') },
          routes: [
            ...openAiRoutes(['openai-main', 'sandbox']),
            jobRoute,
            ...[
              { id: 'cached', pipeline: pipeline('cache', 'single-flight') },
              { id: 'tiny', pipeline: pipeline({ plugin: 'single-flight', config: { max_answer_bytes: 200 } }) },
              { id: 'counted', pipeline: pipeline('single-flight') },
              { id: 'everyone', pipeline: pipeline({ plugin: 'single-flight', config: { scope: 'everyone' } }) },
            ].map((route) => ({
              path: `/${route.id}`,
              methods: ['POST'],
              operation: 'generation',
              refs: ['openai-main'],
              ...route,
            })),
          ],
        }),
    });
  });
  afterAll(() => setting.stop());
  afterEach(() => setting.fake.always(undefined));

  interface Asked {
    readonly body?: object;
    readonly headers?: Readonly<Record<string, string>>;
    readonly path?: string;
    readonly signal?: AbortSignal;
  }

  async function ask({ body, headers, path = '/v1/images/generations', signal }: Asked = {}): Promise<Told> {
    const document = { prompt: 'a lighthouse', model: 'gpt-image-1', ...body };
    const init = signal === undefined ? {} : { signal };
    const answer = await postJson(`${setting.gateway.url}${path}`, document, { ...as('alice'), ...headers }, init);
    const text = await answer.text();
    return { status: answer.status, cache: answer.headers.get('x-pinhole-cache'), headers: answer.headers, text };
  }

  const waiting = (): number =>
    setting.gateway.output.lines().filter(({ message }) => message === 'waits for an equal call').length;
  let before = 0;
  beforeEach(() => {
    before = waiting();
  });
  /** Waits until so many calls more than at the last time wait for the answer to another one. */
  async function wait(count: number): Promise<void> {
    await expect.poll(waiting, patience).toBe(before + count);
  }
  /** Counts those anew that wait. */
  function mark(): void {
    before = waiting();
  }

  /** Several equal calls, of which the first is at the provider when the others come, and stays there until `go`. */
  async function together(count: number, asked: Asked = {}) {
    const { fake } = setting;
    mark();
    const { promise, resolve: go } = Promise.withResolvers<void>();
    fake.next({ hold: promise });
    const sentBefore = fake.requests.length;
    const first = ask(asked);
    await fake.until(() => fake.requests.length === sentBefore + 1);
    const others = Array.from({ length: count - 1 }, () => ask(asked));
    return { first, others, go, sent: () => fake.requests.length - sentBefore };
  }

  it('makes one call of fifty that are equal and come at once, and charges one [X15]', async () => {
    const { fake, gateway } = setting;
    fake.draw(randomPng(2_000_000));
    const billed = fake.billed;
    const body = { prompt: 'fifty' };
    const { first, others, go, sent } = await together(50, { body });
    await wait(others.length);
    go();
    const answers = await Promise.all([first, ...others]);
    fake.draw(undefined);
    expect([sent(), fake.billed - billed]).toEqual([1, 1]);
    expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
    expect(answers.map(({ cache }) => cache)).toEqual([null, ...others.map(() => 'shared')]);
    const ids = new Set(answers.map(({ headers }) => headers.get('x-request-id')));
    const rows = async () => (await ledgerRows(gateway)).filter((row) => ids.has(row.request_id));
    await expect.poll(async () => (await rows()).filter(({ status }) => status === 200)).toHaveLength(50);
    const spent = (await rows()).filter(({ cost_usd: each }) => each !== '0');
    expect(spent).toMatchObject([{ images: 1, saved_usd: null, state: 'settled' }]);
    const cost = spent[0]?.cost_usd;
    const money = answers
      .slice(1)
      .map(({ headers }) => [headers.get('x-pinhole-cost-usd'), headers.get('x-pinhole-saved-usd')]);
    expect(money).toEqual(others.map(() => ['0', cost]));
    const usage = await fetch(`${gateway.adminUrl}/api/usage?route=generate`);
    const saved = (Math.round(Number(cost) * 1e9) * 49) / 1e9;
    expect(await usage.json()).toMatchObject({ usage: [{ images: 1, cost_usd: cost, saved_usd: String(saved) }] });
  });

  it('goes on for those who wait when the first client leaves, and ends when nobody waits', async () => {
    const { fake } = setting;
    const body = { prompt: 'leaving' };
    const { promise, resolve: go } = Promise.withResolvers<void>();
    fake.next({ hold: promise });
    const sentBefore = fake.requests.length;
    const billed = fake.billed;
    const leaving = new AbortController();
    const first = ask({ body, signal: leaving.signal }).catch(() => 'left');
    await fake.until(() => fake.requests.length === sentBefore + 1);
    const others = [ask({ body }), ask({ body })];
    const alsoLeaving = new AbortController();
    const third = ask({ body, signal: alsoLeaving.signal }).catch(() => 'left');
    await wait(3);
    leaving.abort();
    alsoLeaving.abort();
    expect([await first, await third]).toEqual(['left', 'left']);
    go();
    expect(await Promise.all(others)).toMatchObject([
      { status: 200, cache: 'shared' },
      { status: 200, cache: 'shared' },
    ]);
    expect([fake.requests.length - sentBefore, fake.billed - billed]).toEqual([1, 1]);

    const alone = new AbortController();
    fake.next({ hold: new Promise(() => undefined) });
    const last = ask({ body: { prompt: 'alone' }, signal: alone.signal }).catch(() => 'left');
    await fake.until(() => fake.requests.length === sentBefore + 2);
    alone.abort();
    expect(await last).toBe('left');
    await fake.until(() => fake.last().fate === 'aborted');
    expect(await ask({ body: { prompt: 'alone' } })).toMatchObject({ status: 200, cache: null });
  });

  it('is made anew for those who wait for a job that is cancelled', async () => {
    const { fake, gateway } = setting;
    const { promise, resolve: go } = Promise.withResolvers<void>();
    fake.next({ hold: promise });
    const sentBefore = fake.requests.length;
    const body = { prompt: 'a job', model: 'gpt-image-1' };
    const id = await begin(gateway, body, as('alice'));
    await fake.until(() => fake.requests.length === sentBefore + 1);
    const others = [ask({ body }), ask({ body })];
    await wait(2);
    expect((await askJob(gateway, id, as('alice'), 'DELETE')).status).toBe(200);
    const answers = await Promise.all(others);
    expect(answers.map(({ status, cache }) => `${status} ${cache ?? 'made'}`).toSorted()).toEqual([
      '200 made',
      '200 shared',
    ]);
    expect(await until(gateway, id, ['cancelled'], as('alice'))).toMatchObject({ status: 'cancelled' });
    expect(fake.requests.length - sentBefore).toBe(2);
    go();
  });

  it('fails for all when the call may have been billed, or would fail again', async () => {
    const { fake } = setting;
    const lost = Promise.withResolvers<void>();
    fake.next({ hold: lost.promise, cut: 'before_headers' });
    const sentBefore = fake.requests.length;
    const calls = Array.from({ length: 5 }, () => ask({ body: { prompt: 'lost' } }));
    await fake.until(() => fake.requests.length === sentBefore + 1);
    await wait(calls.length - 1);
    lost.resolve();
    const answers = await Promise.all(calls);
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([502]));
    expect(answers.filter(({ cache }) => cache === 'shared')).toHaveLength(4);
    expect(fake.requests.length - sentBefore).toBe(1);

    const { first, others, go, sent } = await together(4, { body: { prompt: 'too large', size: '1x1' } });
    await wait(others.length);
    go();
    for (const { status } of await Promise.all([first, ...others])) expect(status).toBe(400);
    expect(sent()).toBe(1);
  });

  it('lets the next one try when a failure has cost nothing and may pass, and nobody wait for more than two', async () => {
    const { fake } = setting;
    const held = Promise.withResolvers<void>();
    fake.next({ hold: held.promise, status: 500 });
    const sentBefore = fake.requests.length;
    const calls = Array.from({ length: 4 }, () => ask({ body: { prompt: 'passing' } }));
    await fake.until(() => fake.requests.length === sentBefore + 1);
    await wait(calls.length - 1);
    held.resolve();
    const statuses = (await Promise.all(calls)).map(({ status, cache }) => `${status} ${cache ?? 'made'}`);
    expect(statuses.toSorted()).toEqual(['200 made', '200 shared', '200 shared', '502 made']);
    expect(fake.requests.length - sentBefore).toBe(2);

    mark();
    const stays = Promise.withResolvers<void>();
    fake.next({ hold: stays.promise, status: 500 });
    fake.always({ status: 500 });
    const failing = Array.from({ length: 6 }, () => ask({ body: { prompt: 'staying' } }));
    await fake.until(() => fake.requests.length === sentBefore + 3);
    await wait(failing.length - 1);
    stays.resolve();
    const failed = await Promise.all(failing);
    expect(new Set(failed.map(({ status }) => status))).toEqual(new Set([502]));
    expect(failed.filter(({ cache }) => cache === 'shared')).toHaveLength(4);
    expect(fake.requests.length - sentBefore).toBe(4);
  });

  it('lets each make a call of its own where the answer is too large, and refuses each by its own budget', async () => {
    const { first, others, go, sent } = await together(3, { body: { prompt: 'large' }, path: '/tiny' });
    await wait(others.length);
    go();
    expect((await Promise.all([first, ...others])).map(({ status, cache }) => [status, cache])).toEqual([
      [200, null],
      [200, null],
      [200, null],
    ]);
    expect(sent()).toBe(3);
    expect((await ask({ body: { prompt: 'counted' }, path: '/counted' })).status).toBe(200);
    const refused = Array.from({ length: 5 }, () => ask({ body: { prompt: 'counted' }, path: '/counted' }));
    for (const { status } of await Promise.all(refused)) expect(status).toBe(429);
  });

  it('is for each consumer by itself unless it is for everyone, and not for who wants a new answer, or a stream', async () => {
    const { fake } = setting;
    const body = { prompt: 'whose' };
    const { first, others, go, sent } = await together(2, { body });
    const different: Asked[] = [
      { body, headers: as('bob') },
      { body, headers: { 'cache-control': 'no-cache' } },
      { body, headers: { 'cache-control': 'no-store' } },
      { body: { ...body, stream: true } },
      { body: { ...body, n: 2 } },
    ];
    for (const asked of different) expect(await ask(asked)).toMatchObject({ status: 200, cache: null });
    expect(sent()).toBe(1 + different.length);
    await wait(others.length);
    go();
    expect((await Promise.all([first, ...others])).map(({ cache }) => cache)).toEqual([null, 'shared']);

    mark();
    const held = Promise.withResolvers<void>();
    fake.next({ hold: held.promise });
    const sentBefore = fake.requests.length;
    const calls = ['alice', 'bob'].map((id) => ask({ body, headers: as(id), path: '/everyone' }));
    await fake.until(() => fake.requests.length === sentBefore + 1);
    await wait(calls.length - 1);
    held.resolve();
    const caches = (await Promise.all(calls)).map(({ cache }) => cache ?? 'made');
    expect(caches.toSorted()).toEqual(['made', 'shared']);
  });

  it('is one call with a cache above it, whenever the equal ones come', async () => {
    const asked = { body: { prompt: 'whenever' }, path: '/cached' };
    const { first, others, go, sent } = await together(4, asked);
    await wait(others.length);
    go();
    const made = await first;
    // One that comes while the answer is being kept, and one that comes later.
    const [after, shared] = [await ask(asked), await Promise.all(others)];
    const later = await ask(asked);
    expect([made.cache, ...shared.map(({ cache }) => cache)]).toEqual(['miss', 'shared', 'shared', 'shared']);
    expect([after.cache, later.cache]).toEqual(['hit', 'hit']);
    expect(later.text).toBe(made.text);
    expect(sent()).toBe(1);
  });
});
