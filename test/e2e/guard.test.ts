import { createHmac } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isJsonObject } from '../../src/json.ts';
import { startFakeJudge, judgeToken, type FakeJudge } from '../fixtures/fake-judge.ts';
import { gatewayConfig, imagesPipeline, openAiEntity } from '../fixtures/gateway-config.ts';
import { callerKey } from '../fixtures/openai-client.ts';
import { png, sha256 } from '../fixtures/pictures.ts';
import { formOf, jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let judge: FakeJudge;
let setting: Setting;
const secret = 'a secret of enough letters';

beforeAll(async () => {
  judge = await startFakeJudge();
  setting = await startSetting({ config: (fake) => configFor(fake, []), secrets: [secret] });
});
afterEach(() => judge.always(undefined));
afterAll(async () => {
  await setting.stop();
  await judge.close();
});

interface Placing {
  readonly config?: Readonly<Record<string, unknown>>;
  /** The stage above the guard. */
  readonly below?: string;
}

function configFor(
  fake: Setting['fake'],
  rules: readonly object[],
  { config = {}, below = 'constrain' }: Placing = {},
) {
  const guard = { plugin: 'guard', config: { rules, ...config } };
  const images: readonly unknown[] = imagesPipeline.flatMap((stage): readonly unknown[] =>
    stage === below ? [stage, guard] : [stage],
  );
  return gatewayConfig([openAiEntity(fake)], {
    pipelines: { images },
    consumers: [{ id: 'web-app', key: callerKey, user: 'alice', team: 'growth', metadata: { tier: 'gold', seats: 3 } }],
  });
}

/** Puts rules in force. */
async function rules(list: readonly object[], placing: Placing = {}): Promise<void> {
  await setting.gateway.apply(configFor(setting.fake, list, placing));
}

const moderation = (more: object = {}) => ({ base_url: `${judge.origin}/v1`, token: judgeToken, ...more });
const webhook = (more: object = {}) => ({ url: `${judge.origin}/webhook`, ...more });

function generate(body: object): Promise<Response> {
  const headers = { 'x-api-key': callerKey, 'x-opengateway-user-id': 'u-17' };
  return postJson(`${setting.gateway.url}/v1/images/generations`, body, headers);
}

/** What a call is refused with; nothing may have been sent to the provider. */
async function refusal(body: object): Promise<Readonly<Record<string, unknown>>> {
  const sent = setting.fake.requests.length;
  const answer = await generate(body);
  const { error } = await jsonOf(answer);
  expect(setting.fake.requests).toHaveLength(sent);
  return {
    status: answer.status,
    guard: answer.headers.get('x-pinhole-guard'),
    retry: answer.headers.get('x-should-retry'),
    ...(isJsonObject(error) ? error : {}),
  };
}

const logged = (rule: string) => setting.gateway.output.line((line) => line['rule'] === rule, 5_000);

describe('a rule of words', () => {
  it('refuses a prompt that has one of them before anything is sent [A06]', async () => {
    await rules([{ id: 'weapons', keywords: ['gun', 'rocket launcher'] }]);
    expect(await refusal({ prompt: 'a man with a GUN' })).toEqual({
      status: 400,
      guard: 'weapons',
      retry: 'false',
      type: 'invalid_request_error',
      code: 'guard_blocked',
      param: 'prompt',
      message: 'A rule of this gateway does not allow this prompt.',
    });
    expect((await generate({ prompt: 'a man who had begun' })).status).toBe(200);
    expect(await logged('weapons')).toMatchObject({ level: 'warn', action: 'block', found: 'gun', route: 'generate' });
  });

  it('looks at what goes to the provider under other names too, but not at what is to be avoided', async () => {
    await rules([{ id: 'weapons', keywords: ['gun'] }]);
    for (const body of [
      { prompt: 'a man', style: 'gun' },
      { prompt: 'a man', text_prompts: [{ text: 'with a gun' }] },
      { prompt: 'a man', extra: { prompt_2: 'with a gun' } },
    ]) {
      expect(await refusal(body)).toMatchObject({ code: 'guard_blocked' });
    }
    // This provider refuses what it does not know; the guard has let it pass.
    const answer = await generate({ prompt: 'a man', negative_prompt: 'gun' });
    expect(await jsonOf(answer)).not.toMatchObject({ error: { code: 'guard_blocked' } });
    await rules([{ id: 'weapons', keywords: ['gun'] }], { config: { skip_parameters: [] } });
    expect(await refusal({ prompt: 'a man', negative_prompt: 'gun' })).toMatchObject({ code: 'guard_blocked' });
  });

  it('only reports when it says so, and the caller does not see it [A11]', async () => {
    await rules([{ id: 'watched', keywords: ['tank'], action: 'report' }]);
    const answer = await generate({ prompt: 'a tank' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-pinhole-guard')).toBeNull();
    expect(await logged('watched')).toMatchObject({ action: 'report', found: 'tank' });
  });

  it('answers with the status and in the words of the file [A12]', async () => {
    await rules([{ id: 'weapons', keywords: ['gun'], message: 'No weapons, please.' }], { config: { status: 422 } });
    expect(await refusal({ prompt: 'a gun' })).toMatchObject({ status: 422, message: 'No weapons, please.' });
  });

  it('stands before the models are resolved as well', async () => {
    await rules(
      [
        { id: 'weapons', keywords: ['gun'] },
        { id: 'ours', webhook: webhook() },
      ],
      { below: 'parse' },
    );
    expect(await refusal({ prompt: 'a gun', model: 'nobody/has-this' })).toMatchObject({ code: 'guard_blocked' });
    expect((await generate({ prompt: 'a lighthouse', model: 'gpt-image-1' })).status).toBe(200);
    expect(judge.last('/webhook').document).toMatchObject({ consumer: 'web-app', model: 'gpt-image-1', entity: null });
  });
});

describe('a rule of patterns', () => {
  it('is looked for anywhere, in time linear to the text', async () => {
    await rules([
      { id: 'cards', pattern: '\\b[0-9]{16}\\b' },
      { id: 'evil', pattern: ['(a+)+$', '(x|xx)+y'] },
    ]);
    expect(await refusal({ prompt: 'my card 4111111111111111 on a table' })).toMatchObject({ guard: 'cards' });
    expect((await generate({ prompt: `${'a'.repeat(30_000)}!` })).status).toBe(200);
  });
});

describe('a moderation rule', () => {
  it('asks the service with its own token, and refuses what that flags', async () => {
    await rules([{ id: 'safe', moderation: moderation() }]);
    expect(await refusal({ prompt: 'a knife' })).toMatchObject({ status: 400, guard: 'safe', code: 'guard_blocked' });
    const { document, headers } = judge.last('/v1/moderations');
    expect(document).toEqual({ model: 'omni-moderation-latest', input: 'a knife' });
    expect(JSON.stringify(headers)).not.toContain(callerKey);
    expect(await logged('safe')).toMatchObject({ found: 'violence' });
    expect((await generate({ prompt: 'a spoon' })).status).toBe(200);
  });

  it('takes scores and categories of its own into account', async () => {
    await rules([{ id: 'strict', moderation: moderation({ thresholds: { violence: 0.4 } }) }]);
    expect(await refusal({ prompt: 'a fork' })).toMatchObject({ guard: 'strict' });
    await rules([{ id: 'narrow', moderation: moderation({ categories: ['sexual/minors'] }) }]);
    expect((await generate({ prompt: 'a knife' })).status).toBe(200);
    await rules([{ id: 'lax', moderation: moderation({ thresholds: { violence: 0.95 } }) }]);
    expect((await generate({ prompt: 'a knife' })).status).toBe(200);
  });

  it('does not take a category that the service does not have for one that never applies', async () => {
    await rules([{ id: 'misspelt', moderation: moderation({ categories: ['violense'] }) }]);
    expect(await refusal({ prompt: 'a spoon' })).toMatchObject({ status: 503, code: 'guard_unavailable' });
    await rules([{ id: 'misspelt', moderation: moderation({ thresholds: { violense: 0.1 } }), on_failure: 'allow' }]);
    expect((await generate({ prompt: 'a spoon' })).status).toBe(200);
  });

  it('asks about each of several texts', async () => {
    await rules([{ id: 'safe', moderation: moderation({ model: '' }) }]);
    expect(await refusal({ prompt: 'a spoon', prompt_2: 'and a knife' })).toMatchObject({ guard: 'safe' });
    expect(judge.last('/v1/moderations').document).toEqual({ input: ['a spoon', 'and a knife'] });
  });
});

describe('a webhook rule', () => {
  it('is told the call, and may refuse it in words of its own', async () => {
    await rules([{ id: 'ours', webhook: webhook({ headers: { Authorization: 'Bearer sk-hook-19a2' } }) }]);
    expect(await refusal({ prompt: 'to be refused', model: 'gpt-image-1', seed: 3, odd: 1 })).toMatchObject({
      guard: 'ours',
      message: 'Ask for something else.',
    });
    const { document, headers } = judge.last('/webhook');
    expect(headers.authorization).toBe('Bearer sk-hook-19a2');
    expect(document).toEqual({
      request_id: expect.stringMatching(/^req_/),
      route: 'generate',
      consumer: 'web-app',
      user: 'alice',
      team: 'growth',
      metadata: { tier: 'gold', seats: 3 },
      end_user: 'u-17',
      session: null,
      entity: 'openai-main',
      model: 'gpt-image-1',
      operation: 'generation',
      prompt: 'to be refused',
      style: null,
      extra: { odd: 1 },
      images: [],
      mask: null,
    });
  });

  it('is told about input pictures, or sent them, and the provider gets them as well', async () => {
    const picture = png();
    const edit = (): Promise<Response> =>
      fetch(`${setting.gateway.url}/v1/images/edits`, {
        method: 'POST',
        headers: { 'x-api-key': callerKey },
        body: formOf({ prompt: 'bluer', image: picture, mask: picture }),
      });
    const facts = { media_type: 'image/png', bytes: picture.byteLength, sha256: sha256(picture) };
    await rules([{ id: 'ours', webhook: webhook() }]);
    expect((await edit()).status).toBe(200);
    expect(judge.last('/webhook').document).toMatchObject({ operation: 'edition', images: [facts], mask: facts });
    expect(judge.last('/webhook').body.toString()).not.toContain(picture.toString('base64'));
    await rules([{ id: 'ours', webhook: webhook({ include_images: true }) }]);
    expect((await edit()).status).toBe(200);
    const shown = { ...facts, data: picture.toString('base64') };
    expect(judge.last('/webhook').document).toMatchObject({ images: [shown], mask: shown });
    expect(setting.fake.last().pictures.map(({ sha256: digest }) => digest)).toEqual([facts.sha256, facts.sha256]);
  });

  it('can tell by the signature that it is we who ask', async () => {
    await rules([{ id: 'ours', webhook: webhook({ secret, include_images: true }) }]);
    const answer = await postJson(
      `${setting.gateway.url}/v1/images/edits`,
      { prompt: 'bluer', image: `data:image/png;base64,${png().toString('base64')}` },
      { 'x-api-key': callerKey },
    );
    expect(answer.status).toBe(200);
    const { headers, body } = judge.last('/webhook');
    const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature } = headers;
    expect(id).toMatch(/^guard_[0-9a-f-]{36}$/);
    expect(Math.abs(Number(timestamp) - Date.now() / 1000)).toBeLessThan(60);
    const hmac = createHmac('sha256', secret)
      .update(`${String(id)}.${String(timestamp)}.`)
      .update(body);
    expect(signature).toBe(`v1,${hmac.digest('base64')}`);
  });

  it.each([
    ['fails', { status: 500 }],
    ['redirects', { status: 307, headers: { location: '/elsewhere' } }],
    ['answers with a page', { html: true, status: 200 }],
    ['answers with something else', { body: { allow: 'yes' } }],
    ['answers with too much', { body: { allow: true, filler: 'x'.repeat(300_000) } }],
    ['breaks off', { cut: 'before_headers' }],
    ['breaks off later', { cut: 'mid_body' }],
  ] as const)('that %s lets nothing through, unless the rule says so', async (_, script) => {
    await rules([{ id: 'ours', webhook: webhook() }]);
    judge.always(script);
    expect(await refusal({ prompt: 'a lighthouse' })).toMatchObject({
      status: 503,
      code: 'guard_unavailable',
      type: 'upstream_error',
      retry: 'true',
    });
    await rules([{ id: 'ours', webhook: webhook(), on_failure: 'allow' }]);
    expect((await generate({ prompt: 'a lighthouse' })).status).toBe(200);
    await rules([{ id: 'ours', webhook: webhook(), action: 'report' }]);
    expect((await generate({ prompt: 'a lighthouse' })).status).toBe(200);
  });

  it('is asked anew when its connection has been closed meanwhile', async () => {
    await rules([{ id: 'ours', webhook: webhook() }]);
    judge.next({ cut: 'before_headers' });
    expect((await generate({ prompt: 'a lighthouse' })).status).toBe(200);
  });

  it('that does not answer is not waited for beyond the time that it has', async () => {
    const never = Promise.withResolvers<void>();
    await rules([{ id: 'ours', webhook: webhook() }], { config: { timeout: '100ms' } });
    judge.always({ hold: never.promise });
    expect(await refusal({ prompt: 'a lighthouse' })).toMatchObject({ status: 503, code: 'guard_unavailable' });
    await judge.until(() => judge.requests.at(-1)?.fate === 'aborted');
    never.resolve();
  });
});

describe('several rules', () => {
  it('are asked at the same time, and the first that refuses ends it for the others', async () => {
    const never = Promise.withResolvers<void>();
    await rules(
      [
        { id: 'slow', webhook: webhook() },
        { id: 'safe', moderation: moderation() },
        { id: 'watching', webhook: webhook(), action: 'report' },
      ],
      { config: { timeout: '1h' } },
    );
    const before = judge.requests.length;
    judge.next({ hold: never.promise });
    judge.next({ hold: never.promise });
    judge.next({ hold: never.promise });
    const refused = refusal({ prompt: 'a knife' });
    await judge.until(() => judge.requests.length === before + 3);
    // Whichever of them came first: only the moderation has anything against it.
    never.resolve();
    expect(await refused).toMatchObject({ guard: 'safe' });
  });

  it('gives up those that are still at it', async () => {
    const never = Promise.withResolvers<void>();
    const other = await startFakeJudge();
    await rules(
      [
        { id: 'slow', webhook: { url: `${other.origin}/webhook` } },
        { id: 'safe', moderation: moderation() },
      ],
      { config: { timeout: '1h' } },
    );
    other.always({ hold: never.promise });
    const quick = Promise.withResolvers<void>();
    judge.always({ hold: quick.promise });
    const refused = refusal({ prompt: 'a knife' });
    await other.until(() => other.requests.length === 1);
    quick.resolve();
    expect(await refused).toMatchObject({ guard: 'safe' });
    await other.until(() => other.requests[0]?.fate === 'aborted');
    never.resolve();
    await other.close();
  });

  it('are given up when the caller leaves', async () => {
    const never = Promise.withResolvers<void>();
    await rules([{ id: 'ours', webhook: webhook() }], { config: { timeout: '1h' } });
    const before = judge.requests.length;
    judge.always({ hold: never.promise });
    const leaving = new AbortController();
    const call = fetch(`${setting.gateway.url}/v1/images/generations`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-api-key': callerKey },
      body: JSON.stringify({ prompt: 'a lighthouse' }),
      signal: leaving.signal,
    });
    await judge.until(() => judge.requests.length > before);
    leaving.abort();
    await expect(call).rejects.toThrow();
    await judge.until(() => judge.requests.at(-1)?.fate === 'aborted');
    never.resolve();
  });
});

describe('a file with a wrong rule', () => {
  const problems = async (list: readonly object[]): Promise<readonly string[]> => {
    const { last_error: error } = await setting.gateway.refuse(configFor(setting.fake, list));
    return (error?.problems ?? []).map(({ pointer, message }) => `${pointer} ${message}`);
  };

  it('is refused where it is wrong', async () => {
    const nothing =
      'a rule has exactly one of `keywords`, `pattern`, `moderation` and `webhook`: write several rules for several things';
    expect(await problems([{ id: 'empty' }])).toContain(`/pipelines/images/5/config/rules/0 ${nothing}`);
    expect(await problems([{ id: 'both', keywords: ['a'], pattern: 'b' }])).toContain(
      `/pipelines/images/5/config/rules/0 ${nothing}`,
    );
    expect(
      await problems([
        { id: 'a', keywords: ['a'] },
        { id: 'a', keywords: ['b'] },
      ]),
    ).toContain('/pipelines/images/5/config/rules/1/id `a` is the id of another rule already');
    expect(await problems([{ id: 'a', pattern: '(?=a)' }])).toEqual([expect.stringContaining('RE2')]);
  });

  it('is refused when the guard stands where it could not guard any more', async () => {
    const { last_error: error } = await setting.gateway.refuse(
      configFor(setting.fake, [{ id: 'a', keywords: ['a'] }], { below: 'decode' }),
    );
    expect(error?.problems[0]?.message).toContain('`guard` must run before `reply` is there');
  });
});
