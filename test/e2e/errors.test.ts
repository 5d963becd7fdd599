import { gzipSync } from 'node:zlib';
import {
  APIUserAbortError,
  AuthenticationError,
  BadRequestError,
  ConflictError,
  InternalServerError,
  NotFoundError,
  PermissionDeniedError,
  RateLimitError,
  UnprocessableEntityError,
  type OpenAI,
} from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { apiError, callerKey, openAiClient } from '../fixtures/openai-client.ts';
import { jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;

beforeAll(async () => {
  setting = await startSetting({
    config: (fake) =>
      gatewayConfig([openAiEntity(fake)], {
        consumers: [{ id: 'web-app', key: callerKey, models: { exclude: ['.*2\\.5.*'] } }],
      }),
  });
});
afterAll(() => setting.stop());

const generate = (more: object = {}): Promise<unknown> =>
  setting.client.images.generate({ prompt: 'a lighthouse', ...more });

/** OpenAI's error object as another provider of the dialect may send it. */
const failure = (code: string | null, message = 'The words of the provider.') => ({
  error: { message, type: 'invalid_request_error', param: 'prompt', code },
});

describe('an error, as OpenAI’s client sees it', () => {
  it('is a BadRequestError with the provider’s words, param and code', async () => {
    const error = await apiError(generate({ size: '1000x1000' }));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ param: 'size', code: 'invalid_value', type: 'invalid_request_error' });
    expect(error.message).toContain('must both be divisible by 16');
    expect(error.requestID).toMatch(/\S{8,}/);
  });

  it('is a BadRequestError for what the gateway itself refuses', async () => {
    const { requests } = setting.fake;
    expect(await apiError(setting.client.images.generate({ prompt: '' }))).toMatchObject({
      status: 400,
      param: 'prompt',
      code: 'missing_required_parameter',
    });
    expect(await apiError(generate({ n: 0 }))).toMatchObject({ status: 400, param: 'n', code: 'invalid_value' });
    expect(await apiError(generate({ output_compression: 101 }))).toMatchObject({ param: 'output_compression' });
    expect(setting.fake.requests).toHaveLength(requests.length);
  });

  it('is an AuthenticationError for a key that is not known', async () => {
    const stranger = openAiClient(setting.gateway, { apiKey: 'sk-stranger-1' });
    const error = await apiError(stranger.images.generate({ prompt: 'a lighthouse' }));
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(error).toMatchObject({
      code: 'invalid_api_key',
      type: 'authentication_error',
      requestID: expect.any(String),
    });
  });

  it('is a PermissionDeniedError for a model that the caller may not use', async () => {
    const error = await apiError(generate({ model: 'gpt-image-2.5-flare' }));
    expect(error).toBeInstanceOf(PermissionDeniedError);
    expect(error).toMatchObject({ code: 'model_not_allowed', param: 'model', type: 'permission_error' });
  });

  it('is a NotFoundError for models and paths that are not there', async () => {
    const unknownModel = await apiError(generate({ model: 'no-such-model' }));
    expect(unknownModel).toBeInstanceOf(NotFoundError);
    expect(unknownModel).toMatchObject({ code: 'model_not_found' });
    const unknownPath = await apiError(setting.client.get('/no/such/path'));
    expect(unknownPath).toBeInstanceOf(NotFoundError);
    expect(unknownPath).toMatchObject({ code: 'route_not_found', type: 'invalid_request_error' });
  });

  it('is a RateLimitError with the provider’s retry-after', async () => {
    setting.fake.next({ status: 429, body: failure('rate_limit_exceeded'), headers: { 'retry-after': '7' } });
    const error = await apiError(generate());
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error).toMatchObject({ code: 'rate_limit_exceeded', type: 'rate_limit_error' });
    expect(error.headers?.get('retry-after')).toBe('7');
  });

  it('is an UnprocessableEntityError, or a conflict, when the provider says so', async () => {
    setting.fake.next({ status: 422, body: failure('odd_prompt') });
    const error = await apiError(generate());
    expect(error).toBeInstanceOf(UnprocessableEntityError);
    expect(error).toMatchObject({ code: 'odd_prompt', param: 'prompt' });
    setting.fake.next({ status: 409, body: failure('conflict') });
    expect(await apiError(generate())).toBeInstanceOf(ConflictError);
  });

  it('is a refusal of the content in the provider’s words', async () => {
    setting.fake.next({ status: 400, body: failure('moderation_blocked', 'Rejected by the safety system.') });
    const error = await apiError(generate());
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ code: 'content_policy_violation' });
    expect(error.message).toContain('Rejected by the safety system.');
  });

  it.each([
    ['a status of 500', { status: 500, body: failure(null) }, 502, 'upstream_error', 'true'],
    ['a status of 503', { status: 503, body: failure(null) }, 502, 'upstream_error', 'true'],
    ['a proxy’s error page', { status: 502, html: true }, 502, 'upstream_error', 'true'],
    ['a page in place of an answer', { html: true }, 502, 'upstream_invalid_response', 'false'],
    ['half of an answer', { truncate: true }, 502, 'upstream_invalid_response', 'false'],
    ['an answer without pictures', { body: { created: 1, data: [] } }, 502, 'upstream_invalid_response', 'false'],
    ['a connection cut before the answer', { cut: 'before_headers' }, 502, 'upstream_error', undefined],
    ['a refused credential', { status: 401, body: failure('invalid_api_key') }, 502, 'upstream_auth_failed', 'false'],
    ['a refused organisation', { status: 403, body: failure('unverified') }, 502, 'upstream_auth_failed', 'false'],
  ] as const)('is an InternalServerError for %s', async (_, script, status, code, retry) => {
    setting.fake.next(script);
    const error = await apiError(generate());
    expect(error).toBeInstanceOf(InternalServerError);
    expect(error).toMatchObject({ status, code, type: 'upstream_error' });
    if (retry !== undefined) expect(error.headers?.get('x-should-retry')).toBe(retry);
  });

  it('tells of an answer that breaks off, whether or not it had begun to pass it on', async () => {
    setting.fake.next({ cut: 'mid_body' });
    await expect(generate()).rejects.toThrow();
    await expect(generate()).resolves.toMatchObject({ data: [expect.anything()] });
  });

  it.each([
    ['no JSON', '{"prompt": ', 'application/json', 400, 'invalid_json'],
    ['JSON that is no object', '["a lighthouse"]', 'application/json', 400, 'invalid_json'],
    [
      'a cut form',
      '--x\r\ncontent-disposition: form-data; name="prompt"\r\n\r\na',
      'multipart/form-data; boundary=x',
      400,
      'invalid_multipart',
    ],
    ['a form without a boundary', 'prompt=a', 'multipart/form-data', 400, 'invalid_multipart'],
    ['text', 'a lighthouse', 'text/plain', 415, 'unsupported_media_type'],
  ])('has OpenAI’s form for a body that is %s', async (_, body, type, status, code) => {
    const answer = await fetch(`${setting.gateway.url}/v1/images/generations`, {
      method: 'POST',
      body,
      headers: { 'content-type': type, authorization: `Bearer ${callerKey}` },
    });
    expect(answer.status).toBe(status);
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    expect(answer.headers.get('x-request-id')).toMatch(/\S/);
    expect(await jsonOf(answer)).toEqual({
      error: { message: expect.any(String), type: 'invalid_request_error', param: null, code },
    });
  });

  it.each([
    ['gpt-😀', 'gpt-%F0%9F%98%80'],
    ['gpt-\ud83d', 'gpt-%EF%BF%BD'],
  ])('has a header for a model of any letters: %j', async (model, shown) => {
    const answer = await fetch(`${setting.gateway.url}/v1/images/generations`, {
      method: 'POST',
      body: JSON.stringify({ model, prompt: 'a lighthouse' }),
      headers: { 'content-type': 'application/json', authorization: `Bearer ${callerKey}` },
    });
    expect([answer.status, answer.headers.get('x-pinhole-model')]).toEqual([404, shown]);
    expect(await jsonOf(answer)).toMatchObject({ error: { code: 'model_not_found' } });
  });

  it('says of a compressed body that it is', async () => {
    const answer = await fetch(`${setting.gateway.url}/v1/images/generations`, {
      method: 'POST',
      body: gzipSync(JSON.stringify({ prompt: 'a lighthouse' })),
      headers: {
        'content-type': 'application/json',
        'content-encoding': 'gzip',
        authorization: `Bearer ${callerKey}`,
      },
    });
    expect(answer.status).toBe(415);
    const error = { code: 'unsupported_media_type', message: expect.stringContaining('compressed') };
    expect(await jsonOf(answer)).toMatchObject({ error });
  });

  it('names the allowed methods where the path exists but the method does not', async () => {
    const answer = await fetch(`${setting.gateway.url}/v1/images/generations`);
    expect(answer.status).toBe(405);
    expect(answer.headers.get('allow')).toBe('POST');
    expect(await jsonOf(answer)).toMatchObject({ error: { code: 'method_not_allowed' } });
  });
});

describe('x-should-retry, obeyed by OpenAI’s client', () => {
  const patient = (): OpenAI => openAiClient(setting.gateway, { maxRetries: 2 });
  const callsOf = async (call: () => Promise<unknown>): Promise<number> => {
    const before = setting.fake.requests.length;
    await apiError(call());
    setting.fake.always(undefined);
    return setting.fake.requests.length - before;
  };

  it('lets a call be sent again that failed without a picture', async () => {
    setting.fake.always({ status: 500, body: failure(null), headers: { 'retry-after-ms': '1' } });
    expect(await callsOf(() => patient().images.generate({ prompt: 'a lighthouse' }))).toBe(3);
  });

  it('keeps a call from being sent again that may have been paid for', async () => {
    setting.fake.always({ html: true });
    expect(await callsOf(() => patient().images.generate({ prompt: 'a lighthouse' }))).toBe(1);
  });

  it.each(['before_headers', 'mid_body'] as const)(
    'keeps a call from being sent again whose answer was lost, cut %s',
    async (cut) => {
      setting.fake.always({ cut });
      expect(await callsOf(() => patient().images.generate({ prompt: 'a lighthouse' }))).toBe(1);
    },
  );

  it('keeps a call from being sent again whose credential was refused', async () => {
    setting.fake.always({ status: 401, body: failure('invalid_api_key') });
    expect(await callsOf(() => patient().images.generate({ prompt: 'a lighthouse' }))).toBe(1);
  });
});

describe('a client that leaves', () => {
  it('ends the call to the provider', async () => {
    const { fake, client } = setting;
    const before = fake.requests.length;
    fake.next({ hold: new Promise(() => {}) });
    const controller = new AbortController();
    const call = client.images.generate({ prompt: 'a lighthouse' }, { signal: controller.signal });
    await fake.until(() => fake.requests.length > before);
    controller.abort();
    await expect(call).rejects.toThrow(APIUserAbortError);
    await fake.until(() => fake.requests.at(before)?.fate === 'aborted');
  });

  it('stands in the log as 499', async () => {
    await setting.gateway.output.line(({ status }) => status === 499, 5000);
  });
});

describe('an entity’s timeout', () => {
  it('is a 504 that is not sent again', async () => {
    const short = await startSetting({
      config: (fake) =>
        gatewayConfig([
          openAiEntity(fake, {
            config: { connection: { base_url: fake.baseUrl, token: 'sk-timeout-1', timeout: 100 } },
          }),
        ]),
      fake: { keys: ['sk-timeout-1'] },
    });
    try {
      short.fake.always({ hold: new Promise(() => {}) });
      const error = await apiError(short.client.images.generate({ prompt: 'a lighthouse' }));
      expect(error).toMatchObject({ status: 504, code: 'upstream_timeout' });
      expect(error.headers?.get('x-should-retry')).toBe('false');
      await short.fake.until(() => short.fake.last().fate === 'aborted');
    } finally {
      await short.stop();
    }
  });

  it('is a 502 when nobody listens there', async () => {
    const deserted = await startSetting({
      config: (fake) => gatewayConfig([openAiEntity({ ...fake, baseUrl: 'http://127.0.0.1:9/v1' })]),
    });
    try {
      const answer = await postJson(`${deserted.gateway.url}/v1/images/generations`, { prompt: 'a lighthouse' });
      expect(answer.status).toBe(502);
      const text = await answer.text();
      expect(JSON.parse(text)).toMatchObject({ error: { code: 'upstream_unreachable' } });
      expect(text).not.toContain('127.0.0.1');
    } finally {
      await deserted.stop();
    }
  });
});
