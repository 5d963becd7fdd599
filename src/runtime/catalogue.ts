/** From the file's entities, aliases, consumers and budgets to what stages look things up in. */
import { hash } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import type { GatewayFile, ModelsFile } from '../generated/gateway.ts';
import { addressRanges } from '../ip-address.ts';
import { isJsonObject, type JsonValue } from '../json.ts';
import type { Logger } from '../log.ts';
import { everyModel, type ModelFilter } from '../model-filter.ts';
import { compileNames, type NameList } from '../name-list.ts';
import { compilePattern } from '../pattern.ts';
import type { ImageParameters, ResponseFormat } from '../pipeline/call.ts';
import type { EntityHealth } from '../pipeline/health.ts';
import type { Registry } from '../pipeline/registry.ts';
import type {
  AlertWebhook,
  Alias,
  Budget,
  BudgetWindow,
  Catalogue,
  Consumer,
  ConsumerKey,
  Entity,
  Hosting,
  JobSettings,
  OperationSettings,
  TokenRing,
} from '../pipeline/settings.ts';
import { ConfigError, type Clock } from '../pipeline/stage.ts';
import type { HttpClient } from '../pipeline/upstream.ts';
import type { Provider, ProviderDefinition } from '../providers/provider.ts';
import { Secret } from '../secret.ts';
import { createBreakers, createEntityHealth, type HealthSettings } from './entity-health.ts';
import { createLinkSigner } from './link-signer.ts';
import { parseUsd } from '../money.ts';
import { createPlaces } from './places.ts';
import { compilePrices } from './prices.ts';
import { parseTimestamp } from '../timestamp.ts';
import { slugsOf } from './slug.ts';
import { createTokenRing, splitTokens } from './token-ring.ts';

/** A value that outlives the snapshot when the next one asks for the same key. */
export type Share = <Value>(
  key: string,
  create: () => Value,
  dispose?: (value: Value) => void | Promise<void>,
) => Value;

export interface CatalogueSources {
  readonly config: GatewayFile;
  readonly registry: Registry;
  readonly share: Share;
  readonly clock: Clock;
  readonly log: Logger;
  /** Opens a provider's connections. */
  createClient(): HttpClient & { close(): Promise<void> };
  /** Takes a mistake that only `create` could see. */
  report(pointer: string, message: string): void;
}

export function compileCatalogue(sources: CatalogueSources): Catalogue {
  const { config } = sources;
  const active = new Map<string, Entity>();
  const inactiveNames = new Set<string>();
  for (const [index, file] of config.image_models.entries()) {
    const entity = compileEntity(file, `/image_models/${index}`, sources);
    if (entity === 'invalid') continue;
    if (entity === 'inactive') for (const name of namesOf(file)) inactiveNames.add(name);
    else active.set(entity.id, entity);
  }
  for (const entity of active.values()) for (const name of [entity.id, ...entity.slugs]) inactiveNames.delete(name);
  return {
    entities: active,
    inactiveNames,
    aliases: compileAliases(config),
    consumersByKeyHash: compileConsumers(config),
    budgets: compileBudgets(config),
    alertWebhook: config.alerts.webhook && compileWebhook(config.alerts.webhook),
    jobs: compileJobs(config),
    prices: compilePrices(config, sources.registry, active),
    unpriced: config.unpriced,
    onStateFailure: config.on_state_failure,
    hosting: compileHosting(config),
  };
}

type EntityFile = GatewayFile['image_models'][number];

function namesOf(file: EntityFile): readonly string[] {
  return [file.id, ...slugsOf(file.name ?? file.id)];
}

function compileEntity(file: EntityFile, pointer: string, sources: CatalogueSources): Entity | 'inactive' | 'invalid' {
  const definition = sources.registry.providers.get(file.provider);
  if (definition === undefined) return 'invalid';
  const connection = member(file.config, 'connection');
  const { token: tokenText, timeout } = connection;
  const tokens = splitTokens(typeof tokenText === 'string' ? tokenText : '');
  if (tokens.length === 0 && !definition.tokenOptional) return 'inactive';

  const options = member(file.config, 'options');
  const config = { ...file.config, connection: { ...connection, token: '' }, options };
  const provider = createProvider(definition, config, pointer, sources);
  if (provider === undefined) return 'invalid';
  const tokenDigest = hash('sha256', tokens.join(','));
  const ring = sources.share<TokenRing>(`tokens:${file.id}:${tokenDigest}`, () =>
    createTokenRing(tokens.join(','), sources.clock.monotonic),
  );
  return {
    id: file.id,
    name: file.name ?? file.id,
    slugs: slugsOf(file.name ?? file.id),
    providerNames: [...(provider.names ?? []), definition.name, ...definition.aliases],
    provider,
    identity: identityOf(file.provider, config),
    knownModels: definition.models,
    operations: {
      generation: compileOperation(member(options, 'generation')),
      edition: compileOperation(member(options, 'edition')),
    },
    models: compileFilter(file.models),
    timeoutMs: typeof timeout === 'number' ? timeout : 180_000,
    tokens: ring,
    client: provider.origin === undefined ? unreachable : guardedClient(file.id, provider, provider.origin, sources),
    health: compileHealth(file, { tokens: ring, identity: [connection, tokenDigest] }, sources),
  };
}

/** A digest, since there may be secrets in it. */
function identityOf(
  provider: string,
  { connection, ...more }: { readonly connection: Readonly<Record<string, JsonValue>> },
): string {
  const { timeout: _timeout, ...place } = connection;
  return hash('sha256', JSON.stringify([provider, place, more]));
}

/** @param identity what makes it another provider, of which nothing is known yet */
function compileHealth(
  file: EntityFile,
  { tokens, identity }: { readonly tokens: TokenRing; readonly identity: readonly unknown[] },
  { share, clock, log }: CatalogueSources,
): EntityHealth {
  const { health, concurrency } = file;
  const settings: HealthSettings = {
    enabled: health.enabled,
    per: health.per,
    failures: health.failures,
    failureRate: health.failure_rate,
    openForMs: health.open_for,
    restMs: health.rest,
    maxRestMs: health.max_rest,
    lastResort: health.last_resort,
    refusedRestMs: health.rest_refused,
  };
  // The connection may hold secrets, and keys are shown in the log.
  const key = `health:${file.id}:${hash('sha256', JSON.stringify([settings, file.provider, ...identity]))}`;
  return createEntityHealth({
    settings,
    tokens,
    breakers: share(key, () => createBreakers(file.id, settings, { monotonic: clock.monotonic, log })),
    // Under the entity's name alone, so that the count stands while its limit changes.
    places: share(`places:${file.id}`, () => createPlaces(clock)),
    placeSettings: {
      max: concurrency?.max ?? Infinity,
      queue: concurrency?.queue ?? 0,
      waitMs: concurrency?.wait ?? 0,
    },
  });
}

function createProvider(
  definition: ProviderDefinition,
  config: object,
  pointer: string,
  { report }: CatalogueSources,
): Entity['provider'] | undefined {
  try {
    // It has just been validated against the definition's own schema.
    return definition.create(config as never);
  } catch (error) {
    const errors: readonly unknown[] = error instanceof AggregateError ? error.errors : [error];
    for (const each of errors) {
      if (!(each instanceof Error)) throw each;
      report(`${pointer}/config${each instanceof ConfigError ? each.pointer : ''}`, each.message);
    }
    return undefined;
  }
}

/** The entity's connections. They outlive a reload; where they may lead is this snapshot's to say. */
function guardedClient(
  entityId: string,
  provider: Provider,
  home: string,
  { share, createClient }: CatalogueSources,
): HttpClient {
  const shared = share(
    `client:${entityId}:${home}`,
    () => createClient(),
    (client) => client.close(),
  );
  return {
    async send(request, options) {
      const { origin } = new URL(request.url);
      if (origin !== home && provider.reaches?.(origin) !== true) {
        throw new GatewayError('upstream_invalid_response', 'The provider named an address that is not its own.');
      }
      return shared.send(request, options);
    },
  };
}

/** For providers that answer by themselves. */
const unreachable: HttpClient = {
  send: () => Promise.reject(new TypeError('this provider has no network')),
};

function member(value: Readonly<Record<string, unknown>>, name: string): Readonly<Record<string, JsonValue>> {
  const found = value[name];
  // Valid against the provider's schema, and it came from YAML: there is nothing but JSON in it.
  return isJsonObject(found) ? (found as Record<string, JsonValue>) : {};
}

function compileOperation(options: Readonly<Record<string, JsonValue>>): OperationSettings {
  const text = (name: string): string | undefined => {
    const value = options[name];
    return typeof value === 'string' ? value : undefined;
  };
  const number = (name: string): number | undefined => {
    const value = options[name];
    return typeof value === 'number' ? value : undefined;
  };
  const parameters: ImageParameters = {
    n: number('n'),
    size: text('size'),
    quality: text('quality'),
    style: text('style'),
    background: text('background'),
    moderation: text('moderation'),
    outputFormat: text('output_format'),
    outputCompression: number('output_compression'),
    inputFidelity: text('input_fidelity'),
  };
  return {
    enabled: options['enabled'] === true,
    model: text('model'),
    parameters,
    // The provider's schema has made sure that it is one of the three.
    responseFormat: text('response_format') as ResponseFormat | undefined,
  };
}

export function compileFilter(models: ModelsFile): ModelFilter {
  if (models.include.length === 0 && models.exclude.length === 0) return everyModel;
  return { include: models.include.map(compilePattern), exclude: models.exclude.map(compilePattern) };
}

function compileAliases(config: GatewayFile): ReadonlyMap<string, Alias> {
  const aliases = Object.entries(config.aliases).map(([name, { strategy, sticky, targets }]): [string, Alias] => [
    name,
    {
      name,
      strategy,
      sticky,
      targets: targets.map(({ target, weight, priority }) => {
        const at = target.indexOf('/');
        return { entityId: target.slice(0, at), model: target.slice(at + 1), weight, priority };
      }),
    },
  ]);
  return new Map(aliases);
}

function compileConsumers(config: GatewayFile): ReadonlyMap<string, ConsumerKey> {
  const users = new Map(config.users.map((user) => [user.id, compileFilter(user.models)]));
  const keys = config.consumers.flatMap((file): [string, ConsumerKey][] => {
    const userFilter = file.user === undefined ? undefined : users.get(file.user);
    const consumer: Consumer = {
      id: file.id,
      user: file.user,
      team: file.team,
      models: [
        ...[compileFilter(file.models)].filter((filter) => filter !== everyModel),
        ...(userFilter === undefined || userFilter === everyModel ? [] : [{ ...userFilter, whose: 'user' as const }]),
      ],
      budgets: file.budgets,
      metadata: file.metadata,
    };
    const addresses = file.ip_allow === undefined ? undefined : addressRanges(file.ip_allow);
    const single = file.key === undefined && file.key_sha256 === undefined ? [] : [file];
    return [...single, ...file.keys].map((each) => [
      each.key_sha256?.toLowerCase() ?? hash('sha256', each.key ?? ''),
      {
        consumer,
        enabled: file.enabled,
        expiresAtMs: Math.min(momentOf(file.expires_at), momentOf(each.expires_at)),
        addresses,
      },
    ]);
  });
  return new Map(keys);
}

function momentOf(text: string | undefined): number {
  return text === undefined ? Infinity : (parseTimestamp(text) ?? Infinity);
}

function compileBudgets(config: GatewayFile): readonly Budget[] {
  const names = (entries: readonly string[] | undefined): NameList | undefined =>
    entries === undefined ? undefined : compileNames(entries);
  return config.budgets.map((file) => ({
    id: file.id,
    limitImages: file.limit.images,
    // Whole nano-dollars, as its schema has checked.
    limitNanoUsd: file.limit.usd === undefined ? undefined : parseUsd(String(file.limit.usd)),
    window: windowOf(file),
    timeZone: file.time_zone,
    scope: {
      consumers: names(file.scope.consumers),
      users: names(file.scope.users),
      teams: names(file.scope.teams),
      providers: names(file.scope.providers),
      entities: names(file.scope.entities),
      routes: names(file.scope.routes),
      models: file.scope.models === undefined ? undefined : compileFilter({ include: file.scope.models, exclude: [] }),
    },
    per: file.per,
    onExceed: file.on_exceed,
    alertAt: file.alert_at.toSorted((left, right) => left - right),
    abandoned: file.abandoned,
  }));
}

function compileWebhook(file: NonNullable<GatewayFile['alerts']['webhook']>): AlertWebhook {
  const headers = Object.entries(file.headers).map(([name, value]) => [name.toLowerCase(), new Secret(value)] as const);
  return {
    url: file.url,
    headers: Object.fromEntries(headers),
    secret: file.secret === undefined ? undefined : new Secret(file.secret),
    timeoutMs: file.timeout,
  };
}

function compileJobs(config: GatewayFile): JobSettings {
  const { concurrency, queue, timeout, keep, max_answer_bytes: maxAnswerBytes, webhook } = config.jobs;
  const path = firstPath(config, '/:id', 'image-job');
  return {
    path: path && publicUrlOf(config) + path,
    concurrency,
    mostQueued: queue,
    timeoutMs: timeout,
    keptMs: keep,
    maxAnswerBytes,
    webhook: webhook && { ...compileWebhook(webhook), tries: webhook.tries },
  };
}

function windowOf({ window, rolling }: GatewayFile['budgets'][number]): BudgetWindow {
  if (rolling !== undefined) return { rollingMs: rolling };
  if (window === undefined) throw new TypeError('A budget without a window has passed the checks.');
  return window;
}

/** The path of the first route with a parameter and a stage. */
function firstPath({ routes, pipelines }: GatewayFile, parameter: string, stage: string): string | undefined {
  const found = routes.find(({ path, pipeline }) => {
    const stages = typeof pipeline === 'string' ? (pipelines[pipeline] ?? []) : pipeline;
    return path.includes(parameter) && stages.some(({ plugin, enabled }) => enabled && plugin === stage);
  });
  return found?.path;
}

function publicUrlOf({ server }: GatewayFile): string {
  return server.public_url?.replace(/\/+$/, '') ?? '';
}

/** The first route that serves hosted images gives their links its path. */
function compileHosting(config: GatewayFile): Hosting {
  const { image_links: links } = config;
  return {
    publicUrl: config.server.public_url === undefined ? undefined : publicUrlOf(config),
    path: firstPath(config, '/:name', 'serve-image'),
    signer:
      links && createLinkSigner({ secrets: links.secret.map((text) => new Secret(text)), lifetimeMs: links.expires }),
  };
}
