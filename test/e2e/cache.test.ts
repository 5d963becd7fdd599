import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FakeOpenAi } from '../fixtures/fake-openai.ts';
import { startFakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity, openAiRoutes, sandboxEntity } from '../fixtures/gateway-config.ts';
import { startGateway, startGatewayIn, type Gateway } from '../fixtures/gateway.ts';
import { png, randomPng } from '../fixtures/pictures.ts';
import { formOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';
import { ledgerRows, type UsageRow } from '../fixtures/usage.ts';

type Headers = Readonly<Record<string, string>>;

interface Told {
  readonly status: number;
  readonly cache: string | null;
  readonly headers: globalThis.Headers;
  readonly text: string;
}

const as = (id: string): Headers => ({ authorization: `Bearer sk-cache-${id}` });

async function told(answer: Response): Promise<Told> {
  const text = Buffer.from(await answer.arrayBuffer()).toString('latin1');
  return { status: answer.status, cache: answer.headers.get('x-pinhole-cache'), headers: answer.headers, text };
}

const fallback = { plugin: 'fallback', config: { stages: ['provider-transform', 'dispatch', 'response-normalise'] } };
const withExtras = {
  plugin: 'fallback',
  config: {
    stages: ['provider-transform', 'dispatch', { plugin: 'response-normalise', config: { extras: ['cost'] } }],
  },
};
const pipeline = (cache: object = {}, last: object = fallback): readonly unknown[] => [
  'authenticate',
  'parse',
  'idempotency',
  'route-resolve',
  'constrain',
  { plugin: 'cache', config: cache },
  'budget',
  last,
  'decode',
];

function config(fake: FakeOpenAi, more: Readonly<Record<string, unknown>> = {}, cache: object = {}): object {
  const route = (id: string, given: object) => ({
    id,
    path: `/${id}`,
    methods: ['POST'],
    operation: 'generation',
    refs: ['openai-main', 'spare', 'sandbox'],
    ...given,
  });
  return gatewayConfig([openAiEntity(fake), openAiEntity(fake, { id: 'spare', name: 'Spare' }), sandboxEntity()], {
    state: 'sqlite:./state.db',
    consumers: ['alice', 'bob'].map((id) => ({ id, key: `sk-cache-${id}` })),
    budgets: [{ id: 'one-call', limit: { images: 1 }, window: 'lifetime', scope: { routes: ['counted'] } }],
    aliases: {
      either: { strategy: 'failover', targets: ['openai-main/gpt-image-1', 'spare/gpt-image-1'] },
      turns: { strategy: 'round_robin', targets: ['openai-main/gpt-image-1', 'spare/gpt-image-1'] },
    },
    pipelines: { images: pipeline(cache) },
    routes: [
      ...openAiRoutes(['openai-main', 'spare', 'sandbox']),
      route('shared', { pipeline: pipeline({ scope: 'everyone' }) }),
      route('small', { pipeline: pipeline({ max_size: '100KiB' }) }),
      route('tiny', { pipeline: pipeline({ max_answer_bytes: 200 }) }),
      route('counted', { pipeline: 'images' }),
      route('telling', { pipeline: pipeline({}, withExtras) }),
      route('below', { pipeline: pipeline().with(5, 'budget').with(6, 'cache') }),
      route('edits-only', { pipeline: pipeline({ operations: ['edition'] }) }),
    ],
    ...more,
  });
}

describe('the cache', () => {
  let setting: Setting;

  beforeAll(async () => {
    setting = await startSetting({ config });
  });
  afterAll(() => setting.stop());

  const ask = async (body: object = {}, headers: Headers = {}, path = '/v1/images/generations'): Promise<Told> => {
    const document = { prompt: 'a lighthouse', model: 'gpt-image-1', ...body };
    return told(await postJson(`${setting.gateway.url}${path}`, document, { ...as('alice'), ...headers }));
  };
  const edit = async (form: FormData, headers: Headers = {}): Promise<Told> => {
    const url = `${setting.gateway.url}/v1/images/edits`;
    return told(await fetch(url, { method: 'POST', body: form, headers: { ...as('alice'), ...headers } }));
  };
  /** What the providers were asked for in the meantime. */
  const sent = async (work: () => Promise<unknown>): Promise<number> => {
    const before = setting.fake.requests.length;
    await work();
    return setting.fake.requests.length - before;
  };
  const rowOf = async ({ headers }: Told): Promise<UsageRow | undefined> => {
    const query = `request_id=${headers.get('x-request-id') ?? ''}`;
    await expect.poll(() => ledgerRows(setting.gateway, query)).toHaveLength(1);
    return (await ledgerRows(setting.gateway, query))[0];
  };

  it('gives the answer to an equal call again, byte for byte, at no cost, and tells what it would have cost [X15]', async () => {
    const body = { prompt: 'told twice', quality: 'high', size: '1024x1024' };
    const calls: Told[] = [];
    expect(await sent(async () => calls.push(await ask(body), await ask(body)))).toBe(1);
    const [first, again] = calls;
    if (first === undefined || again === undefined) throw new TypeError('two answers');
    expect([first.status, first.cache, again.status, again.cache]).toEqual([200, 'miss', 200, 'hit']);
    expect(again.text).toBe(first.text);
    for (const name of ['content-type', 'content-length', 'x-pinhole-entity', 'x-pinhole-model']) {
      expect(again.headers.get(name)).toBe(first.headers.get(name));
    }
    expect(again.headers.get('age')).toMatch(/^\d$/);
    expect(first.headers.get('age')).toBeNull();
    const cost = first.headers.get('x-pinhole-cost-usd');
    expect(Number(cost)).toBeGreaterThan(0);
    expect(again.headers.get('x-pinhole-cost-usd')).toBe('0');
    expect(again.headers.get('x-pinhole-saved-usd')).toBe(cost);
    expect(again.headers.get('x-pinhole-attempts')).toBeNull();
    const made = { entity: 'openai-main', model: 'gpt-image-1', consumer: 'alice', status: 200 };
    expect(await rowOf(first)).toMatchObject({ ...made, images: 1, cost_usd: cost, saved_usd: null, attempts: 1 });
    const saved = { images: 0, cost_usd: '0', saved_usd: cost, attempts: 0, state: 'recorded' };
    expect(await rowOf(again)).toMatchObject({ ...made, ...saved });
    const id = again.headers.get('x-request-id') ?? '';
    const usage = await fetch(`${setting.gateway.adminUrl}/api/usage?request_id=${id}`);
    const sums = { requests: 1, images: 0, cost_usd: '0', saved_usd: cost, unpriced: 0 };
    expect(await usage.json()).toMatchObject({ usage: [sums] });
    const lines = setting.gateway.output.lines().filter(({ request_id: line }) => line === id);
    expect(lines).toMatchObject([{ message: 'request', reused: 'hit', status: 200 }]);
  });

  it('asks again for everything that makes another picture', async () => {
    const variants: readonly (readonly [body: object, headers?: Headers, path?: string])[] = [
      [{}],
      [{ prompt: 'a lighthouse.' }],
      [{ model: 'gpt-image-1-mini' }],
      [{ model: 'spare/gpt-image-1' }],
      [{ n: 2 }],
      [{ size: '1024x1536' }],
      [{ quality: 'low' }],
      [{ background: 'opaque' }],
      [{ moderation: 'low' }],
      [{ output_format: 'jpeg' }],
      [{ output_format: 'jpeg', output_compression: 50 }],
      [{ output_format: 'jpeg', output_compression: 51 }],
      [{ response_format: 'url' }],
      [{ response_format: 'b64_json' }],
      [{}, { accept: 'image/png' }],
      [{}, as('bob')],
      [{}, {}, '/shared'],
    ];
    for (const variant of variants) expect([variant, (await ask(...variant)).cache]).toEqual([variant, 'miss']);
    for (const variant of variants) expect([variant, (await ask(...variant)).cache]).toEqual([variant, 'hit']);
  });

  it('knows a call again in other words', async () => {
    const body = { prompt: 'in words', n: 1, size: '1024x1024' };
    expect((await ask(body)).cache).toBe('miss');
    const { n: _one, ...less } = body;
    expect((await ask(less)).cache).toBe('hit');
    expect((await ask({ ...body, user: 'somebody', model: 'openai-main/gpt-image-1' })).cache).toBe('hit');
    const form = formOf({ size: '1024x1024', model: 'gpt-image-1', n: '1', prompt: 'in words' });
    const url = `${setting.gateway.url}/v1/images/generations`;
    expect((await told(await fetch(url, { method: 'POST', body: form, headers: as('alice') }))).cache).toBe('hit');
  });

  it('goes by the bytes of pictures, and by no link', async () => {
    const form = (picture: Buffer): FormData => {
      const given = formOf({ prompt: 'an edit', model: 'gpt-image-1' });
      given.append('image', new Blob([new Uint8Array(picture)], { type: 'image/png' }), 'any.png');
      return given;
    };
    const [one, other] = [randomPng(3_000_000), randomPng(20_000)];
    expect([(await edit(form(one))).cache, (await edit(form(one))).cache]).toEqual(['miss', 'hit']);
    expect((await edit(form(other))).cache).toBe('miss');
    const data = `data:image/png;base64,${other.toString('base64')}`;
    expect((await ask({ prompt: 'an edit', image: data }, {}, '/v1/images/edits')).cache).toBe('hit');
    const link = await ask({ image: 'https://pictures.invalid/1.png' }, {}, '/v1/images/edits');
    expect([link.status, link.cache]).toEqual([400, 'bypass']);
    // Vendors take links under names of their own.
    const own = { prompt: 'own', image_ref: [{ url: 'HTTPS://pictures.invalid/1.png', weight: 0.5 }] };
    expect((await ask(own)).cache).toBe('bypass');
    expect((await ask({ prompt: 'own', image_ref: 'see https://pictures.invalid' })).cache).toBe('miss');
  });

  it('does as the request’s `cache-control` says', async () => {
    const body = { prompt: 'controlled' };
    const control = async (value: string): Promise<readonly [number, string | null]> => {
      const { status, cache } = await ask(body, { 'cache-control': value });
      return [status, cache];
    };
    const missing = await ask(body, { 'cache-control': 'only-if-cached' });
    expect([missing.status, missing.headers.get('x-should-retry')]).toEqual([504, 'false']);
    expect(missing.text).toContain('"code":"not_cached"');
    expect(await control('no-store')).toEqual([200, 'bypass']);
    expect(await control('only-if-cached')).toEqual([504, null]);
    setting.fake.draw(randomPng(10_000));
    expect(await control('No-Cache')).toEqual([200, 'bypass']);
    const kept = await ask(body);
    setting.fake.draw(randomPng(10_001));
    expect(await control('no-store, no-cache')).toEqual([200, 'bypass']);
    expect(await ask(body)).toMatchObject({ cache: 'hit', text: kept.text });
    expect(await control('only-if-cached')).toEqual([200, 'hit']);
    expect(await control('max-age=60, min-fresh=60')).toEqual([200, 'hit']);
    expect(await control('min-fresh=3601')).toEqual([200, 'miss']);
    setting.fake.draw(randomPng(10_002));
    expect(await control('max-age=0')).toEqual([200, 'miss']);
    setting.fake.draw(undefined);
    expect((await ask(body)).text).not.toBe(kept.text);
    expect(await sent(() => control('only-if-cached, no-cache'))).toBe(0);
  });

  it('passes over streams, what may not be kept, and operations that it is not for', async () => {
    const url = `${setting.gateway.url}/v1/images/generations`;
    const stream = { prompt: 'passed over', model: 'gpt-image-1', stream: true };
    const calls: readonly (() => Promise<Told>)[] = [
      async () => told(await postJson(url, stream, as('alice'))),
      () => ask({ prompt: 'passed over', response_format: 'b64_ephemeral' }),
      () => ask({ prompt: 'passed over' }, {}, '/edits-only'),
    ];
    for (const call of [...calls, ...calls]) expect(await call()).toMatchObject({ status: 200, cache: 'bypass' });
    expect((await ask({ prompt: 'passed over' })).cache).toBe('miss');
  });

  it('keeps nothing that tells in its body what it has cost', async () => {
    const body = { prompt: 'telling' };
    expect(await sent(async () => [await ask(body, {}, '/telling'), await ask(body, {}, '/telling')])).toBe(2);
    expect((await ask(body, {}, '/telling')).cache).toBe('bypass');
    const asked = '/v1/images/generations?embed_costs=true';
    expect((await ask(body, {}, asked)).cache).toBe('bypass');
    expect((await ask(body, {}, asked)).cache).toBe('bypass');
  });

  it('keeps no failure, and nothing of which a part is missing', async () => {
    const body = { prompt: 'failing' };
    setting.fake.next({ status: 500 });
    expect((await ask(body)).status).toBe(502);
    setting.fake.next({ cut: 'mid_body' });
    await ask(body).catch(() => 'broken off');
    expect(await ask(body)).toMatchObject({ status: 200, cache: 'miss' });
    const missing = { prompt: 'a part', n: 2 };
    setting.fake.next({ body: { created: 1, data: [{ b64_json: png().toString('base64') }] } });
    await ask(missing);
    expect(await ask(missing)).toMatchObject({ status: 200, cache: 'miss' });
    expect(await ask(missing)).toMatchObject({ status: 200, cache: 'hit' });
  });

  it('keeps what the first choice has made, and where targets take turns what any of them has', async () => {
    const failing = { prompt: 'second choice', model: 'either' };
    setting.fake.next({ status: 500 });
    const second = await ask(failing);
    expect([second.cache, second.headers.get('x-pinhole-entity')]).toEqual(['miss', 'spare']);
    const first = await ask(failing);
    expect([first.cache, first.headers.get('x-pinhole-entity')]).toEqual(['miss', 'openai-main']);
    expect((await ask(failing)).cache).toBe('hit');
    const turns = { prompt: 'in turns', model: 'turns' };
    const caches = [];
    for (let index = 0; index < 4; index += 1) caches.push((await ask(turns)).cache);
    expect(caches).toEqual(['miss', 'hit', 'hit', 'hit']);
  });

  it('gives pictures as links, and as raw bytes, in the form in which they were asked for', async () => {
    const link = { prompt: 'as a link', response_format: 'url' };
    const [first, again] = [await ask(link), await ask(link)];
    expect(again).toMatchObject({ cache: 'hit', text: first.text });
    const url: unknown = /"url":"([^"]+)"/.exec(again.text)?.[1];
    expect((await fetch(String(url))).status).toBe(200);
    const raw = { accept: 'image/png' };
    const [one, other] = [await ask({ prompt: 'raw' }, raw), await ask({ prompt: 'raw' }, raw)];
    expect(other).toMatchObject({ cache: 'hit', text: one.text });
    expect(other.headers.get('content-type')).toBe('image/png');
    // Whoever has found the gateway under another name gets links to that name, and everybody the same pictures.
    const elsewhere = setting.gateway.url.replace('127.0.0.1', 'localhost');
    const there = async (body: object): Promise<string | null> => {
      const document = { model: 'gpt-image-1', ...body };
      return (await told(await postJson(`${elsewhere}/v1/images/generations`, document, as('alice')))).cache;
    };
    const plain = { prompt: 'plain' };
    expect([await there(link), (await ask(plain)).cache, await there(plain)]).toEqual(['miss', 'miss', 'hit']);
  });

  it('is for each consumer by itself, unless it is for everyone', async () => {
    const body = { prompt: 'whose' };
    expect((await ask(body)).cache).toBe('miss');
    expect((await ask(body, as('bob'))).cache).toBe('miss');
    expect((await ask(body, {}, '/shared')).cache).toBe('miss');
    expect((await ask(body, as('bob'), '/shared')).cache).toBe('hit');
  });

  it('stays within its size, and lets go of what was not asked for for the longest time', async () => {
    setting.fake.draw(randomPng(30_000));
    /** Asks, and when that makes a picture once more: an equal call waits until the answer is kept. */
    const keep = async (prompt: string): Promise<string | null> => {
      const { cache } = await ask({ prompt }, {}, '/small');
      if (cache === 'miss') expect((await ask({ prompt }, {}, '/small')).cache).toBe('hit');
      return cache;
    };
    try {
      // Some 40 KB each in base64, and there is room for two.
      expect([await keep('a'), await keep('b'), await keep('a'), await keep('c')]).toEqual([
        'miss',
        'miss',
        'hit',
        'miss',
      ]);
      expect([await keep('a'), await keep('c'), await keep('b')]).toEqual(['hit', 'hit', 'miss']);
      expect([await ask({}, {}, '/tiny'), await ask({}, {}, '/tiny')]).toMatchObject([
        { cache: 'miss' },
        { cache: 'miss' },
      ]);
    } finally {
      setting.fake.draw(undefined);
    }
  });

  it('needs no room in a budget for what it gives', async () => {
    const body = { prompt: 'counted' };
    expect((await ask(body, {}, '/counted')).cache).toBe('miss');
    expect((await ask({ prompt: 'no room' }, {}, '/counted')).status).toBe(429);
    expect((await ask(body, {}, '/counted')).cache).toBe('hit');
    // Below `budget` it needs room, which is given back.
    const [first, again] = [await ask(body, {}, '/below'), await ask(body, {}, '/below')];
    const saved = { images: 0, cost_usd: '0', saved_usd: first.headers.get('x-pinhole-cost-usd') };
    expect(await rowOf(again)).toMatchObject({ ...saved, state: 'released', entity: 'openai-main' });
  });

  it('answers a call under an `Idempotency-Key`, whose answer it then is', async () => {
    const body = { prompt: 'under a key' };
    const first = await ask(body);
    const key = { 'idempotency-key': 'order-4711' };
    const [hit, replay] = [await ask(body, key), await ask(body, { ...key, 'cache-control': 'no-cache' })];
    expect([hit.text, replay.text]).toEqual([first.text, first.text]);
    expect(replay.headers.get('x-pinhole-idempotent-replay')).toBe('true');
    expect(replay.headers.get('age')).toBeNull();
  });

  it('keeps what it has over reloads, under which the rules of the new file hold', async () => {
    const { gateway, fake } = setting;
    const body = { prompt: 'a kept gun' };
    expect((await ask(body)).cache).toBe('miss');
    const users = (exclude: readonly string[]) => ({
      consumers: ['alice', 'bob'].map((id) => ({ id, key: `sk-cache-${id}`, models: { include: [], exclude } })),
    });
    await gateway.apply(config(fake, users([])));
    expect((await ask(body)).cache).toBe('hit');
    await gateway.apply(config(fake, users(['.*gpt-image-1'])));
    expect((await ask(body)).status).toBe(403);
    const guard = { plugin: 'guard', config: { rules: [{ id: 'guns', keywords: ['gun'] }] } };
    const guarded = pipeline().toSpliced(5, 0, guard);
    await gateway.apply(config(fake, { pipelines: { images: guarded } }));
    expect((await ask(body)).status).toBe(400);
    await gateway.apply(config(fake, {}, { version: '2' }));
    expect((await ask(body)).cache).toBe('miss');
    await gateway.apply(config(fake));
    expect((await ask(body)).cache).toBe('hit');
  });

  it('gives nothing that was made with another provider behind the same name, or under other stages', async () => {
    const { gateway, fake } = setting;
    const body = { prompt: 'kept before', model: 'openai-main/gpt-image-1' };
    const link = { ...body, response_format: 'url' };
    const caches = async () => [(await ask(body)).cache, (await ask(link)).cache];
    expect([await caches(), await caches()]).toEqual([
      ['miss', 'miss'],
      ['hit', 'hit'],
    ]);
    const moved = openAiEntity(fake, {
      config: {
        connection: { base_url: fake.baseUrl.replace('127.0.0.1', 'localhost'), token: 'sk-another' },
        options: { generation: { enabled: true } },
      },
    });
    await gateway.apply(
      config(fake, { image_models: [moved, openAiEntity(fake, { id: 'spare', name: 'Spare' }), sandboxEntity()] }),
    );
    expect((await ask(body, { 'cache-control': 'only-if-cached' })).status).toBe(504);
    const stripping = {
      plugin: 'fallback',
      config: {
        stages: ['provider-transform', 'dispatch', { plugin: 'response-normalise', config: { strip_metadata: true } }],
      },
    };
    await gateway.apply(config(fake, { pipelines: { images: pipeline({}, stripping) } }));
    expect((await ask(body, { 'cache-control': 'only-if-cached' })).status).toBe(504);
    await gateway.apply(config(fake, { image_links: { secret: 'a-secret-of-32-characters-at-least', expires: '1h' } }));
    expect(await caches()).toEqual(['hit', 'miss']);
    // Another token, and other stages above, make no other pictures.
    const limited = pipeline().toSpliced(1, 0, { plugin: 'rate-limit', config: { requests: 1000, window: '1m' } });
    await gateway.apply(config(fake, { pipelines: { images: limited } }));
    expect(await caches()).toEqual(['hit', 'hit']);
  });
});

describe('what the cache keeps', () => {
  let fake: FakeOpenAi;
  let gateway: Gateway;

  beforeAll(async () => {
    fake = await startFakeOpenAi();
    gateway = await startGateway({ config: config(fake) });
  });
  afterAll(async () => {
    await gateway.stop();
    await fake.close();
  });

  it('is there after a restart, even one that nobody has prepared', async () => {
    const ask = async (): Promise<Told> => {
      const body = { prompt: 'a lighthouse', model: 'gpt-image-1' };
      return told(await postJson(`${gateway.url}/v1/images/generations`, body, as('alice')));
    };
    const first = await ask();
    // A hit says that it is kept by now.
    expect([first.cache, (await ask()).cache]).toEqual(['miss', 'hit']);
    await gateway.kill();
    gateway = await startGatewayIn(gateway.dir, { config: config(fake) });
    expect(await ask()).toMatchObject({ status: 200, cache: 'hit', text: first.text });
    expect(fake.requests).toHaveLength(1);
  });
});
