import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, imagesPipeline, openAiEntity, openAiRoutes } from '../fixtures/gateway-config.ts';
import { callerKey, openAiClient } from '../fixtures/openai-client.ts';
import { jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;
let spare: FakeOpenAi;
const otherKey = 'sk-other-81fa';

beforeAll(async () => {
  spare = await startFakeOpenAi();
  setting = await startSetting({ config: (fake) => configFor(fake, ['authenticate']) });
});
afterEach(() => setting.fake.always(undefined));
afterAll(async () => {
  await setting.stop();
  await spare.close();
});

/** @param begin the stages in the place of `authenticate` and `parse` */
function configFor(fake: FakeOpenAi, begin: readonly unknown[], more: Readonly<Record<string, unknown>> = {}) {
  const [authenticate, parse, ...rest] = imagesPipeline;
  const images = begin.includes('parse') ? [...begin, ...rest] : [...begin, parse, ...rest];
  return gatewayConfig([openAiEntity(fake), openAiEntity(spare, { id: 'spare', name: 'Spare' })], {
    server: { listen: '127.0.0.1:0', trusted_proxies: ['127.0.0.0/8'] },
    consumers: [
      { id: 'web-app', key: callerKey },
      { id: 'other', key: otherKey },
    ],
    aliases: { both: { targets: ['openai-main/gpt-image-2', 'spare/gpt-image-2'] } },
    pipelines: { images, listing: [authenticate, 'list-models'] },
    routes: openAiRoutes(['openai-main', 'spare']),
    ...more,
  });
}

const limit = (config: object) => ({ plugin: 'rate-limit', config });

/** Puts limits in force behind `authenticate`. Each test has an id of its own, so that no other has used it up. */
async function limits(...list: readonly object[]): Promise<void> {
  await setting.gateway.apply(configFor(setting.fake, ['authenticate', ...list.map(limit)]));
}

function generate(body: object = {}, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  const url = `${setting.gateway.url}/v1/images/generations`;
  return postJson(url, { prompt: 'a lighthouse', ...body }, { 'x-api-key': callerKey, ...headers });
}

async function statusOf(answer: Promise<Response>): Promise<number> {
  const { status, body } = await answer;
  await body?.cancel();
  return status;
}

describe('a limit on requests', () => {
  it('refuses what is over it with 429, says when to come again, and sends nothing', async () => {
    await limits({ id: 'a', requests: 2, window: '1h' });
    const first = await generate();
    expect(first.status).toBe(200);
    expect(first.headers.get('x-ratelimit-limit-requests')).toBe('2');
    expect(first.headers.get('x-ratelimit-remaining-requests')).toBe('1');
    expect(first.headers.get('x-ratelimit-reset-requests')).toBe('30m0s');
    expect(await statusOf(generate())).toBe(200);
    const sent = setting.fake.requests.length;
    const refused = await generate();
    expect(refused.status).toBe(429);
    expect(await jsonOf(refused)).toMatchObject({
      error: { code: 'rate_limit_exceeded', type: 'rate_limit_error', param: null },
    });
    expect(refused.headers.get('x-should-retry')).toBe('true');
    const waitMs = Number(refused.headers.get('retry-after-ms'));
    expect(waitMs).toBeGreaterThan(1_700_000);
    expect(waitMs).toBeLessThanOrEqual(1_800_000);
    expect(refused.headers.get('retry-after')).toBe(String(Math.ceil(waitMs / 1000)));
    expect(refused.headers.get('x-ratelimit-remaining-requests')).toBe('0');
    expect(setting.fake.requests).toHaveLength(sent);
    expect(await statusOf(generate({}, { 'x-api-key': otherKey }))).toBe(200);
  });

  it('lets in exactly as many of those that come at once', async () => {
    await limits({ id: 'b', requests: 20, window: '1d' });
    const statuses = await Promise.all(Array.from({ length: 60 }, () => statusOf(generate())));
    expect(statuses.filter((status) => status === 200)).toHaveLength(20);
    expect(statuses.filter((status) => status === 429)).toHaveLength(40);
  });

  it('is obeyed by OpenAI’s client, which then is served', async () => {
    await limits({ id: 'c', requests: 1, window: '400ms' });
    const statuses: number[] = [];
    const client = openAiClient(setting.gateway, {
      maxRetries: 1,
      fetch: async (...request) => {
        const answer = await fetch(...request);
        statuses.push(answer.status);
        return answer;
      },
    });
    for (let call = 0; call < 3; call += 1) {
      expect((await client.images.generate({ prompt: 'a lighthouse' })).data).toHaveLength(1);
    }
    expect(statuses.filter((status) => status === 200)).toHaveLength(3);
    expect(statuses).toContain(429);
  });

  it('goes on counting over a reload, and begins anew when it is another', async () => {
    await limits({ id: 'd', requests: 1, window: '1h' });
    expect(await statusOf(generate())).toBe(200);
    await setting.gateway.apply(
      configFor(setting.fake, ['authenticate', limit({ id: 'd', requests: 1, window: '1h' })], { aliases: {} }),
    );
    expect(await statusOf(generate())).toBe(429);
    await limits({ id: 'd', requests: 2, window: '1h' });
    expect(await statusOf(generate())).toBe(200);
  });

  it('goes by the address behind the trusted proxies, above authenticate as well', async () => {
    const byAddress = limit({ id: 'e', requests: 1, window: '1h', per: 'ip' });
    await setting.gateway.apply(configFor(setting.fake, [byAddress, 'authenticate']));
    const from = (address: string, key: string) =>
      statusOf(generate({}, { 'x-forwarded-for': address, 'x-api-key': key }));
    expect(await from('192.0.2.1', 'sk-wrong')).toBe(401);
    expect(await from('192.0.2.1', 'sk-wrong')).toBe(429);
    expect(await from('192.0.2.2', callerKey)).toBe(200);
    expect(await from('2001:db8::1', callerKey)).toBe(200);
    expect(await from('2001:db8::2', callerKey)).toBe(429);
  });

  it('holds on routes that make no pictures', async () => {
    const listing = ['authenticate', limit({ id: 'f', requests: 1, window: '1h' }), 'list-models'];
    const routes = [{ id: 'models', path: '/v1/models', pipeline: listing, refs: ['openai-main'] }];
    await setting.gateway.apply(configFor(setting.fake, ['authenticate'], { routes }));
    const list = (): Promise<Response> =>
      fetch(`${setting.gateway.url}/v1/models`, { headers: { 'x-api-key': callerKey } });
    expect([await statusOf(list()), await statusOf(list())]).toEqual([200, 429]);
  });
});

describe('a limit on pictures', () => {
  it('counts a call by its n', async () => {
    const images = limit({ id: 'g', images: 5, window: '1h' });
    await setting.gateway.apply(configFor(setting.fake, ['authenticate', 'parse', images]));
    const three = await generate({ n: 3 });
    expect(three.status).toBe(200);
    expect(three.headers.get('x-ratelimit-limit-images')).toBe('5');
    expect(three.headers.get('x-ratelimit-remaining-images')).toBe('2');
    expect(await statusOf(generate({ n: 3 }))).toBe(429);
    expect(await statusOf(generate({ n: 2 }))).toBe(200);
    const never = await generate({ n: 6 });
    expect([never.status, never.headers.get('x-should-retry'), never.headers.get('retry-after')]).toEqual([
      429,
      'false',
      null,
    ]);
  });

  it('is refused above parse, where nothing is known of the call', async () => {
    const images = limit({ images: 5 });
    const { last_error: error } = await setting.gateway.refuse(configFor(setting.fake, ['authenticate', images]));
    expect(error?.problems.map(({ message }) => message)).toEqual([
      '`rate-limit` reads `call`, which `parse` fills only further down: move `parse` above `rate-limit`',
    ]);
    const { last_error: other } = await setting.gateway.refuse(
      configFor(setting.fake, [limit({ requests: 5 }), 'authenticate']),
    );
    expect(other?.problems.map(({ message }) => message)).toEqual([
      '`rate-limit` reads `caller` before `authenticate` has established it: move `authenticate` above `rate-limit`',
    ]);
  });
});

describe('a limit on requests under way', () => {
  it('makes room when one is answered, when one fails, and when its caller leaves', async () => {
    await limits({ id: 'h', concurrency: 2 });
    const { fake, gateway } = setting;
    const answered = Promise.withResolvers<void>();
    const leaving = new AbortController();
    fake.next({ hold: answered.promise });
    fake.next({ hold: new Promise(() => {}) });
    const begun = fake.requests.length;
    const first = generate();
    await fake.until(() => fake.requests.length === begun + 1);
    const second = fetch(`${gateway.url}/v1/images/generations`, {
      method: 'POST',
      signal: leaving.signal,
      headers: { 'content-type': 'application/json', 'x-api-key': callerKey },
      body: JSON.stringify({ prompt: 'a lighthouse' }),
    });
    await fake.until(() => fake.requests.length === begun + 2);
    const refused = await generate();
    expect(refused.status).toBe(429);
    expect(await jsonOf(refused)).toMatchObject({ error: { code: 'rate_limit_exceeded' } });
    expect(await statusOf(generate({}, { 'x-api-key': otherKey }))).toBe(200);

    answered.resolve();
    expect(await statusOf(first)).toBe(200);
    expect(await statusOf(generate())).toBe(200);
    fake.next({ status: 500, body: {} });
    expect(await statusOf(generate())).toBe(502);
    leaving.abort();
    await expect(second).rejects.toThrow();
    await fake.until(() => fake.requests[begun + 1]?.fate === 'aborted');
    await gateway.output.line(({ status }) => status === 499, 5_000);
    fake.always({ hold: answered.promise });
    expect(await Promise.all([statusOf(generate()), statusOf(generate())])).toEqual([200, 200]);
  });
});

describe('a limit on an entity', () => {
  it('lets the next candidate have a try', async () => {
    const stages = [
      limit({ id: 'i', requests: 1, window: '1h', per: 'entity' }),
      'provider-transform',
      'dispatch',
      'response-normalise',
    ];
    const images = ['authenticate', 'parse', 'route-resolve', 'constrain', { plugin: 'fallback', config: { stages } }];
    await setting.gateway.apply(configFor(setting.fake, [], { pipelines: { images } }));
    const served = async (): Promise<string | null> =>
      (await generate({ model: 'both' })).headers.get('x-pinhole-entity');
    expect([await served(), await served()]).toEqual(['openai-main', 'spare']);
    const refused = await generate({ model: 'both' });
    expect([refused.status, refused.headers.get('x-ratelimit-limit-requests')]).toEqual([429, null]);
  });
});
