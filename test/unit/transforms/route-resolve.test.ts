import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ImageCall } from '../../../src/pipeline/call.ts';
import { anonymous, type Alias, type Catalogue, type Entity, type Target } from '../../../src/pipeline/settings.ts';
import type { StageEnv } from '../../../src/pipeline/stage.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { createResolver, routeResolve } from '../../../src/transforms/route-resolve.ts';
import {
  filledBy,
  makeCall,
  makeCapabilities,
  makeEntity,
  makeExchange,
  makeOperation,
  makeRoute,
  makeStageEnv,
} from '../../fixtures/exchange.ts';

/** Generates, and does not edit. */
const onlyGenerates: Provider = {
  ...makeEntity().provider,
  capabilities: (_model, operation) => (operation === 'generation' ? makeCapabilities() : undefined),
};

const entities: readonly Entity[] = [
  makeEntity({ id: 'openai-main', slugs: ['openai-provider', 'openai_provider'] }),
  makeEntity({ id: 'hive-main', slugs: ['hive-pictures'], providerNames: ['hive'], provider: onlyGenerates }),
  makeEntity({
    id: 'grok-main',
    slugs: ['hive'],
    providerNames: ['grok', 'x-ai'],
    operations: { generation: makeOperation({ model: 'grok-imagine' }), edition: makeOperation({ enabled: false }) },
  }),
  makeEntity({ id: 'grok-spare', slugs: ['grok-main'], providerNames: ['grok', 'x-ai'] }),
  makeEntity({ id: 'elsewhere', slugs: ['nowhere'], providerNames: ['luma'] }),
];

const targets = [
  { entityId: 'grok-main', model: 'grok-imagine', weight: 1, priority: 0 },
  { entityId: 'elsewhere', model: 'photon-1', weight: 5, priority: 0 },
  { entityId: 'openai-main', model: 'gpt-image-2', weight: 3, priority: 0 },
];
const aliases: readonly Alias[] = [
  { name: 'image-prod', strategy: 'failover', sticky: undefined, targets },
  { name: 'in-turn', strategy: 'round_robin', sticky: undefined, targets },
  { name: 'by-weight', strategy: 'weighted', sticky: undefined, targets },
  { name: 'grok-main/fast', strategy: 'failover', sticky: undefined, targets: targets.slice(2) },
  { name: 'grok-main###fast', strategy: 'failover', sticky: undefined, targets: targets.slice(2) },
  { name: 'far-away', strategy: 'failover', sticky: undefined, targets: targets.slice(1, 2) },
];

const route = makeRoute({ refs: ['openai-main', 'gemini-main', 'hive-main', 'grok-main', 'grok-spare'] });
const catalogue: Partial<Catalogue> = {
  entities: new Map(entities.map((entity) => [entity.id, entity])),
  aliases: new Map(aliases.map((alias) => [alias.name, alias])),
  inactiveNames: new Set(['gemini-main', 'gemini-provider']),
};

type Resolve = (call: Partial<ImageCall>) => Promise<readonly string[]>;

/** The stage, which names what it found as `entity model`, and the alias after it. */
function createStage(env: Partial<Omit<StageEnv, 'catalogue'>> = {}, more: Partial<Catalogue> = {}): Resolve {
  const handle = routeResolve.create({}, makeStageEnv({ route, ...env, catalogue: { ...catalogue, ...more } }));
  return async function resolve(call) {
    const { candidates, target } = await filledBy(handle(makeExchange({ call: makeCall(call) })));
    expect(target).toBe(candidates[0]);
    return candidates.map(named);
  };
}

function named({ entity, model, alias }: Target): string {
  return [entity.id, model, ...(alias === undefined ? [] : [alias])].join(' ');
}

const resolve = createStage();

describe('route-resolve', () => {
  it.each([
    [undefined, 'openai-main gpt-image-2'],
    ['image-prod', 'grok-main grok-imagine image-prod'],
    ['grok-main/fast', 'openai-main gpt-image-2 grok-main/fast'],
    ['grok-main###fast', 'openai-main gpt-image-2 grok-main###fast'],
    ['grok-main###slow', 'grok-main slow'],
    ['openai_provider###gpt-image-2', 'openai-main gpt-image-2'],
    ['hive-main###black-forest-labs/flux-schnell', 'hive-main black-forest-labs/flux-schnell'],
    ['hive-main###a###b', 'hive-main a###b'],
    ['openai-main/gpt-image-2', 'openai-main gpt-image-2'],
    ['openai-provider/gpt-image-2', 'openai-main gpt-image-2'],
    ['openai_provider/gpt-image-2', 'openai-main gpt-image-2'],
    ['hive-main/black-forest-labs/flux-schnell', 'hive-main black-forest-labs/flux-schnell'],
    ['hive-pictures/z-image:16b', 'hive-main z-image:16b'],
    // An id goes before a slug, a slug before a provider type, and of two that fit the first in the route.
    ['grok-main/g', 'grok-main g'],
    ['hive/g', 'grok-main g'],
    ['grok/g', 'grok-main g'],
    ['x-ai/g', 'grok-main g'],
    ['openai/gpt-image-2', 'openai-main gpt-image-2'],
    // Whatever else has a slash or a colon is a model of the first ref.
    ['gpt-image-2', 'openai-main gpt-image-2'],
    ['z-image:16b', 'openai-main z-image:16b'],
    ['black-forest-labs/flux-schnell', 'openai-main black-forest-labs/flux-schnell'],
    ['elsewhere/photon-1', 'openai-main elsewhere/photon-1'],
    ['luma/photon-1', 'openai-main luma/photon-1'],
    ['openai-main/', 'openai-main openai-main/'],
    ['/gpt-image-2', 'openai-main /gpt-image-2'],
    ['OpenAI-Main/gpt-image-2', 'openai-main OpenAI-Main/gpt-image-2'],
    ['constructor/x', 'openai-main constructor/x'],
    ['__proto__', 'openai-main __proto__'],
  ])('takes the model %s for %s', async (model, found) => {
    expect((await resolve({ model }))[0]).toBe(found);
  });

  it.each([
    ['of an entity without a token', 'gemini-main/gemini-3.1-flash-image'],
    ['of an entity without a token, by its name', 'gemini-provider/gemini-3.1-flash-image'],
    ['of an entity without a token, by hashes', 'gemini-main###gemini-3.1-flash-image'],
    ['of an entity of another route, by hashes', 'elsewhere###photon-1'],
    ['of a provider type, by hashes', 'grok###g'],
    ['with hashes and nothing behind them', 'openai-main###'],
    ['that is an alias for something of other routes', 'far-away'],
  ])('does not find a model %s: %s', async (_, model) => {
    await expect(resolve({ model })).rejects.toMatchObject({ code: 'model_not_found', status: 404, param: 'model' });
  });

  it('finds by the precedence of the documentation, whatever the names', async () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd', 'e');
    const names = fc.uniqueArray(name, { maxLength: 2 });
    const entity = fc.record({ id: name, slugs: names, providerNames: fc.uniqueArray(name, { minLength: 1 }) });
    const world = fc.record({
      entities: fc.uniqueArray(entity, { minLength: 1, selector: ({ id }) => id }),
      refs: fc.uniqueArray(name, { minLength: 1 }),
      aliases: fc.uniqueArray(fc.constantFrom('a', 'b', 'a/b', 'b/c', 'c###d')),
      inactiveNames: names,
    });
    const model = fc.oneof(
      name,
      fc
        .tuple(name, fc.constantFrom('/', '###'), fc.constantFrom('', 'a', 'b/c', 'd###e', 'm:1'))
        .map((parts) => parts.join('')),
    );
    fc.assert(
      fc.property(world, model, (given, asked) => {
        const list = given.entities.map((one) => makeEntity(one));
        const refs = given.refs.flatMap((id) => list.find((one) => one.id === id) ?? []);
        fc.pre(refs.length > 0);
        const resolver = createResolver(
          makeRoute({ refs: given.refs }),
          makeStageEnv({
            catalogue: {
              entities: new Map(list.map((one) => [one.id, one])),
              aliases: new Map(given.aliases.map((alias) => [alias, aliasFor(alias, refs)])),
              inactiveNames: new Set(given.inactiveNames),
            },
          }).catalogue,
          (_alias, choices) => choices,
        );
        const expected = byTheBook(asked, refs, given);
        if (expected === undefined)
          expect(() => resolver(asked, { call: makeCall(), caller: anonymous, takesTurn: true })).toThrow(
            'does not exist',
          );
        else
          expect(resolver(asked, { call: makeCall(), caller: anonymous, takesTurn: true }).map(named)).toEqual([
            expected,
          ]);
      }),
      { numRuns: 2000 },
    );
  });

  it('says so when no entity of the route has a token', async () => {
    const error = { code: 'no_healthy_target', status: 503, retry: false };
    for (const model of [undefined, 'gpt-image-2', 'image-prod']) {
      await expect(createStage({ route: makeRoute({ refs: ['gemini-main'] }) })({ model })).rejects.toMatchObject(
        error,
      );
    }
  });

  it('asks for a model where the first ref has no default', async () => {
    const bare = makeEntity({
      operations: { generation: makeOperation({ model: undefined }), edition: makeOperation() },
    });
    const resolve = createStage({ route: makeRoute() }, { entities: new Map([['main', bare]]) });
    await expect(resolve({})).rejects.toMatchObject({ code: 'missing_required_parameter', param: 'model' });
    expect(await resolve({ operation: 'edition' })).toEqual(['main gpt-image-2']);
  });

  describe('with an alias', () => {
    const grok = (alias: string): string => `grok-main grok-imagine ${alias}`;
    const openai = (alias: string): string => `openai-main gpt-image-2 ${alias}`;

    it('gives its targets in their order for failover, but for those of other routes', async () => {
      for (let turn = 0; turn < 3; turn += 1) {
        expect(await resolve({ model: 'image-prod' })).toEqual([grok('image-prod'), openai('image-prod')]);
      }
    });

    it('begins with the next target at each call for round_robin, and goes on after a reload', async () => {
      const shared = new Map<string, unknown>();
      const share = <Value>(key: string, create: () => Value): Value => {
        if (!shared.has(key)) shared.set(key, create());
        return shared.get(key) as Value;
      };
      const firsts: unknown[] = [];
      for (let reload = 0; reload < 2; reload += 1) {
        const resolve = createStage({ share });
        for (let call = 0; call < 2; call += 1) firsts.push(await resolve({ model: 'in-turn' }));
      }
      const both = [grok('in-turn'), openai('in-turn')];
      expect(firsts).toEqual([both, both.toReversed(), both, both.toReversed()]);
    });

    it.each([
      [0, grok('by-weight')],
      [0.24, grok('by-weight')],
      [0.25, openai('by-weight')],
      [0.99, openai('by-weight')],
    ])('begins with the target that the weights give at %d, the others being second choices', async (random, first) => {
      const found = await createStage({ random: () => random })({ model: 'by-weight' });
      expect(found[0]).toBe(first);
      expect(found.toSorted()).toEqual([grok('by-weight'), openai('by-weight')]);
    });
  });

  it('takes the caller’s fallbacks for further candidates, in any spelling', async () => {
    const fallbacks = ['hive/g', 'grok-main/fast', 'hive-main###flux'];
    expect(await resolve({ model: 'gpt-image-2', fallbacks })).toEqual([
      'openai-main gpt-image-2',
      'grok-main g',
      'openai-main gpt-image-2 grok-main/fast',
      'hive-main flux',
    ]);
  });

  it('gives what is asked for twice once, and each alias by itself', async () => {
    const fallbacks = ['openai-main/gpt-image-2', 'image-prod', 'grok-main/fast', 'gpt-image-2'];
    expect(await resolve({ model: 'gpt-image-2', fallbacks })).toEqual([
      'openai-main gpt-image-2',
      'grok-main grok-imagine image-prod',
      'openai-main gpt-image-2 image-prod',
      'openai-main gpt-image-2 grok-main/fast',
    ]);
  });

  it('says of a fallback that there is no such model on this route [G17]', async () => {
    for (const fallback of ['gemini-main/x', 'elsewhere###photon-1', 'far-away']) {
      const refused = resolve({ model: 'gpt-image-2', fallbacks: [fallback] });
      await expect(refused).rejects.toMatchObject({ code: 'model_not_found', param: 'fallbacks', status: 404 });
    }
  });

  it('gives only what the route’s kinds of providers may serve [A09]', async () => {
    const narrow = createStage({ route: { ...route, allowProviders: new Set(['x-ai']) } });
    expect(await narrow({ model: 'grok-main/g', fallbacks: ['openai-main/gpt-image-2'] })).toEqual(['grok-main g']);
    const refused = narrow({ model: 'openai-main/gpt-image-2' });
    await expect(refused).rejects.toMatchObject({ code: 'invalid_value', param: 'model', status: 400 });
  });

  describe('for a call without a prompt', () => {
    const upscaler: Provider = {
      ...makeEntity().provider,
      capabilities: (model) => makeCapabilities({ promptOptional: model === 'upscale' }),
    };
    const tools = new Map([['openai-main', makeEntity({ id: 'openai-main', provider: upscaler })]]);
    const resolve = createStage({}, { entities: tools });
    const prompt = undefined;

    it('gives the models that need none [I06]', async () => {
      expect(await resolve({ prompt, model: 'upscale' })).toEqual(['openai-main upscale']);
      expect(await resolve({ prompt, model: 'draw', fallbacks: ['upscale'] })).toEqual(['openai-main upscale']);
    });

    it('says that it is missing for all others', async () => {
      const missing = { code: 'missing_required_parameter', param: 'prompt', status: 400 };
      await expect(resolve({ prompt, model: 'draw' })).rejects.toMatchObject(missing);
      await expect(resolve({ prompt: '', model: 'draw' })).rejects.toMatchObject(missing);
    });
  });

  describe('for an operation that not every candidate has', () => {
    const edition = { operation: 'edition' } as const;

    it('gives those that have it', async () => {
      expect(await resolve({ ...edition, model: 'image-prod' })).toEqual(['openai-main gpt-image-2 image-prod']);
      expect(await resolve({ ...edition, model: 'hive-main/flux', fallbacks: ['gpt-image-2'] })).toEqual([
        'openai-main gpt-image-2',
      ]);
    });

    it('says that it is switched off', async () => {
      const refused = resolve({ ...edition, model: 'grok-main/g', fallbacks: ['hive-main/flux'] });
      await expect(refused).rejects.toMatchObject({ code: 'operation_not_enabled', status: 400 });
    });

    it('says that the provider has no such operation', async () => {
      const refused = resolve({ ...edition, model: 'hive-main/flux', fallbacks: ['grok-main/g'] });
      await expect(refused).rejects.toMatchObject({ code: 'operation_not_supported', status: 501, retry: false });
    });
  });
});

function aliasFor(name: string, [first]: readonly Entity[]): Alias {
  return {
    name,
    strategy: 'failover',
    sticky: undefined,
    targets: [{ entityId: first?.id ?? '', model: 'aliased', weight: 1, priority: 0 }],
  };
}

/** What design.md says, rule by rule; undefined: there is no such model. */
function byTheBook(
  asked: string,
  refs: readonly Entity[],
  { aliases, inactiveNames }: { readonly aliases: readonly string[]; readonly inactiveNames: readonly string[] },
): string | undefined {
  const [first] = refs;
  if (aliases.includes(asked)) return `${first?.id} aliased ${asked}`;
  const entityNamed = (name: string): Entity | undefined =>
    refs.find(({ id }) => id === name) ?? refs.find(({ slugs }) => slugs.includes(name));
  const hashes = /^(.*?)###(.*)$/.exec(asked);
  if (hashes !== null) {
    const entity = entityNamed(hashes[1] ?? '');
    return entity === undefined || hashes[2] === '' ? undefined : `${entity.id} ${hashes[2]}`;
  }
  const slash = /^(.*?)\/(.+)$/.exec(asked);
  const prefix = slash?.[1] ?? '';
  const entity = entityNamed(prefix) ?? refs.find(({ providerNames }) => providerNames.includes(prefix));
  if (slash !== null && entity !== undefined) return `${entity.id} ${slash[2]}`;
  if (slash !== null && inactiveNames.includes(prefix)) return undefined;
  return `${first?.id} ${asked}`;
}
