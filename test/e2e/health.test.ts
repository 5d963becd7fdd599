import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeOpenAi, upstreamKey, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity, type ConfigDocument } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { healthOf } from '../fixtures/health.ts';
import { jsonOf, postJson } from '../fixtures/setting.ts';

const secondKey = 'sk-upstream-second-5b1e';
const alsoKnown = Array.from({ length: 12 }, (_, index) => `model-${String(index)}`);
const limit = { status: 429, body: { error: { message: 'slow down', code: 'rate_limit_exceeded' } } };
const overloaded = { status: 503, body: { error: { message: 'overloaded' } } };

let fake: FakeOpenAi;
let gateway: Gateway;

/** @param more what is different in the file */
function config(more: Readonly<Record<string, unknown>> = {}, health: object = {}): ConfigDocument {
  const entity = (id: string, token: string, rest: object = {}) =>
    openAiEntity(fake, {
      id,
      config: {
        connection: { base_url: fake.baseUrl, token },
        options: { generation: { enabled: true }, edition: { enabled: true } },
      },
      health: { failures: 2, open_for: '1500ms', rest: '1h', last_resort: false, ...health },
      ...rest,
    });
  return gatewayConfig(
    [
      entity('main', upstreamKey),
      entity('pair', `${upstreamKey},${secondKey}`),
      entity('thrifty', upstreamKey),
      entity('steady', upstreamKey, { health: { failures: 2, open_for: '1h' } }),
      entity('other', upstreamKey, { health: { failures: 2, open_for: '1h' } }),
      entity('narrow', upstreamKey, { concurrency: { max: 2, queue: 1, wait: '10s' } }),
    ],
    {
      pipelines: {
        images: [
          'parse',
          'route-resolve',
          {
            plugin: 'fallback',
            config: {
              stages: ['provider-transform', 'dispatch', 'response-normalise'],
              retries: 2,
              backoff: '20ms',
              max_wait: '500ms',
              attempt_timeout: '5s',
            },
          },
        ],
        flat: ['parse', 'route-resolve', 'provider-transform', 'dispatch', 'response-normalise'],
      },
      routes: ['images', 'flat'].map((pipeline) => ({
        id: pipeline,
        path: `/${pipeline}`,
        methods: ['POST'],
        operation: 'generation',
        pipeline,
        refs: ['main', 'pair', 'thrifty', 'steady', 'other', 'narrow'],
      })),
      aliases: { both: { targets: ['steady/model-9', 'other/model-9'] } },
      ...more,
    },
  );
}

beforeAll(async () => {
  fake = await startFakeOpenAi({ keys: [upstreamKey, secondKey], alsoKnown });
  gateway = await startGateway({ config: config() });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await fake.close();
});

async function call(model: string, path = '/images', more: object = {}) {
  const before = fake.requests.length;
  const answer = await postJson(`${gateway.url}${path}`, { model, prompt: 'a lighthouse', ...more });
  const document = await jsonOf(answer);
  const keys = fake.requests.slice(before).map(({ headers }) => headers.authorization?.slice('Bearer '.length));
  return { status: answer.status, headers: answer.headers, document, keys };
}

describe('a retry', () => {
  it('goes to the same provider when nothing can have been billed, after a pause', async () => {
    fake.next(overloaded);
    fake.next(limit);
    const { status, headers, keys } = await call('main/model-0');
    expect([status, headers.get('x-pinhole-attempts'), keys.length]).toEqual([200, '3', 3]);
  });

  it('is not made when the answer was lost', async () => {
    const billed = fake.billed;
    fake.next({ cut: 'mid_body' });
    const { status, document, keys } = await call('main/model-1', '/images', {
      response_format: 'b64_json',
      n: 1,
    }).catch(() => ({ status: 0, document: {}, keys: [''] }));
    expect({ status, document }).not.toMatchObject({ status: 200 });
    expect([keys.length, fake.billed - billed]).toEqual([1, 1]);
  });

  it('waits for as long as the provider asks, within bounds', async () => {
    fake.next({ ...limit, headers: { 'retry-after-ms': '200' } });
    const startedAtMs = performance.now();
    expect((await call('main/model-2')).status).toBe(200);
    expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(190);

    fake.next({ ...limit, headers: { 'retry-after': '30' } });
    const { status, headers, keys } = await call('main/model-2');
    expect([status, headers.get('retry-after'), keys.length]).toEqual([429, '30', 1]);
  });

  it('takes another token after a 429', async () => {
    fake.next(limit);
    const { status, keys } = await call('pair/model-3');
    expect([status, new Set(keys).size]).toEqual([200, 2]);
    const resting = (await healthOf(gateway, 'pair')).resting_tokens;
    expect(resting).toMatchObject([{ model: 'model-3' }]);
    // What rests for one model works for others.
    const others = [await call('pair/model-4'), await call('pair/model-4')].flatMap((each) => each.keys);
    expect(new Set(others).size).toBe(2);
    const same = [await call('pair/model-3'), await call('pair/model-3')].flatMap((each) => each.keys);
    expect(new Set(same)).toEqual(new Set([keys.at(-1)]));
  });

  it('is not made beyond the budget of retries', async () => {
    fake.always(overloaded);
    const before = fake.requests.length;
    await Promise.all(alsoKnown.map((model) => call(`thrifty/${model}`)));
    fake.always(undefined);
    expect(fake.requests.length - before).toBe(alsoKnown.length + 3);
  });
});

describe('what keeps failing', () => {
  it.each(['/images', '/flat'])('is out of service, and back after one call that succeeds, in %s', async (path) => {
    const model = path === '/flat' ? 'model-5' : 'model-6';
    fake.always({ status: 502, body: '' });
    const failures = [await call(`pair/${model}`, path), await call(`pair/${model}`, path)];
    expect(failures.map(({ status, keys }) => [status, keys.length])).toEqual([
      [502, 1],
      [502, 1],
    ]);
    const refused = await call(`pair/${model}`, path);
    expect([refused.status, refused.keys.length, refused.headers.get('retry-after')]).toEqual([503, 0, '2']);
    expect(refused.document).toMatchObject({ error: { code: 'no_healthy_target' } });
    expect(await healthOf(gateway, 'pair')).toMatchObject({
      state: 'open',
      targets: expect.arrayContaining([
        { model, state: 'open', failures: 2, open_for_ms: expect.any(Number) },
      ]) as unknown,
    });
    fake.always(undefined);
    await gateway.until((status) => JSON.stringify(status).includes(`"model":"${model}","state":"half_open"`));
    expect((await call(`pair/${model}`, path)).status).toBe(200);
    expect((await healthOf(gateway, 'pair')).targets.filter((target) => target.model === model)).toEqual([]);
  });

  it.each([
    ['alone', 'steady/model-10', '/images'],
    ['alone, without `fallback`', 'steady/model-11', '/flat'],
    ['with another that fails as well', 'both', '/images'],
  ])(
    'is tried all the same when there is nobody else, and is back with the first success: %s',
    async (_, model, path) => {
      fake.always({ status: 502, body: '' });
      const candidates = model === 'both' ? 2 : 1;
      for (let round = 0; round < 4; round += 1) {
        const { status, keys } = await call(model, path);
        expect([status, keys.length]).toEqual([502, candidates]);
      }
      expect((await healthOf(gateway, 'steady')).state).toBe('open');
      fake.always(undefined);
      const back = await call(model, path);
      expect([back.status, back.keys.length]).toEqual([200, 1]);
      expect(await healthOf(gateway, 'steady')).toMatchObject({ state: 'closed', targets: [] });
      expect((await call(model, path)).headers.get('x-pinhole-entity')).toBe('steady');
    },
  );

  it('stays out of service through a reload, unless its own settings change', async () => {
    await gateway.apply(config({}, { open_for: '1h' }));
    fake.always({ status: 502, body: '' });
    await call('main/model-7');
    await call('main/model-7');
    fake.always(undefined);
    await gateway.apply(config({ logging: { level: 'warn' } }, { open_for: '1h' }));
    expect((await call('main/model-7')).status).toBe(503);
    await gateway.apply(config({}, { open_for: '2h' }));
    expect((await call('main/model-7')).status).toBe(200);
  });
});

describe('an entity with few places', () => {
  it('lets the others wait, and refuses those for whom there is no room', async () => {
    const { promise: held, resolve: letGo } = Promise.withResolvers<undefined>();
    fake.always({ hold: held });
    const before = fake.requests.length;
    const waiting = [call('narrow/model-8'), call('narrow/model-8'), call('narrow/model-8')];
    await gateway.until((status) => JSON.stringify(status).includes('"in_flight":2,"queued":1'));
    // A place is taken a moment before the provider sees the request.
    await fake.until(() => fake.requests.length - before === 2);
    const refused = await call('narrow/model-8');
    expect([refused.status, refused.document]).toMatchObject([429, { error: { code: 'rate_limit_exceeded' } }]);
    expect(refused.headers.get('retry-after')).toBe('1');
    letGo(undefined);
    expect((await Promise.all(waiting)).map(({ status }) => status)).toEqual([200, 200, 200]);
    expect(await healthOf(gateway, 'narrow')).toMatchObject({ in_flight: 0, queued: 0 });
    fake.always(undefined);
  });
});
