import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity, openAiRoutes } from '../fixtures/gateway-config.ts';
import { jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;
let other: FakeOpenAi;
const key = 'sk-aliases-4711';
const both = ['openai-main/gpt-image-2', 'second/gpt-image-1'];

const configOf = (fake: FakeOpenAi, more: object = {}) =>
  gatewayConfig(
    [
      openAiEntity(fake, { models: { exclude: ['gpt-image-1-mini'] } }),
      openAiEntity(other, { id: 'second', name: 'Second' }),
      openAiEntity(other, { id: 'elsewhere', name: 'Elsewhere' }),
    ],
    {
      routes: openAiRoutes(['openai-main', 'second']),
      consumers: [{ id: 'web-app', key, models: { exclude: ['second/gpt-image-1.5'] } }],
      aliases: {
        fastest: { strategy: 'least_latency', targets: both },
        cheapest: { strategy: 'least_cost', targets: both },
        mine: { strategy: 'round_robin', sticky: 'user', targets: both },
        first: { strategy: 'round_robin', targets: [{ target: both[0], priority: 1 }, both[1]] },
      },
      pipelines: {
        images: [
          'authenticate',
          'parse',
          'route-resolve',
          'constrain',
          {
            plugin: 'fallback',
            config: {
              stages: [
                'provider-transform',
                'dispatch',
                { plugin: 'response-normalise', config: { extras: ['routing'] } },
              ],
            },
          },
          'decode',
        ],
      },
      ...more,
    },
  );

beforeAll(async () => {
  other = await startFakeOpenAi();
  setting = await startSetting({ config: configOf });
});
afterAll(async () => {
  await setting.stop();
  await other.close();
});

/** The entities that were tried, or what was refused. */
async function tried(body: object): Promise<unknown> {
  const headers = { authorization: `Bearer ${key}` };
  const answer = await postJson(
    `${setting.gateway.url}/v1/images/generations`,
    { prompt: 'a lighthouse', ...body },
    headers,
  );
  const document = await jsonOf(answer);
  return answer.status === 200 ? document['extra'] : document;
}

const attempt = (entity: string, model: string, status = 200) => ({
  provider: 'openai',
  entity,
  model,
  region: null,
  status,
});
const routing = (...attempts: readonly object[]) => ({ routing: { attempts } });

describe('an alias', () => {
  it('is served by the cheapest target of the call [X09]', async () => {
    expect(await tried({ model: 'cheapest', size: '1024x1024', quality: 'high' })).toEqual(
      routing(attempt('second', 'gpt-image-1')),
    );
  });

  it('is served by what nothing is known of, then by what has answered faster, also after a reload [X09]', async () => {
    // A provider that takes its time.
    setting.fake.next({ hold: pause(300) });
    const slow = routing(attempt('openai-main', 'gpt-image-2'));
    const fast = routing(attempt('second', 'gpt-image-1'));
    expect(await tried({ model: 'fastest' })).toEqual(slow);
    // What was learnt is known a moment after the answer.
    await eventually(async () => isDeepStrictEqual(await tried({ model: 'fastest' }), fast));
    expect(await tried({ model: 'fastest' })).toEqual(fast);
    await setting.gateway.apply(configOf(setting.fake, { unpriced: 'allow' }));
    expect(await tried({ model: 'fastest' })).toEqual(fast);
  });

  it('is served to the same user by the same target, and by the lowest priority first', async () => {
    const users = Array.from({ length: 12 }, (_, index) => `user-${index}`);
    const firsts = new Set<string>();
    for (const user of users) {
      const first = JSON.stringify(await tried({ model: 'mine', user }));
      expect(JSON.stringify(await tried({ model: 'mine', user }))).toBe(first);
      firsts.add(first);
    }
    expect(firsts.size).toBe(2);
    for (let turn = 0; turn < 2; turn += 1) {
      expect(await tried({ model: 'first' })).toEqual(routing(attempt('second', 'gpt-image-1')));
    }
  });
});

describe('a caller’s fallbacks [G17]', () => {
  it('are tried after the model, and told with their attempts [G24]', async () => {
    setting.fake.next({ status: 500, body: {} });
    expect(await tried({ model: 'openai-main/gpt-image-2', fallbacks: ['second/gpt-image-1'] })).toEqual(
      routing(attempt('openai-main', 'gpt-image-2', 500), attempt('second', 'gpt-image-1')),
    );
  });

  it('are held to the rules of everybody concerned, and what is not allowed is not tried', async () => {
    const model = 'openai-main/gpt-image-2';
    const fallbacks = ['second/gpt-image-1.5', 'openai-main/gpt-image-1-mini', 'second/gpt-image-1'];
    setting.fake.next({ status: 500, body: {} });
    expect(await tried({ model, fallbacks })).toEqual(
      routing(attempt('openai-main', 'gpt-image-2', 500), attempt('second', 'gpt-image-1')),
    );
    // Also where the model itself is refused, and in `extra`.
    expect(await tried({ model: 'second/gpt-image-1.5', extra: { fallbacks } })).toEqual(
      routing(attempt('second', 'gpt-image-1')),
    );
    expect(await tried({ model: 'second/gpt-image-1.5', fallbacks: fallbacks.slice(0, 2) })).toMatchObject({
      error: { code: 'model_not_allowed', param: 'model' },
    });
  });

  it('are models of the route’s entities, and of no others', async () => {
    const requests = setting.fake.requests.length + other.requests.length;
    expect(await tried({ model: 'openai-main/gpt-image-2', fallbacks: ['elsewhere###gpt-image-1'] })).toMatchObject({
      error: { code: 'model_not_found', param: 'fallbacks' },
    });
    expect(setting.fake.requests.length + other.requests.length).toBe(requests);
  });
});
