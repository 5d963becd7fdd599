import { hash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { builtIn } from '../../../src/gateway.ts';
import { everyModel, filterAllows } from '../../../src/model-filter.ts';
import { extendRegistry, type Registry } from '../../../src/pipeline/registry.ts';
import type { Catalogue } from '../../../src/pipeline/settings.ts';
import { ConfigError } from '../../../src/pipeline/stage.ts';
import { defineProvider, type ProviderDefinition } from '../../../src/providers/provider.ts';
import { compileCatalogue } from '../../../src/runtime/catalogue.ts';
import { systemClock } from '../../../src/runtime/clock.ts';
import { createResources, type ResourceLease } from '../../../src/runtime/resources.ts';
import { makeEntity, silentLog } from '../../fixtures/exchange.ts';
import { openAiRoutes, sandboxEntity } from '../../fixtures/gateway-config.ts';
import { priceQuestion } from '../../fixtures/prices.ts';
import { loadFile } from './config-file.ts';

describe('entities', () => {
  it('are there by id, in the order of the file, each with its names, options and defaults', async () => {
    const { catalogue } = await compiled({
      image_models: [openAi('openai-main', { name: 'OpenAI Provider', models: { exclude: ['dall-e-.*'] } }), sandbox],
    });
    expect([...catalogue.entities.keys()]).toEqual(['openai-main', 'sandbox']);
    expect(catalogue.entities.get('openai-main')).toMatchObject({
      name: 'OpenAI Provider',
      slugs: ['openai-provider', 'openai_provider'],
      providerNames: ['openai'],
      timeoutMs: 180_000,
      operations: {
        generation: { enabled: true, model: 'gpt-image-2', parameters: { n: 2, quality: 'low', outputFormat: 'webp' } },
        edition: { enabled: false },
      },
    });
    expect(catalogue.entities.get('sandbox')).toMatchObject({
      name: 'sandbox',
      slugs: ['sandbox'],
      models: everyModel,
    });
  });

  it('allow the models that their own rules allow', async () => {
    const { catalogue } = await compiled({ image_models: [openAi('main', { models: { exclude: ['dall-e-.*'] } })] });
    const models = catalogue.entities.get('main')?.models ?? everyModel;
    expect([filterAllows(models, ['gpt-image-2']), filterAllows(models, ['dall-e-3'])]).toEqual([true, false]);
  });

  it('take their tokens in turn, and hide them', async () => {
    const { catalogue } = await compiled({ image_models: [openAi('main', {}, 'sk-a,sk-b')] });
    const tokens = catalogue.entities.get('main')?.tokens;
    expect([tokens?.next('m')?.reveal(), tokens?.next('m')?.reveal(), tokens?.next('m')?.reveal()]).toEqual([
      'sk-a',
      'sk-b',
      'sk-a',
    ]);
    expect(JSON.stringify(catalogue.entities.get('main'))).not.toContain('sk-');
  });

  it('never show a token to the provider', async () => {
    const seen: unknown[] = [];
    const nosy = provider('nosy', (settings) => {
      seen.push(settings);
      return makeEntity().provider;
    });
    const config = { connection: { token: 'sk-a', timeout: 5, base_url: 'https://nosy.example' }, options: {} };
    await compiled(
      { image_models: [{ id: 'nosy', provider: 'nosy', config }] },
      extendRegistry(builtIn, { providers: [nosy] }),
    );
    expect(seen).toEqual([{ connection: { base_url: 'https://nosy.example', timeout: 5, token: '' }, options: {} }]);
  });

  it('without a token are left out, and their names remembered', async () => {
    const { catalogue, problems } = await compiled({
      image_models: [openAi('openai-main', { name: 'OpenAI Provider' }, ' , '), openAi('other', {}, ''), sandbox],
    });
    expect([...catalogue.entities.keys()]).toEqual(['sandbox']);
    expect([...catalogue.inactiveNames].toSorted()).toEqual([
      'openai-main',
      'openai-provider',
      'openai_provider',
      'other',
    ]);
    expect(problems).toEqual([]);
  });

  it('that are active keep a name that an inactive one has as well', async () => {
    const { catalogue } = await compiled({
      image_models: [openAi('a', { name: 'Painter' }, ''), openAi('b', { name: 'painter' })],
    });
    expect([...catalogue.inactiveNames]).toEqual(['a']);
  });

  it('keep their place in the ring and their connections over a reload, unless the token or the origin changes', async () => {
    const resources = createResources(silentLog);
    const main = (token: string, baseUrl: string) => ({
      image_models: [openAi('main', {}, token, baseUrl)],
    });
    const after = async (token: string, baseUrl: string) => {
      const { catalogue, opened } = await compiled(main(token, baseUrl), builtIn, resources.lease());
      return [catalogue.entities.get('main')?.tokens.next('m')?.reveal(), opened];
    };
    expect(await after('sk-a,sk-b', 'https://one.example/v1')).toEqual(['sk-a', 1]);
    expect(await after('sk-a,sk-b', 'https://one.example/v2')).toEqual(['sk-b', 0]);
    expect(await after('sk-a,sk-b', 'https://two.example/v1')).toEqual(['sk-a', 1]);
    expect(await after('sk-c,sk-b', 'https://two.example/v1')).toEqual(['sk-c', 0]);
  });

  it('do not share connections with another entity of the same origin', async () => {
    const { opened } = await compiled({ image_models: [openAi('one'), openAi('two')] });
    expect(opened).toBe(2);
  });

  it.each([
    ['a part of its config', new ConfigError('/connection/base_url', 'no such region'), '/connection/base_url'],
    ['its config as a whole', new Error('no such region'), ''],
    ['a part of it among others', new AggregateError([new ConfigError('/options', 'no such region')]), '/options'],
  ])('whose provider refuses %s are reported there', async (_, error, below) => {
    const picky = provider('picky', () => {
      throw error;
    });
    const { catalogue, problems } = await compiled(
      { image_models: [sandbox, { id: 'p', provider: 'picky', config: {} }] },
      extendRegistry(builtIn, { providers: [picky] }),
    );
    expect(problems).toEqual([[`/image_models/1/config${below}`, 'no such region']]);
    expect([...catalogue.entities.keys()]).toEqual(['sandbox']);
  });

  it('send to the origin of their provider, to what it reaches besides, and to no other', async () => {
    const roaming = provider('roaming', () => ({
      ...makeEntity().provider,
      origin: 'https://api.roaming.test',
      reaches: (origin) => origin === 'https://eu.roaming.test',
    }));
    const { catalogue, sent } = await compiled(
      { image_models: [{ id: 'r', provider: 'roaming', config: {} }] },
      extendRegistry(builtIn, { providers: [roaming] }),
    );
    const send = async (url: string): Promise<unknown> => {
      const request = { method: 'GET', url, headers: {}, body: { kind: 'none' } } as const;
      const options = { signal: new AbortController().signal, maxReplyBytes: 1, onSent() {} };
      return catalogue.entities.get('r')?.client.send(request, options);
    };
    await expect(send('https://api.roaming.test/a')).rejects.toThrow('nothing is sent here');
    await expect(send('https://eu.roaming.test/b')).rejects.toThrow('nothing is sent here');
    for (const url of ['https://roaming.test/c', 'http://api.roaming.test/d', 'https://api.roaming.test:8443/e']) {
      await expect(send(url)).rejects.toMatchObject({ code: 'upstream_invalid_response' });
    }
    expect(sent).toEqual(['https://api.roaming.test/a', 'https://eu.roaming.test/b']);
  });

  it('are handed to their provider with everything that their config says, but for the token', async () => {
    const seen: unknown[] = [];
    const open = defineProvider({
      ...provider('open', () => makeEntity().provider),
      create: (config: unknown) => {
        seen.push(config);
        return makeEntity().provider;
      },
    });
    const config = { connection: { token: 'sk-x', region: 'north' }, operations: { generation: {} } };
    await compiled(
      { image_models: [{ id: 'o', provider: 'open', config }] },
      extendRegistry(builtIn, { providers: [open] }),
    );
    expect(seen).toEqual([{ connection: { token: '', region: 'north' }, operations: { generation: {} }, options: {} }]);
  });

  it('that need no network have nothing to send with', async () => {
    const { catalogue, opened } = await compiled({ image_models: [sandbox] });
    expect(opened).toBe(0);
    const signal = new AbortController().signal;
    const request = { method: 'GET', url: 'http://127.0.0.1/', headers: {}, body: { kind: 'none' } } as const;
    const sent = catalogue.entities.get('sandbox')?.client.send(request, { signal, maxReplyBytes: 1, onSent() {} });
    await expect(sent).rejects.toThrow('this provider has no network');
  });
});

describe('aliases', () => {
  it('name targets by entity and model, whose own slashes stay', async () => {
    const { catalogue } = await compiled({
      aliases: {
        'test/test': { targets: ['sandbox/sandbox-1'] },
        mixed: {
          strategy: 'weighted',
          targets: [{ target: 'sandbox/black-forest-labs/flux', weight: 3 }, 'sandbox/b'],
        },
      },
    });
    expect([...catalogue.aliases.values()]).toEqual([
      {
        name: 'test/test',
        strategy: 'failover',
        sticky: undefined,
        targets: [{ entityId: 'sandbox', model: 'sandbox-1', weight: 1, priority: 0 }],
      },
      {
        name: 'mixed',
        strategy: 'weighted',
        sticky: undefined,
        targets: [
          { entityId: 'sandbox', model: 'black-forest-labs/flux', weight: 3, priority: 0 },
          { entityId: 'sandbox', model: 'b', weight: 1, priority: 0 },
        ],
      },
    ]);
  });
});

describe('consumers', () => {
  it('are found by the hash of their key, whether the file has the key or the hash', async () => {
    const { catalogue } = await compiled({
      consumers: [
        { id: 'by-key', key: 'ph-one', team: 'growth' },
        { id: 'by-hash', key_sha256: hash('sha256', 'ph-two').toUpperCase() },
      ],
    });
    const found = (key: string) => catalogue.consumersByKeyHash.get(hash('sha256', key));
    const consumer = { id: 'by-key', user: undefined, team: 'growth', models: [], budgets: [], metadata: {} };
    expect(found('ph-one')).toEqual({ consumer, enabled: true, expiresAtMs: Infinity, addresses: undefined });
    expect(found('ph-two')).toMatchObject({ consumer: { id: 'by-hash' } });
    expect(found('ph-three')).toBeUndefined();
    expect(JSON.stringify([...catalogue.consumersByKeyHash])).not.toContain('ph-');
  });

  it('have their own rules and those of their user, each by itself', async () => {
    const { catalogue } = await compiled({
      consumers: [
        { id: 'app', key: 'ph-one', user: 'alice', models: { include: ['sandbox/.*'] } },
        { id: 'job', key: 'ph-two', user: 'alice' },
        { id: 'cron', key: 'ph-three', user: 'bob' },
      ],
      users: [{ id: 'alice', models: { exclude: ['.*-hd'] } }, { id: 'bob' }],
    });
    const consumers = Array.from(catalogue.consumersByKeyHash.values(), ({ consumer }) => consumer);
    const rules = (id: string) => consumers.find((one) => one.id === id)?.models ?? [];
    const allows = (id: string, model: string): boolean => rules(id).every((filter) => filterAllows(filter, [model]));
    expect([rules('app').length, rules('job').length, rules('cron').length]).toEqual([2, 1, 0]);
    expect(['sandbox/a', 'sandbox/a-hd', 'other/a'].map((model) => allows('app', model))).toEqual([true, false, false]);
    expect(['other/a', 'other/a-hd'].map((model) => allows('job', model))).toEqual([true, false]);
  });

  it('may have several keys, of which each ends with itself or with the consumer', async () => {
    const { catalogue } = await compiled({
      consumers: [
        {
          id: 'app',
          key: 'ph-one',
          keys: [
            'ph-two',
            { key: 'ph-three', expires_at: '2027-01-31', note: 'the old one' },
            { key_sha256: hash('sha256', 'ph-four'), expires_at: '2029-01-31T12:00:00+01:00' },
          ],
          expires_at: '2028-01-31',
          enabled: false,
          ip_allow: ['10.0.0.0/8'],
          metadata: { tier: 'gold', seats: 3, trial: false },
        },
        { id: 'only-more', keys: ['ph-five'] },
      ],
    });
    const found = (key: string) => catalogue.consumersByKeyHash.get(hash('sha256', key));
    const ends = ['one', 'two', 'three', 'four', 'five'].map((name) => found(`ph-${name}`)?.expiresAtMs);
    const [early, late] = [Date.UTC(2027, 0, 31), Date.UTC(2028, 0, 31)];
    expect(ends).toEqual([late, late, early, late, Infinity]);
    expect(new Set(['one', 'two', 'three', 'four'].map((name) => found(`ph-${name}`)?.consumer)).size).toBe(1);
    expect(found('ph-one')).toMatchObject({
      enabled: false,
      consumer: { metadata: { tier: 'gold', seats: 3, trial: false } },
    });
    expect(found('ph-one')?.addresses?.contains('10.1.1.1')).toBe(true);
    expect(JSON.stringify([...catalogue.consumersByKeyHash])).not.toContain('ph-');
  });

  it('are none in an open gateway', async () => {
    const { catalogue } = await compiled({});
    expect(catalogue.consumersByKeyHash.size).toBe(0);
  });
});

describe('budgets', () => {
  it('have their scope as names and patterns, and none for what the file leaves out', async () => {
    const { catalogue } = await compiled({
      consumers: ['growth', 'growth-eu'].map((team) => ({ id: team, key: `key of ${team}`, team })),
      budgets: [
        {
          id: 'growth',
          limit: { images: 5 },
          window: 'month',
          time_zone: 'Europe/Berlin',
          scope: { teams: ['growth', 'growth-eu'], models: ['sandbox/.*'] },
          per: 'team',
          on_exceed: 'warn',
          alert_at: [100, 80],
          abandoned: 'release',
        },
        { id: 'rolling', limit: { images: 5 }, rolling: '30d' },
      ],
      alerts: {
        webhook: { url: 'https://hooks.test/a', secret: 'a-secret-of-16-letters', headers: { 'X-Key': 'abc' } },
      },
    });
    const [budget, rolling] = catalogue.budgets;
    expect(rolling).toMatchObject({ window: { rollingMs: 30 * 86_400_000 }, alertAt: [] });
    expect(catalogue.alertWebhook).toMatchObject({ url: 'https://hooks.test/a', timeoutMs: 10_000 });
    expect(catalogue.alertWebhook?.secret?.reveal()).toBe('a-secret-of-16-letters');
    expect(catalogue.alertWebhook?.headers['x-key']?.reveal()).toBe('abc');
    expect(budget).toMatchObject({
      id: 'growth',
      limitImages: 5,
      window: 'month',
      timeZone: 'Europe/Berlin',
      per: 'team',
      onExceed: 'warn',
      alertAt: [80, 100],
      abandoned: 'release',
    });
    const { models, teams, ...others } = budget?.scope ?? { models: undefined, teams: undefined };
    expect(Object.values(others)).toEqual([undefined, undefined, undefined, undefined, undefined]);
    expect(['growth', 'growth-eu', 'growth-us'].map((team) => teams?.has(team))).toEqual([true, true, false]);
    expect(models && [filterAllows(models, ['sandbox/a']), filterAllows(models, ['a'])]).toEqual([true, false]);
  });
});

describe('prices', () => {
  const compatible = {
    id: 'local',
    provider: 'openai-compatible',
    config: { connection: { base_url: 'http://127.0.0.1:9', provider_name: 'localai' } },
  };
  const asleep = { id: 'grok-main', provider: 'x-ai', config: {} };

  it('are those of the file before those of the table, for each entity by all names of its provider', async () => {
    const prices = [
      { provider: 'x-ai', model: 'grok-next', per_image: 0.3 },
      { provider: 'openai-compatible', model: 'flux', per_image: 0.1 },
      { entity: 'sandbox', model: '*', per_image: '${env:PRICE:-0.04}' },
    ];
    const { catalogue } = await compiled({ image_models: [compatible, asleep, sandbox], prices });
    const priceOf = (provider: string, entity: string, model: string) =>
      catalogue.prices.estimate(priceQuestion({ provider, entity, model }));
    const priced = (nanoUsd: number) => ({ kind: 'priced', nanoUsd, basis: 'per_image' });
    expect(priceOf('sandbox', 'sandbox', 'sandbox-1')).toEqual(priced(40_000_000));
    expect(priceOf('grok', 'grok-main', 'grok-next')).toEqual(priced(300_000_000));
    expect(priceOf('x-ai', 'grok-main', 'grok-next')).toEqual(priced(300_000_000));
    expect(priceOf('grok', '', 'grok-next')).toEqual(priced(300_000_000));
    expect(priceOf('localai', 'local', 'flux')).toEqual(priced(100_000_000));
    expect(priceOf('openai-compatible', 'local', 'other')).toEqual(priced(0));
    expect(priceOf('openai-compatible', '', 'other')).toEqual({ kind: 'unpriced' });
  });

  it('are those of the table where the file has none, and unpriced calls are refused unless it says otherwise', async () => {
    const { catalogue } = await compiled({});
    expect(catalogue.prices.estimate(priceQuestion())).toMatchObject({ nanoUsd: 211_000_000 });
    expect(catalogue.prices.estimate(priceQuestion({ provider: 'sandbox', entity: 'sandbox' }))).toMatchObject({
      nanoUsd: 0,
    });
    expect(catalogue.unpriced).toBe('reject');
    expect((await compiled({ unpriced: 'allow' })).catalogue.unpriced).toBe('allow');
  });
});

describe('hosting', () => {
  const files = { id: 'files', path: '/files/:name', methods: ['GET'], pipeline: ['serve-image'] };
  const routes = openAiRoutes(['sandbox']).filter(({ id }) => id !== files.id);

  it('gives links the path of the first route that serves pictures', async () => {
    const asleep = {
      ...files,
      id: 'asleep',
      path: '/old/:name',
      pipeline: [{ plugin: 'serve-image', enabled: false }, 'forward'],
    };
    const second = { ...files, id: 'second', path: '/second/:name' };
    const upstream = { url: 'https://upstream.example' };
    const { catalogue } = await compiled({
      server: { listen: '127.0.0.1:0', public_url: 'https://pictures.example/base//' },
      routes: [...routes, { ...asleep, upstream }, files, second],
    });
    expect(catalogue.hosting).toEqual({ publicUrl: 'https://pictures.example/base', path: '/files/:name' });
  });

  it('knows pipelines by name', async () => {
    const { catalogue } = await compiled({
      pipelines: {
        images: ['parse', 'route-resolve', 'provider-transform', 'dispatch', 'response-normalise'],
        files: ['serve-image'],
      },
      routes: [...routes, { ...files, pipeline: 'files' }],
    });
    expect(catalogue.hosting).toEqual({ publicUrl: undefined, path: '/files/:name' });
  });

  it('is impossible without such a route', async () => {
    const { catalogue } = await compiled({ routes });
    expect(catalogue.hosting).toEqual({ publicUrl: undefined, path: undefined });
  });
});

const sandbox = sandboxEntity();

function openAi(id: string, more: object = {}, token = 'sk-test', baseUrl = 'https://api.openai.com/v1') {
  const generation = { model: 'gpt-image-2', n: 2, quality: 'low', output_format: 'webp' };
  return {
    id,
    provider: 'openai',
    config: { connection: { base_url: baseUrl, token }, options: { generation } },
    ...more,
  };
}

function provider(name: string, create: ProviderDefinition['create']): ProviderDefinition {
  return defineProvider({ name, aliases: [], schema: { type: 'object' }, tokenOptional: true, models: [], create });
}

interface Compiled {
  readonly catalogue: Catalogue;
  /** Pointer and message of each. */
  readonly problems: readonly (readonly [string, string])[];
  /** How many providers' connections were opened. */
  readonly opened: number;
  /** Addresses to which something was sent. */
  readonly sent: readonly string[];
}

async function compiled(
  given: Readonly<Record<string, unknown>>,
  registry: Registry = builtIn,
  lease: ResourceLease = createResources(silentLog).lease(),
): Promise<Compiled> {
  const entities = given['image_models'] ?? [sandbox];
  const ids = Array.isArray(entities) ? entities.map(({ id }: { readonly id: string }) => id) : [];
  const config = await loadFile({ image_models: entities, routes: openAiRoutes(ids), ...given }, registry);
  const problems: [string, string][] = [];
  const sent: string[] = [];
  let clients = 0;
  const catalogue = compileCatalogue({
    config,
    registry,
    share: lease.use,
    clock: systemClock,
    log: silentLog,
    createClient() {
      clients += 1;
      return {
        send({ url }) {
          sent.push(url);
          return Promise.reject(new Error('nothing is sent here'));
        },
        close: () => Promise.resolve(),
      };
    },
    report: (pointer, message) => void problems.push([pointer, message]),
  });
  return { catalogue, problems, opened: clients, sent };
}
