import { describe, expect, it } from 'vitest';
import { compilePattern } from '../../../src/pattern.ts';
import { anonymous, type Alias, type Caller, type Entity, type Route } from '../../../src/pipeline/settings.ts';
import { listModels } from '../../../src/transforms/list-models.ts';
import { makeCaller } from '../../fixtures/budget.ts';
import { filledBy, makeEntity, makeExchange, makeOperation, makeRoute, makeStageEnv } from '../../fixtures/exchange.ts';

const entities: readonly Entity[] = [
  makeEntity({
    id: 'openai-main',
    slugs: ['openai-provider'],
    operations: { generation: makeOperation(), edition: makeOperation({ model: 'gpt-image-1' }) },
  }),
  makeEntity({
    id: 'grok-main',
    slugs: ['grok'],
    providerNames: ['grok', 'x-ai'],
    operations: {
      generation: makeOperation({ model: 'grok-imagine' }),
      edition: makeOperation({ model: 'grok-edit', enabled: false }),
    },
  }),
  makeEntity({
    id: 'bare',
    slugs: [],
    operations: { generation: makeOperation({ model: undefined }), edition: makeOperation({ model: undefined }) },
  }),
  makeEntity({ id: 'closed', slugs: [], models: { include: [], exclude: [compilePattern('.*')] } }),
];
const alias = (name: string, entityId: string, model: string): Alias => ({
  name,
  strategy: 'failover',
  sticky: undefined,
  targets: [
    { entityId: 'inactive', model: 'gemini', weight: 1, priority: 0 },
    { entityId, model, weight: 1, priority: 0 },
  ],
});
const aliases = [
  alias('image-prod', 'grok-main', 'grok-imagine'),
  alias('asleep', 'inactive', 'gemini'),
  alias('team/fast', 'openai-main', 'gpt-image-1'),
];

interface Asked {
  readonly caller?: Caller;
  readonly id?: string;
  readonly route?: Partial<Route>;
}

async function ask({ caller = anonymous, id, route = {} }: Asked = {}): Promise<unknown> {
  const env = makeStageEnv({
    route: makeRoute({ operation: undefined, refs: [], ...route }),
    catalogue: {
      entities: new Map(entities.map((entity) => [entity.id, entity])),
      aliases: new Map(aliases.map((one) => [one.name, one])),
    },
    clock: { ...makeStageEnv().clock, now: () => 1_700_000_000_999 },
  });
  const exchange = makeExchange({ caller }, { request: { parameters: id === undefined ? {} : { id } } });
  const { response } = await filledBy(listModels.create({}, env)(exchange));
  if (response.kind !== 'body' || !(response.body instanceof Uint8Array)) throw new Error('not a document');
  expect(response).toMatchObject({ status: 200, headers: { 'content-type': 'application/json' } });
  return JSON.parse(Buffer.from(response.body).toString());
}

async function names(asked: Asked = {}): Promise<readonly string[]> {
  const { data } = (await ask(asked)) as { data: readonly { id: string }[] };
  return data.map(({ id }) => id);
}

const model = (id: string, ownedBy: string): object => ({
  id,
  object: 'model',
  created: 1_700_000_000,
  owned_by: ownedBy,
});
const filtered = (include: readonly string[], exclude: readonly string[] = []): Caller =>
  makeCaller({ models: [{ include: include.map(compilePattern), exclude: exclude.map(compilePattern) }] });

describe('list-models', () => {
  it('lists aliases and the models that entities name, in OpenAI’s form', async () => {
    expect(await ask()).toEqual({
      object: 'list',
      data: [
        model('image-prod', 'pinhole'),
        model('team/fast', 'pinhole'),
        model('openai-main/gpt-image-2', 'openai'),
        model('openai-main/gpt-image-1', 'openai'),
        model('grok-main/grok-imagine', 'grok'),
      ],
    });
  });

  it('lists only what the route’s refs serve, where it has any', async () => {
    expect(await names({ route: { refs: ['grok-main', 'inactive'] } })).toContain('grok-main/grok-imagine');
    expect(await names({ route: { refs: ['grok-main', 'inactive'] } })).not.toContain('openai-main/gpt-image-2');
  });

  it('lists only what the route allows', async () => {
    const models = { include: [], exclude: [compilePattern('gpt-.*')] };
    expect(await names({ route: { models } })).toEqual(['image-prod', 'grok-main/grok-imagine']);
  });

  it.each<[string, Caller, readonly string[]]>([
    ['a model', filtered(['gpt-image-1']), ['team/fast', 'openai-main/gpt-image-1']],
    ['an entity', filtered(['openai-main/.*']), ['team/fast', 'openai-main/gpt-image-2', 'openai-main/gpt-image-1']],
    ['an alias', filtered(['image-prod']), ['image-prod']],
    ['all but an alias', filtered([], ['image-prod', 'openai-provider/.*']), ['grok-main/grok-imagine']],
    ['nothing', filtered([], ['.*']), []],
  ])('lists only what this caller may use: %s', async (_, caller, expected) => {
    expect(await names({ caller })).toEqual(expected);
  });

  it('shows one model, slashes in its name included', async () => {
    expect(await ask({ id: 'openai-main/gpt-image-2' })).toEqual(model('openai-main/gpt-image-2', 'openai'));
    expect(await ask({ id: 'team/fast' })).toEqual(model('team/fast', 'pinhole'));
  });

  it.each(['gpt-image-9', '', 'asleep', 'bare/undefined', 'closed/gpt-image-2', 'grok-main/grok-edit'])(
    'does not find %j',
    async (id) => {
      await expect(ask({ id })).rejects.toMatchObject({ code: 'model_not_found', status: 404, param: 'model' });
    },
  );

  it('does not tell a model that the caller may not use from one that does not exist', async () => {
    const refusal = (id: string): Promise<unknown> =>
      ask({ id, caller: filtered(['image-prod']) }).catch((error: unknown) => String(error));
    const hidden = await refusal('openai-main/gpt-image-2');
    expect(hidden).toBe(((await refusal('openai-main/gpt-image-9')) as string).replace('image-9', 'image-2'));
  });
});
