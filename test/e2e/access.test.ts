import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeOpenAi, upstreamKey } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity, openAiRoutes } from '../fixtures/gateway-config.ts';
import { apiError, callerKey, openAiClient } from '../fixtures/openai-client.ts';
import { sha256 } from '../fixtures/pictures.ts';
import { jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;
const bobKey = 'sk-bob-7c21e0';
const hashedKey = 'sk-hashed-91be';

beforeAll(async () => {
  setting = await startSetting({
    env: { CALLER_KEY: callerKey },
    files: { 'secrets/bob': `${bobKey}\n` },
    config: (fake) =>
      gatewayConfig(
        [
          openAiEntity(fake, { models: { exclude: ['gpt-image-1-mini'] } }),
          openAiEntity(fake, { id: 'second', name: 'Second', models: { include: ['gpt-image-1.*'] } }),
        ],
        {
          consumers: [
            { id: 'web-app', key: '${env:CALLER_KEY}' },
            { id: 'bob-app', key: '${file:./secrets/bob}', user: 'bob', models: { include: ['openai-main/.*'] } },
            { id: 'hashed', key_sha256: sha256(Buffer.from(hashedKey)), models: { exclude: ['gpt-image-2'] } },
          ],
          users: [{ id: 'bob', models: { exclude: ['.*2\\.5.*'] } }],
          aliases: { newest: { targets: ['openai-main/gpt-image-2.5-flare'] } },
        },
      ),
  });
});
afterAll(() => setting.stop());

const generationsUrl = (): string => `${setting.gateway.url}/v1/images/generations`;
const as = (apiKey: string) => openAiClient(setting.gateway, { apiKey });
const refusal = (apiKey: string, model?: string) =>
  apiError(as(apiKey).images.generate({ prompt: 'a lighthouse', ...(model === undefined ? {} : { model }) }));

describe('a caller’s key', () => {
  it.each([
    ['authorization', `Bearer ${callerKey}`],
    ['authorization', `bearer ${bobKey}`],
    ['x-api-key', callerKey],
    ['api-key', hashedKey],
  ])('is taken from %s [G03]', async (header, value) => {
    const answer = await postJson(
      generationsUrl(),
      { prompt: 'a lighthouse', model: 'openai-main/gpt-image-1' },
      { [header]: value },
    );
    expect(answer.status).toBe(200);
  });

  it.each([
    ['nothing', {}, 'missing_api_key'],
    ['an empty bearer', { authorization: 'Bearer ' }, 'missing_api_key'],
    ['a wrong key', { authorization: 'Bearer sk-wrong-123' }, 'invalid_api_key'],
    ['the beginning of a key', { authorization: `Bearer ${callerKey.slice(0, -1)}` }, 'invalid_api_key'],
    ['the upstream key', { authorization: `Bearer ${upstreamKey}` }, 'invalid_api_key'],
    ['a key’s hash', { 'x-api-key': sha256(Buffer.from(hashedKey)) }, 'invalid_api_key'],
  ])('is refused when there is %s', async (_, headers, code) => {
    const requests = setting.fake.requests.length;
    const answer = await postJson(generationsUrl(), { prompt: 'a lighthouse' }, { ...headers });
    expect(answer.status).toBe(401);
    expect(await jsonOf(answer)).toMatchObject({ error: { code, type: 'authentication_error' } });
    expect(setting.fake.requests).toHaveLength(requests);
  });
});

describe('credentials', () => {
  it('stay apart: the caller’s never reaches the provider, the provider’s never the caller [A05]', async () => {
    const { fake } = setting;
    const answer = await postJson(
      generationsUrl(),
      { prompt: 'a lighthouse' },
      {
        authorization: `Bearer ${callerKey}`,
        'x-api-key': callerKey,
        'api-key': callerKey,
        cookie: `key=${callerKey}`,
      },
    );
    const { headers, members } = fake.last();
    expect(headers.authorization).toBe(`Bearer ${upstreamKey}`);
    expect(JSON.stringify({ headers, members })).not.toContain(callerKey);
    expect(JSON.stringify([...answer.headers]) + (await answer.text())).not.toContain(upstreamKey);
  });

  it('are not shown when the provider repeats them in its refusal', async () => {
    const { fake, gateway } = setting;
    fake.accept('sk-another-key');
    const answer = await postJson(generationsUrl(), { prompt: 'a lighthouse' }, { 'x-api-key': callerKey });
    fake.accept(upstreamKey);
    expect(answer.status).toBe(502);
    expect(await answer.text()).not.toContain(upstreamKey);
    fake.next({ status: 400, body: { error: { message: `bad key ${upstreamKey}`, code: 'odd', param: upstreamKey } } });
    const repeated = await postJson(generationsUrl(), { prompt: 'a lighthouse' }, { 'x-api-key': callerKey });
    expect(await repeated.text()).not.toContain(upstreamKey);
    const status = await fetch(`${gateway.adminUrl}/api/status`);
    const shown = await status.text();
    for (const key of [upstreamKey, callerKey, bobKey, hashedKey]) expect(shown).not.toContain(key);
  });

  it('are taken in turn when an entity has several [O25]', async () => {
    const keys = ['sk-ring-aaa1', 'sk-ring-bbb2', 'sk-ring-ccc3'];
    const ring = await startSetting({
      fake: { keys },
      config: (fake) =>
        gatewayConfig([
          openAiEntity(fake, { config: { connection: { base_url: fake.baseUrl, token: keys.join(', ') } } }),
        ]),
    });
    try {
      for (let call = 0; call < 6; call += 1) await ring.client.images.generate({ prompt: 'a lighthouse' });
      const used = ring.fake.requests.map(({ headers }) => headers.authorization?.slice('Bearer '.length));
      expect(used.slice(3)).toEqual(used.slice(0, 3));
      expect(new Set(used)).toEqual(new Set(keys));
    } finally {
      await ring.stop();
    }
  });
});

describe('the rules about models', () => {
  it('of an entity hold for everybody [O08]', async () => {
    expect(await refusal(callerKey, 'gpt-image-1-mini')).toMatchObject({ status: 403, code: 'model_not_allowed' });
    expect(await refusal(callerKey, 'second/gpt-image-2')).toMatchObject({ status: 403, code: 'model_not_allowed' });
  });

  it('of a consumer hold without any on the entity, and for the default model too [O09]', async () => {
    expect(await refusal(bobKey, 'second/gpt-image-1')).toMatchObject({ status: 403, code: 'model_not_allowed' });
    expect(await refusal(hashedKey)).toMatchObject({ status: 403, code: 'model_not_allowed' });
    await as(hashedKey).images.generate({ prompt: 'a lighthouse', model: 'gpt-image-1' });
  });

  it('of a user hold behind an alias', async () => {
    expect(await refusal(bobKey, 'newest')).toMatchObject({ status: 403, code: 'model_not_allowed' });
    await as(callerKey).images.generate({ prompt: 'a lighthouse', model: 'newest' });
    expect(setting.fake.last().members['model']).toBe('gpt-image-2.5-flare');
  });

  it('match the whole name, not a part of it', async () => {
    await as(hashedKey).images.generate({ prompt: 'a lighthouse', model: 'gpt-image-2-2026-04-21' });
  });

  it('decide what a caller sees in the list', async () => {
    const visible = async (apiKey: string): Promise<string[]> => {
      const { data } = await as(apiKey).models.list();
      return data.map(({ id }) => id);
    };
    expect(await visible(callerKey)).toEqual(expect.arrayContaining(['newest', 'openai-main/gpt-image-2']));
    const bobs = await visible(bobKey);
    expect(bobs).toContain('openai-main/gpt-image-2');
    expect(bobs).not.toContain('newest');
    expect(await visible(hashedKey)).not.toContain('openai-main/gpt-image-2');
  });
});

describe('a fallback', () => {
  it('never leads to a model that the caller may not use', async () => {
    const other = await startFakeOpenAi();
    const guarded = await startSetting({
      config: (fake) =>
        gatewayConfig([openAiEntity(fake), openAiEntity(other, { id: 'spare', name: 'Spare' })], {
          routes: openAiRoutes(['openai-main', 'spare']),
          consumers: [{ id: 'web-app', key: callerKey, models: { include: ['openai-main/.*'] } }],
          aliases: { both: { targets: ['openai-main/gpt-image-2', 'spare/gpt-image-2'] } },
        }),
    });
    try {
      guarded.fake.always({ status: 500, body: {} });
      expect(await apiError(guarded.client.images.generate({ model: 'both', prompt: 'a lighthouse' }))).toMatchObject({
        status: 502,
      });
      expect(other.requests).toEqual([]);
    } finally {
      await guarded.stop();
      await other.close();
    }
  });

  it('may be sent with the request [G17]', async () => {
    setting.fake.next({ status: 500, body: {} });
    const answer = await postJson(
      generationsUrl(),
      { prompt: 'a lighthouse', model: 'gpt-image-2', fallbacks: ['second/gpt-image-1'] },
      { 'x-api-key': callerKey },
    );
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-pinhole-model')).toBe('gpt-image-1');
    expect(setting.fake.last().members).not.toHaveProperty('fallbacks');
  });
});
