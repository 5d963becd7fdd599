import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeOpenAi, upstreamKey, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity, openAiRoutes, sandboxEntity } from '../fixtures/gateway-config.ts';
import { runGateway } from '../fixtures/gateway.ts';
import { jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;
let other: FakeOpenAi;
const key = 'sk-explain-815';
const secretHeader = 'tenant-secret-77';
const env = { TENANT: secretHeader };

const configOf = (fake: Pick<FakeOpenAi, 'baseUrl'>) =>
  gatewayConfig(
    [
      openAiEntity(fake, { models: { exclude: ['gpt-image-1-mini'] } }),
      openAiEntity(other, { id: 'second', name: 'Second' }),
      {
        id: 'tenant',
        provider: 'openai-compatible',
        config: {
          connection: { base_url: other.baseUrl, token: upstreamKey, headers: { 'x-tenant': '${env:TENANT}' } },
          options: { generation: { model: 'tenant-1' } },
        },
      },
      { id: 'asleep', provider: 'openai', config: { connection: { token: '' } } },
      sandboxEntity(),
    ],
    {
      routes: [
        ...openAiRoutes(['openai-main', 'second', 'tenant', 'asleep', 'sandbox']),
        {
          id: 'strict',
          path: '/strict',
          methods: ['POST'],
          pipeline: 'images',
          operation: 'generation',
          refs: ['openai-main'],
          unsupported_params: 'reject',
        },
      ],
      consumers: [
        { id: 'web-app', key, user: 'alice', team: 'growth', models: { exclude: ['second/gpt-image-1.5'] } },
        { id: 'old-app', key: 'sk-explain-old', expires_at: '2020-01-01' },
        { id: 'full', key: 'sk-explain-full' },
        { id: 'plain', key: 'sk-explain-plain' },
      ],
      users: [{ id: 'alice', models: { exclude: ['.*flare'] } }],
      aliases: {
        turns: { strategy: 'round_robin', targets: ['openai-main/gpt-image-2', 'second/gpt-image-1'] },
        mixed: {
          targets: [
            'second/gpt-image-1.5',
            'openai-main/gpt-image-1-mini',
            'openai-main/gpt-image-2',
            { target: 'second/gpt-image-1', priority: 1 },
            { target: 'second/gpt-image-2.5-flare', priority: 1 },
          ],
        },
      },
      budgets: [
        { id: 'growth', limit: { usd: 5, images: 40 }, window: 'lifetime', scope: { teams: ['growth'] }, per: 'user' },
        { id: 'none', limit: { images: 0 }, window: 'lifetime', scope: { consumers: ['full'] } },
      ],
      pipelines: {
        images: [
          'authenticate',
          { plugin: 'rate-limit', config: { requests: 100, window: '1h', per: 'consumer' } },
          'parse',
          'route-resolve',
          'constrain',
          'budget',
          { plugin: 'fallback', config: { stages: ['provider-transform', 'dispatch', 'response-normalise'] } },
          'decode',
        ],
      },
    },
  );

beforeAll(async () => {
  other = await startFakeOpenAi({ alsoKnown: ['tenant-1'] });
  setting = await startSetting({ config: configOf, env });
});
afterAll(async () => {
  await setting.stop();
  await other.close();
});

interface Shown {
  readonly route: string | null;
  readonly operation: string | null;
  readonly refusal: Readonly<Record<string, unknown>> | null;
  readonly notes: readonly string[];
  readonly stages: readonly { readonly stage: string; readonly outcome: string; readonly stages: readonly object[] }[];
  readonly candidates: readonly {
    readonly place: number | null;
    readonly entity: string;
    readonly model: string;
    readonly rule: string | null;
    readonly price: { readonly cost_usd: number; readonly arithmetic: readonly string[] };
    readonly parameters: readonly { readonly name: string; readonly how: string }[];
    readonly requests: readonly {
      readonly method: string;
      readonly url: string;
      readonly headers: Readonly<Record<string, string>>;
      readonly body: unknown;
    }[];
  }[];
  readonly budgets: readonly object[];
  readonly rate_limits: readonly object[];
}

const ask = (question: object): Promise<Response> => postJson(`${setting.gateway.adminUrl}/api/explain`, question);

async function explain(question: object): Promise<Shown> {
  const sent = setting.fake.requests.length + other.requests.length;
  const answer = await ask({ consumer: 'web-app', ...question });
  const text = await answer.text();
  expect(answer.status, text).toBe(200);
  expect(setting.fake.requests.length + other.requests.length).toBe(sent);
  for (const secret of [upstreamKey, key, secretHeader]) expect(text).not.toContain(secret);
  return JSON.parse(text) as Shown;
}

const inCli = (question: readonly string[]) =>
  runGateway({ config: configOf(setting.fake), env, secrets: [secretHeader, upstreamKey, key] }, [
    'explain',
    ...question,
  ]);

const generate = (body: object): Promise<Response> =>
  postJson(
    `${setting.gateway.url}/v1/images/generations`,
    { prompt: 'a lighthouse', ...body },
    { authorization: `Bearer ${key}` },
  );

const order = ({ candidates }: Shown): readonly string[] =>
  candidates.filter(({ place }) => place !== null).map(({ entity, model }) => `${entity}/${model}`);

describe('explain over the admin API', () => {
  it('tells the candidates in the order in which requests take them, without taking a turn', async () => {
    for (let turn = 0; turn < 3; turn += 1) {
      const told = order(await explain({ model: 'turns' }));
      expect(order(await explain({ model: 'turns' }))).toEqual(told);
      const answer = await generate({ model: 'turns' });
      expect(`${answer.headers.get('x-pinhole-entity')}/${answer.headers.get('x-pinhole-model')}`).toBe(told[0]);
    }
  });

  it('tells who may not use which, and by which rule', async () => {
    const { candidates, refusal } = await explain({ model: 'mixed' });
    expect(refusal).toBeNull();
    expect(candidates.map(({ place, entity, model, rule }) => [place, `${entity}/${model}`, rule])).toEqual([
      [null, 'second/gpt-image-1.5', 'the consumer web-app: exclude second/gpt-image-1.5'],
      [null, 'openai-main/gpt-image-1-mini', 'the entity openai-main: exclude gpt-image-1-mini'],
      [1, 'openai-main/gpt-image-2', null],
      [2, 'second/gpt-image-1', null],
      [null, 'second/gpt-image-2.5-flare', 'the user alice: exclude .*flare'],
    ]);
  });

  it.each([
    [{ model: 'openai-main/gpt-image-2', size: '1024x1024', quality: 'high', n: 2 }, {}],
    [
      { model: 'openai-main/gpt-image-2', parameters: { output_format: 'webp', background: 'opaque' } },
      { output_format: 'webp', background: 'opaque' },
    ],
  ])('tells the request that the provider gets, to the letter', async (question, more) => {
    const { parameters: _parameters, ...members } = question as { parameters?: object };
    const { candidates } = await explain({ prompt: 'a lighthouse', ...question });
    const [request] = candidates[0]?.requests ?? [];
    await generate({ ...members, ...more });
    const sent = setting.fake.last();
    expect(request?.body).toEqual(sent.members);
    expect(request?.method).toBe(sent.method);
    expect(request?.url).toBe(`${setting.fake.origin}${sent.path}`);
    expect(request?.headers['authorization']).toBe('Bearer [redacted]');
    const own = Object.entries(request?.headers ?? {}).filter(([name]) => name !== 'authorization');
    expect(sent.headers).toMatchObject(Object.fromEntries(own));
  });

  it('tells of an edit with its pictures as notes', async () => {
    const { operation, route, candidates } = await explain({ model: 'openai-main/gpt-image-2', images: 2 });
    expect([operation, route]).toEqual(['edition', 'edit']);
    const [request] = candidates[0]?.requests ?? [];
    expect(request?.headers['content-type']).toBe('multipart/form-data');
    expect(request?.body).toContainEqual(expect.objectContaining({ name: 'image[]', content: '[picture]' }));
  });

  it('hides what the file took from elsewhere', async () => {
    const { candidates } = await explain({ consumer: 'plain', model: 'tenant/tenant-1' });
    expect(candidates[0]?.requests[0]?.headers).toMatchObject({
      'x-tenant': '[redacted]',
      authorization: 'Bearer [redacted]',
    });
  });

  it('tells the price, the budgets and the limits, where they stand, and reserves nothing', async () => {
    const question = { model: 'openai-main/gpt-image-2', size: '1024x1024', quality: 'high', n: 2 };
    const told = await explain(question);
    const { candidates, budgets, rate_limits: limits } = told;
    expect(candidates[0]?.price).toMatchObject({ kind: 'priced', origin: 'table' });
    const cost = candidates[0]?.price.cost_usd ?? 0;
    expect(budgets).toEqual([
      expect.objectContaining({ id: 'growth', per: 'user', value: 'alice', unit: 'images', reserves: 2, held: 0 }),
      expect.objectContaining({ id: 'growth', unit: 'usd', reserves: expect.stringMatching(/^0\.4/), limit: '5' }),
    ]);
    expect(Number((budgets[1] as { reserves: string }).reserves)).toBe(cost);
    expect(limits).toEqual([{ limit: '100 requests in 1h for each consumer', takes: 1 }]);
    const again = await explain(question);
    expect(again.budgets).toEqual(budgets);
    expect(again.rate_limits).toEqual(limits);
  });

  it('tells the stages in their order, and what becomes of each parameter', async () => {
    const { stages, candidates } = await explain({
      model: 'openai-main/gpt-image-2',
      n: 2,
      parameters: { output_format: 'webp', style: 'vivid', sampler: 'x' },
    });
    expect(stages.map(({ stage }) => stage)).toEqual([
      'authenticate',
      'rate-limit',
      'parse',
      'route-resolve',
      'constrain',
      'budget',
      'fallback',
      'decode',
    ]);
    expect(stages[6]?.stages).toMatchObject([
      { stage: 'provider-transform', outcome: 'told' },
      { stage: 'dispatch', outcome: 'runs' },
      { stage: 'response-normalise', outcome: 'runs' },
    ]);
    const fates = new Map(candidates[0]?.parameters.map(({ name, how }) => [name, how]));
    expect(Object.fromEntries(fates)).toEqual({
      n: 'native',
      output_format: 'native',
      style: 'dropped',
      sampler: 'passed',
    });
  });

  it.each([
    ['an unknown route', { route: '/nowhere' }, { status: 404, code: 'route_not_found' }],
    ['another method', { route: '/v1/models' }, { status: 405, code: 'method_not_allowed' }],
    ['an unknown consumer', { consumer: 'nobody' }, { status: 401, code: 'invalid_api_key' }],
    ['an expired key', { consumer: 'old-app' }, { status: 401, code: 'invalid_api_key' }],
    ['a model that is not allowed', { model: 'second/gpt-image-1.5' }, { status: 403, code: 'model_not_allowed' }],
    ['an entity that is asleep', { model: 'asleep/gpt-image-2' }, { status: 404, code: 'model_not_found' }],
    ['a bad value', { n: 99 }, { status: 400, code: 'invalid_value', param: 'n' }],
    ['a full budget', { consumer: 'full' }, { status: 429, code: 'budget_exceeded' }],
    [
      'a parameter that a route rejects',
      { route: 'strict', model: 'openai-main/gpt-image-2', parameters: { style: 'vivid' } },
      { status: 400, code: 'unsupported_parameter', param: 'style' },
    ],
  ])('says what a caller would get for %s', async (_, question, refusal) => {
    expect((await explain(question)).refusal).toMatchObject(refusal);
  });

  it('says the same as the caller gets', async () => {
    for (const model of ['second/gpt-image-1.5', 'asleep/x', 'mixed/y###']) {
      const { refusal } = await explain({ model });
      const answer = await generate({ model });
      const { error } = await jsonOf(answer);
      if (refusal === null) expect(answer.status).not.toBe(403);
      else expect({ status: answer.status, ...(error as object) }).toEqual(refusal);
    }
    expect((await explain({ model: 'asleep/x' })).notes).toEqual(['asleep is inactive: its token is empty']);
  });

  it('says that a key is missing where none is told', async () => {
    const answer = await jsonOf(await ask({ model: 'turns' }));
    expect(answer['refusal']).toMatchObject({ status: 401, code: 'missing_api_key' });
    expect(answer['stages']).toContainEqual(expect.objectContaining({ stage: 'authenticate', outcome: 'refuses' }));
    expect(answer['stages']).toContainEqual(expect.objectContaining({ stage: 'parse', outcome: 'not_reached' }));
  });

  it('refuses a question that is none, and one that is too large', async () => {
    for (const [question, param] of [
      [{ routes: 'x' }, 'routes'],
      [{ n: 'two' }, 'n'],
      [{ operation: 'paint' }, 'operation'],
      [{ operation: 'generation', images: 1 }, 'images'],
    ] as const) {
      const answer = await ask(question);
      expect(answer.status).toBe(400);
      expect(await jsonOf(answer)).toMatchObject({ error: { code: 'invalid_value', param } });
    }
    const large = await ask({ prompt: 'x'.repeat(200_000) });
    expect(large.status).toBe(413);
    const broken = await fetch(`${setting.gateway.adminUrl}/api/explain`, { method: 'POST', body: '[1' });
    expect(await jsonOf(broken)).toMatchObject({ error: { code: 'invalid_json' } });
  });
});

describe('explain on the command line', () => {
  it('says what the admin API says, but for counts', async () => {
    const question = { model: 'mixed', size: '1024x1024', n: 2, consumer: 'web-app' };
    const { code, stdout } = await inCli(
      '--model mixed --size 1024x1024 --n 2 --consumer web-app --format json'.split(' '),
    );
    expect(code).toBe(0);
    const { budgets, rate_limits: limits, ...told } = JSON.parse(stdout) as Shown;
    const { budgets: counted, rate_limits: taken, ...same } = await explain(question);
    expect(told).toEqual(same);
    expect(budgets).toEqual(counted.map((budget) => ({ ...budget, used: null, held: null })));
    expect(limits).toEqual(taken);
  });

  it('prints it for people, without a secret', async () => {
    const { code, stdout } = await inCli(['--model', 'mixed', '--consumer', 'web-app', '--prompt', 'a lighthouse']);
    expect(code).toBe(0);
    for (const line of [
      'answer    it would be sent',
      '  1  openai-main/gpt-image-2 (openai)',
      'authorization: Bearer [redacted]',
      `POST ${setting.fake.baseUrl}/images/generations`,
      '"prompt": "a lighthouse"',
      'growth of alice: reserves',
    ]) {
      expect(stdout).toContain(line);
    }
  });

  it('ends with 1 where the caller would be refused, and with 2 where it is used wrongly', async () => {
    const refused = await inCli(['--model', 'second/gpt-image-1.5', '--consumer', 'web-app']);
    expect(refused.code).toBe(1);
    expect(refused.stdout).toContain('403 model_not_allowed (model)');
    const wrong = await inCli(['--n', 'two']);
    expect([wrong.code, wrong.stderr]).toEqual([2, '`--n` must be a whole number.\n']);
  });
});
