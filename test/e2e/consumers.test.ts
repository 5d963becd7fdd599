import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity, openAiRoutes } from '../fixtures/gateway-config.ts';
import { sha256 } from '../fixtures/pictures.ts';
import { jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;
const keys = {
  old: 'sk-rotated-old-11',
  next: 'sk-rotated-new-22',
  file: 'sk-from-file-33',
  hashed: 'sk-hashed-44',
  expired: 'sk-expired-55',
  off: 'sk-switched-off-66',
  office: 'sk-office-77',
  ended: 'sk-ended-88',
};

function configFor(fake: Setting['fake'], rotating: readonly unknown[], more: Readonly<Record<string, unknown>> = {}) {
  return gatewayConfig([openAiEntity(fake)], {
    server: { listen: '127.0.0.1:0', trusted_proxies: ['127.0.0.0/8'] },
    consumers: [
      { id: 'rotating', keys: rotating, user: 'alice' },
      {
        id: 'mixed',
        keys: [
          '${file:./secrets/key}',
          { key_sha256: sha256(Buffer.from(keys.hashed)), expires_at: '2999-12-31' },
          { key: keys.expired, expires_at: '2020-01-31', note: 'of the old app' },
        ],
      },
      { id: 'off', key: keys.off, enabled: false },
      { id: 'ended', key: keys.ended, expires_at: '2020-01-31T12:00:00+01:00' },
      { id: 'office', key: keys.office, ip_allow: ['192.0.2.0/24', '2001:db8::/32'] },
    ],
    ...more,
  });
}

beforeAll(async () => {
  setting = await startSetting({
    files: { 'secrets/key': `${keys.file}\n` },
    config: (fake) => configFor(fake, [keys.old]),
    secrets: Object.values(keys),
  });
});
afterAll(() => setting.stop());

function call(key: string, headers: Readonly<Record<string, string>> = {}): Promise<Response> {
  const url = `${setting.gateway.url}/v1/images/generations`;
  return postJson(url, { prompt: 'a lighthouse' }, { authorization: `Bearer ${key}`, ...headers });
}

async function outcome(key: string, headers: Readonly<Record<string, string>> = {}): Promise<unknown> {
  const answer = await call(key, headers);
  const { error } = await jsonOf(answer);
  return error === undefined ? answer.status : { status: answer.status, ...Object(error) };
}

const accessLine = (id: string | null) =>
  setting.gateway.output.line((line) => line['message'] === 'request' && line['request_id'] === id, 5_000);

describe('the keys of a consumer', () => {
  it('may overlap for as long as it takes to change them', async () => {
    expect([await outcome(keys.old), await outcome(keys.next)]).toMatchObject([200, { code: 'invalid_api_key' }]);
    await setting.gateway.apply(configFor(setting.fake, [keys.old, { key: keys.next, note: 'the new one' }]));
    expect([await outcome(keys.old), await outcome(keys.next)]).toEqual([200, 200]);
    await setting.gateway.apply(configFor(setting.fake, [keys.next]));
    expect([await outcome(keys.old), await outcome(keys.next)]).toMatchObject([{ code: 'invalid_api_key' }, 200]);
  });

  it('come as themselves, from a file, or as a hash', async () => {
    expect([await outcome(keys.file), await outcome(keys.hashed)]).toEqual([200, 200]);
  });

  it.each([
    ['has expired', keys.expired, 'The API key has expired.'],
    ['belongs to a consumer that has', keys.ended, 'The API key has expired.'],
    ['belongs to a consumer that is switched off', keys.off, 'The API key has been disabled.'],
  ])('of which one %s are refused with 401', async (_, key, message) => {
    const requests = setting.fake.requests.length;
    const refused = { status: 401, code: 'invalid_api_key', type: 'authentication_error', message };
    expect(await outcome(key)).toMatchObject(refused);
    expect(setting.fake.requests).toHaveLength(requests);
  });

  it('do not make the gateway open when none of them is valid', async () => {
    const { apply } = setting.gateway;
    await apply(
      gatewayConfig([openAiEntity(setting.fake)], { consumers: [{ id: 'off', key: keys.off, enabled: false }] }),
    );
    expect(await outcome(keys.old)).toMatchObject({ status: 401 });
    await apply(configFor(setting.fake, [keys.next]));
  });
});

describe('a key for some addresses', () => {
  it.each([
    ['192.0.2.17', 200],
    ['2001:db8::1', 200],
    ['198.51.100.1, 192.0.2.17', 200],
    ['198.51.100.1', 403],
    ['192.0.2.17, 198.51.100.1', 403],
  ])('goes by the address behind the trusted proxies: %s is answered %i', async (forwarded, status) => {
    const answer = await call(keys.office, { 'x-forwarded-for': forwarded });
    expect(answer.status).toBe(status);
    if (status === 403) {
      expect(await jsonOf(answer)).toMatchObject({ error: { code: 'ip_not_allowed', type: 'permission_error' } });
    }
  });

  it('goes by the peer where no proxy is trusted', async () => {
    const { fake, gateway } = setting;
    await gateway.apply(configFor(fake, [keys.next], { server: { listen: '127.0.0.1:0' } }));
    expect(await outcome(keys.office, { 'x-forwarded-for': '192.0.2.17' })).toMatchObject({ status: 403 });
    await gateway.apply(configFor(fake, [keys.next]));
  });
});

describe('the end user and the session', () => {
  it.each([
    ['x-pinhole-user-id', 'x-pinhole-session-id'],
    ['x-opengateway-user-id', 'x-opengateway-session-id'],
  ])('are taken down from %s and %s, and not handed on [G04, G05]', async (user, session) => {
    const answer = await call(keys.next, { [user]: 'u-17', [session]: 's-42' });
    expect(answer.status).toBe(200);
    expect(await accessLine(answer.headers.get('x-request-id'))).toMatchObject({
      consumer: 'rotating',
      user: 'alice',
      end_user: 'u-17',
      session: 's-42',
    });
    expect(JSON.stringify(setting.fake.last().headers)).not.toContain('u-17');
  });

  it('are not taken down when they are not sane, and the call goes on', async () => {
    const answer = await call(keys.next, { 'x-pinhole-user-id': 'x'.repeat(1000), 'x-pinhole-session-id': 'a\tb' });
    expect(answer.status).toBe(200);
    const line = await accessLine(answer.headers.get('x-request-id'));
    expect([line['end_user'], line['session']]).toEqual([undefined, undefined]);
  });
});

describe('rules about models', () => {
  it.each([
    ['the entity', { entity: { models: { exclude: ['gpt-image-1'] } } }],
    ['the route', { route: { models: { exclude: ['spare/.*'] } } }],
    ['the consumer', { consumer: { models: { include: ['openai-main/.*', 'both'] } } }],
    ['the user', { user: { models: { exclude: ['.*gpt-image-1'] } } }],
  ])('of %s hold for every fallback, that of an alias and that of the caller [O09, G17]', async (who, rules) => {
    const { entity, route, consumer, user } = { entity: {}, route: {}, consumer: {}, user: {}, ...rules };
    const spare = await startFakeOpenAi();
    const guarded = await startSetting({
      config: (fake) =>
        gatewayConfig([openAiEntity(fake), openAiEntity(spare, { id: 'spare', name: 'Spare', ...entity })], {
          routes: openAiRoutes(['openai-main', 'spare'], route),
          consumers: [{ id: 'web-app', key: keys.next, user: 'alice', ...consumer }],
          users: [{ id: 'alice', ...user }],
          aliases: { both: { targets: ['openai-main/gpt-image-2', 'spare/gpt-image-1'] } },
        }),
    });
    try {
      const ask = (body: object): Promise<Response> =>
        postJson(
          `${guarded.gateway.url}/v1/images/generations`,
          { prompt: 'a lighthouse', ...body },
          { 'x-api-key': keys.next },
        );
      guarded.fake.always({ status: 500, body: {} });
      // A rule of the consumer's names the alias, which then stands for whatever is behind it.
      if (who !== 'the consumer') expect((await ask({ model: 'both' })).status).toBe(502);
      expect((await ask({ model: 'gpt-image-2', fallbacks: ['spare/gpt-image-1'] })).status).toBe(502);
      expect((await ask({ model: 'spare/gpt-image-1' })).status).toBe(403);
      expect(spare.requests).toEqual([]);
    } finally {
      await guarded.stop();
      await spare.close();
    }
  });
});
