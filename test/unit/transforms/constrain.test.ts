import { describe, expect, it } from 'vitest';
import type { ModelFilter } from '../../../src/model-filter.ts';
import { compilePattern } from '../../../src/pattern.ts';
import { anonymous, type Target } from '../../../src/pipeline/settings.ts';
import { constrain } from '../../../src/transforms/constrain.ts';
import { makeCaller } from '../../fixtures/budget.ts';
import { filledBy, makeEntity, makeExchange, makeRoute, makeStageEnv, makeTarget } from '../../fixtures/exchange.ts';

interface Rules {
  readonly entity?: ModelFilter;
  readonly route?: ModelFilter;
  readonly consumer?: ModelFilter;
  readonly user?: ModelFilter;
}

const only = (...include: readonly string[]): ModelFilter => ({ include: include.map(compilePattern), exclude: [] });
const not = (...exclude: readonly string[]): ModelFilter => ({ include: [], exclude: exclude.map(compilePattern) });

/** The models that are left of these candidates; all are of the entity `openai-main`, whose name is "OpenAI Provider". */
async function left(rules: Rules, models: readonly string[], alias?: string): Promise<readonly string[]> {
  const entity = makeEntity({
    id: 'openai-main',
    slugs: ['openai-provider', 'openai_provider'],
    ...(rules.entity === undefined ? {} : { models: rules.entity }),
  });
  const candidates = models.map((model) => makeTarget({ entity, model, alias }));
  const callerFilters = [rules.consumer, rules.user].flatMap((filter) => filter ?? []);
  return (await judge(candidates, rules.route, callerFilters)).map(({ model }) => model);
}

async function judge(
  candidates: readonly Target[],
  route: ModelFilter | undefined,
  callerFilters: readonly ModelFilter[] | undefined,
): Promise<readonly Target[]> {
  const env = makeStageEnv({ route: makeRoute(route === undefined ? {} : { models: route }) });
  const caller = callerFilters === undefined ? anonymous : makeCaller({ models: callerFilters });
  const exchange = makeExchange({ caller, candidates, target: candidates[0] ?? makeTarget() });
  const filled = await filledBy(constrain.create({}, env)(exchange));
  expect(filled.target).toBe(filled.candidates[0]);
  return filled.candidates;
}

const refusal = { code: 'model_not_allowed', status: 403, param: 'model' };

describe('constrain', () => {
  it('keeps every candidate, in order, where nobody has a rule', async () => {
    expect(await left({}, ['b', 'a', 'c'])).toEqual(['b', 'a', 'c']);
  });

  describe.each(['entity', 'route', 'consumer', 'user'] as const)('by the rules of the %s alone', (whose) => {
    it('keeps what is included', async () => {
      expect(await left({ [whose]: only('gpt-image-.*') }, ['dall-e-3', 'gpt-image-2', 'gpt-image-1'])).toEqual([
        'gpt-image-2',
        'gpt-image-1',
      ]);
    });

    it('drops what is excluded', async () => {
      expect(await left({ [whose]: not('.*-2', 'dall-e-3') }, ['dall-e-3', 'gpt-image-2', 'gpt-image-1'])).toEqual([
        'gpt-image-1',
      ]);
    });

    it('drops what is both', async () => {
      const both = { ...only('gpt-.*'), exclude: not('.*-2').exclude };
      expect(await left({ [whose]: both }, ['gpt-image-2', 'gpt-image-1'])).toEqual(['gpt-image-1']);
    });

    it('matches the whole name', async () => {
      await expect(left({ [whose]: only('gpt-image') }, ['gpt-image-2'])).rejects.toMatchObject(refusal);
      expect(await left({ [whose]: not('gpt-image') }, ['gpt-image-2'])).toEqual(['gpt-image-2']);
    });

    it('refuses the call when nothing is left', async () => {
      await expect(left({ [whose]: not('.*') }, ['gpt-image-2', 'gpt-image-1'])).rejects.toMatchObject(refusal);
    });
  });

  it('asks everybody: each can forbid what the others allow', async () => {
    const rules = { entity: not('a'), route: not('b'), consumer: not('c'), user: not('d') };
    expect(await left(rules, ['a', 'b', 'c', 'd', 'e'])).toEqual(['e']);
  });

  const spellings = [
    'gpt-image-2',
    'openai-main/gpt-image-2',
    'openai-provider/gpt-image-2',
    'openai_provider/gpt-image-2',
  ];

  it.each([...spellings, 'image-prod'])('knows a model in the rules of callers and routes as %s', async (spelling) => {
    for (const whose of ['route', 'consumer', 'user']) {
      expect(await left({ [whose]: only(spelling) }, ['gpt-image-2'], 'image-prod')).toEqual(['gpt-image-2']);
      await expect(left({ [whose]: not(spelling) }, ['gpt-image-2'], 'image-prod')).rejects.toMatchObject(refusal);
    }
  });

  it('does not take an alias for allowed because what stands behind it is called otherwise', async () => {
    await expect(left({ consumer: not('gpt-image-2') }, ['gpt-image-2'], 'image-prod')).rejects.toMatchObject(refusal);
  });

  it('reads the rules of an entity as rules on the bare model', async () => {
    await expect(left({ entity: only('openai-main/.*') }, ['gpt-image-2'])).rejects.toMatchObject(refusal);
    expect(await left({ entity: not('image-prod', 'openai-main/.*') }, ['gpt-image-2'], 'image-prod')).toHaveLength(1);
  });

  it('judges each candidate by its own entity, fallbacks and alias targets alike', async () => {
    const first = makeTarget({ entity: makeEntity({ id: 'first', models: not('m') }), model: 'm' });
    const second = makeTarget({ entity: makeEntity({ id: 'second', slugs: [] }), model: 'm' });
    const third = makeTarget({ entity: makeEntity({ id: 'third', slugs: [] }), model: 'm' });
    expect(await judge([first, second, third], undefined, [not('third/.*')])).toEqual([second]);
  });

  it('gives the anonymous caller what the entity and the route allow', async () => {
    expect(await judge([makeTarget({ model: 'a' }), makeTarget({ model: 'b' })], not('a'), undefined)).toMatchObject([
      { model: 'b' },
    ]);
  });

  it('names what was asked for, not what stands behind it', async () => {
    await expect(left({ user: not('.*') }, ['gpt-image-2'], 'image-prod')).rejects.toThrow('`image-prod`');
    await expect(left({ user: not('.*') }, ['gpt-image-2'])).rejects.toThrow('`gpt-image-2`');
  });
});
