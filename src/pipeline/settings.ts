import type { AddressRanges } from '../ip-address.ts';
import type { ModelFilter } from '../model-filter.ts';
import type { NameList } from '../name-list.ts';
import type { JsonValue } from '../json.ts';
import type { Secret } from '../secret.ts';
import type { KnownModel, Provider } from '../providers/provider.ts';
import type { ImageParameters, Operation, ResponseFormat } from './call.ts';
import type { EntityHealth } from './health.ts';
import type { PriceBook } from './prices.ts';
import type { HttpClient } from './upstream.ts';

/**
 * What the compiler made of the file, ready for use on the request path. *Config* is what the user writes,
 * *settings* are what code passes on. All of it belongs to one snapshot and never changes.
 */

/** An image-model entity: one provider with its connection, its options and the models it may serve. */
export interface Entity {
  readonly id: string;
  readonly name: string;
  /** The spellings of the name that callers may put before a `/`: `openai-provider` and `openai_provider`. */
  readonly slugs: readonly string[];
  /** What callers may put before a `/` to mean this kind of provider; the first is the one that is shown. */
  readonly providerNames: readonly string[];
  readonly provider: Provider;
  /** The same as long as the same call makes the same request at the same place: not for how long it waits, nor with which token. */
  readonly identity: string;
  /** The models that the provider is known to have, or to have had; it may well serve others. */
  readonly knownModels: readonly KnownModel[];
  readonly operations: Readonly<Record<Operation, OperationSettings>>;
  /** What this entity may serve, whoever asks; matched against the bare model. */
  readonly models: ModelFilter;
  /** Milliseconds for one call, polling and reading the answer included. */
  readonly timeoutMs: number;
  readonly tokens: TokenRing;
  readonly client: HttpClient;
  /** Whom it lets in. */
  readonly health: EntityHealth;
}

/** What an entity says about one operation. */
export interface OperationSettings {
  readonly enabled: boolean;
  /** The model used when the caller names none. */
  readonly model: string | undefined;
  /** Filled in where the caller is silent. */
  readonly parameters: ImageParameters;
  readonly responseFormat: ResponseFormat | undefined;
}

/** The entity's credentials, taken in turn. */
export interface TokenRing {
  /** The next token that need not be passed over for a model; undefined when the entity needs none. */
  next(model: string): Secret | undefined;
  /** Has a token passed over for a while. Without a model: whatever the model. */
  rest(token: Secret, options: { readonly model?: string; readonly forMs: number }): void;
  /** A token works: it need not be passed over any more. */
  wake(token: Secret, model: string): void;
  /** Milliseconds until there is one for a model that need not be passed over; 0: now. */
  restsFor(model: string): number;
  /** Those that are passed over, each by its place from 1. */
  resting(): readonly { readonly place: number; readonly model: string | undefined; readonly forMs: number }[];
  /** All of them, to keep them out of anything that is shown. */
  readonly all: readonly Secret[];
}

/** One entity and one of its models: what a call is sent to. */
export interface Target {
  readonly entity: Entity;
  readonly model: string;
  /** The alias under which the caller asked, if it did. */
  readonly alias: string | undefined;
}

/** A name that callers may use for a model, and what stands behind it. */
export interface Alias {
  readonly name: string;
  readonly strategy: 'failover' | 'round_robin' | 'weighted' | 'least_latency' | 'least_cost';
  /** Whether the same caller always begins at the same target. */
  readonly sticky: 'user' | undefined;
  readonly targets: readonly AliasTarget[];
}

export interface AliasTarget {
  readonly entityId: string;
  readonly model: string;
  readonly weight: number;
  /** Lower ones are tried before higher ones. */
  readonly priority: number;
}

/** A filter of the consumer's own, unless it says that it is the user's. */
export interface CallerFilter extends ModelFilter {
  readonly whose?: 'user';
}

/** A caller known by its key. */
export interface Consumer {
  readonly id: string;
  readonly user: string | undefined;
  readonly team: string | undefined;
  /** Both the consumer's and its user's rules; each holds by itself. */
  readonly models: readonly CallerFilter[];
  /** Ids of the budgets named on the consumer. */
  readonly budgets: readonly string[];
  /** What the file notes about it, for webhooks and extensions. */
  readonly metadata: Readonly<Record<string, string | number | boolean>>;
}

/** A key that a caller may present, and what has to be true for it to count. */
export interface ConsumerKey {
  readonly consumer: Consumer;
  readonly enabled: boolean;
  /** Milliseconds since 1970; Infinity: never. */
  readonly expiresAtMs: number;
  /** From where it may be used; undefined: from everywhere. */
  readonly addresses: AddressRanges | undefined;
}

/** Who is calling; `consumer` is undefined for the anonymous caller. */
export interface Caller {
  readonly consumer: Consumer | undefined;
  /** The end user on whose behalf the consumer calls, in its own words: for the record, not to be relied on. */
  readonly endUser: string | undefined;
  /** The session that the call belongs to, in the consumer's own words. */
  readonly session: string | undefined;
}

export const anonymous: Caller = { consumer: undefined, endUser: undefined, session: undefined };

/** A limit on images, on dollars, or on both, for everything in its scope, counted in windows of time. */
export interface Budget {
  readonly id: string;
  readonly limitImages: number | undefined;
  readonly limitNanoUsd: number | undefined;
  readonly window: BudgetWindow;
  readonly timeZone: string;
  readonly scope: BudgetScope;
  /** One counter for each value of this; undefined: one counter for all. */
  readonly per: 'consumer' | 'user' | 'team' | 'end_user' | 'model' | 'provider' | 'entity' | 'route' | undefined;
  readonly onExceed: 'block' | 'warn';
  /** Percent of the limit that are worth an alert, lowest first. */
  readonly alertAt: readonly number[];
  /** What becomes of a reservation whose client left while the provider may have been at work. */
  readonly abandoned: 'settle' | 'release';
}

export type BudgetWindow = WindowUnit | RollingWindow;

/** Windows that begin by the calendar of the budget's time zone. */
export type WindowUnit = 'hour' | 'day' | 'week' | 'month' | 'year' | 'lifetime';

/** The time that has just passed. */
export interface RollingWindow {
  readonly rollingMs: number;
}

/** Where alerts go. */
export interface AlertWebhook {
  readonly url: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, Secret>>;
  /** What requests are signed with; undefined: they are not. */
  readonly secret: Secret | undefined;
  /** Milliseconds for one try. */
  readonly timeoutMs: number;
}

/** Calls that become jobs. */
export interface JobSettings {
  /** The path of the route that tells of jobs, with `:id` in it, after `server.public_url`; undefined: there is none. */
  readonly path: string | undefined;
  /** How many one process runs at the same time. */
  readonly concurrency: number;
  /** How many may wait. */
  readonly mostQueued: number;
  /** Milliseconds that one may run. */
  readonly timeoutMs: number;
  /** Milliseconds that one may wait, and is kept after its end. */
  readonly keptMs: number;
  /** The largest answer that is kept. */
  readonly maxAnswerBytes: number;
  /** Who is told of the end of each; undefined: nobody. */
  readonly webhook: JobWebhook | undefined;
}

export interface JobWebhook extends AlertWebhook {
  readonly tries: number;
}

/** Undefined lists hold for everything; those that are given must all match. */
export interface BudgetScope {
  readonly consumers: NameList | undefined;
  readonly users: NameList | undefined;
  readonly teams: NameList | undefined;
  readonly providers: NameList | undefined;
  readonly entities: NameList | undefined;
  readonly routes: NameList | undefined;
  readonly models: ModelFilter | undefined;
}

/** A route of the file. */
export interface Route {
  readonly id: string;
  /** What a request without pictures is; a request with pictures is an edition. Undefined for routes that make no pictures. */
  readonly operation: Operation | undefined;
  /** Ids of the entities that may serve this route, in order of preference. */
  readonly refs: readonly string[];
  /** Answer with the raw bytes when there is exactly one picture. */
  readonly decode: boolean;
  readonly maxUploadBytes: number;
  /** Whether input pictures may be given as links. */
  readonly imageUrls: boolean;
  /** Unknown parameters are refused instead of passed on. */
  readonly strict: boolean;
  /** The kinds of providers that may serve this route; undefined: all. */
  readonly allowProviders: ReadonlySet<string> | undefined;
  /** What becomes of a parameter that the resolved provider cannot take. */
  readonly unsupportedParams: 'drop' | 'reject' | 'pass';
  /** Whether a call of several requests succeeds when some of them do. */
  readonly fanout: 'partial' | 'all_or_nothing';
  /** What becomes of a call whose client leaves; undefined: it ends, unless its answer is kept for another try. */
  readonly onDisconnect: 'cancel' | 'finish' | undefined;
  /** `host`: a link of the provider's never reaches the caller. */
  readonly urlMode: 'provider' | 'host';
  /** Milliseconds that pictures hosted for this route are kept; undefined: for ever. */
  readonly imagesExpireAfterMs: number | undefined;
  /** Request parameters filled in where the caller is silent, in wire spelling, before the body is understood. */
  readonly defaults: Readonly<Record<string, JsonValue>>;
  readonly models: ModelFilter;
  readonly upstream: ForwardSettings | undefined;
  /** The longest that an exchange may take, in milliseconds. */
  readonly timeoutMs: number;
}

/** Where a `forward` stage sends what it gets. */
export interface ForwardSettings {
  readonly url: URL;
  /** Set on each request, in place of what the caller sent; lower-case names. */
  readonly headers: Readonly<Record<string, string | Secret>>;
  /** Milliseconds until the upstream's headers must have come. */
  readonly timeoutMs: number;
}

/** How the gateway hands out links to the pictures that it keeps. */
export interface Hosting {
  /** `server.public_url` without a slash at its end; undefined: the origin that the caller used. */
  readonly publicUrl: string | undefined;
  /** The path of the route that serves the pictures, with `:name` in it; undefined: there is none. */
  readonly path: string | undefined;
  /** Signs links and checks them; undefined: whoever knows the name of a picture may have it. */
  readonly signer: LinkSigner | undefined;
}

/** Signs the links to hosted pictures, which then work for a while only. */
export interface LinkSigner {
  /** Milliseconds that a link works. */
  readonly lifetimeMs: number;
  /** The query that makes a link to a picture good until then, in milliseconds since 1970, rounded up to whole seconds. */
  sign(name: string, untilMs: number): string;
  /** Until when a link is good, in milliseconds since 1970; undefined when it is not signed by us, or late. */
  check(name: string, query: URLSearchParams, nowMs: number): number | undefined;
}

/** Everything of a snapshot that stages look things up in. */
export interface Catalogue {
  /** The active entities, by id, in the order of the file. */
  readonly entities: ReadonlyMap<string, Entity>;
  /** Ids and slugs of entities that are in the file but have no token. */
  readonly inactiveNames: ReadonlySet<string>;
  readonly aliases: ReadonlyMap<string, Alias>;
  /** By the SHA-256 of the key, in lower-case hexadecimal, those that are not valid any more included. Empty: the gateway is open. */
  readonly consumersByKeyHash: ReadonlyMap<string, ConsumerKey>;
  readonly budgets: readonly Budget[];
  /** Undefined: alerts are in the log alone. */
  readonly alertWebhook: AlertWebhook | undefined;
  readonly jobs: JobSettings;
  readonly prices: PriceBook;
  /** What becomes of a call without a price where a budget counts dollars. */
  readonly unpriced: 'reject' | 'allow';
  /** What becomes of a call while the state cannot be written to. */
  readonly onStateFailure: 'reject' | 'allow';
  readonly hosting: Hosting;
}
