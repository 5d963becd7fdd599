/** From what the file says about limits to what counts. */
import type { Rate } from '../gcra.ts';
import type { RateLimitConfig, RateLimitFile } from '../generated/stages/rate-limit.ts';
import { subscriberNetwork } from '../ip-address.ts';
import type { Exchange, ExchangeView } from '../pipeline/exchange.ts';
import { ConfigError, type StageEnv } from '../pipeline/stage.ts';
import { targetCall } from '../pipeline/target-call.ts';
import { formatDuration } from '../quantities.ts';

/** What has been used up must have come back within a lifetime: sums of moments beyond that would not be exact. */
const longestRefillUs = 100 * 365 * 86_400_000_000;

/** Slots by which limits count, as far as they do. */
export type LimitSlot = 'caller' | 'call' | 'target';

/** An exchange as limits see it. */
export type LimitedExchange = ExchangeView<never, LimitSlot>;

/** The limits of a stage: one for each way of counting, however often it is written. */
export interface Limits {
  readonly rates: readonly CompiledRate[];
  readonly ceilings: readonly CompiledCeiling[];
}

/** @throws ConfigError for what the schema cannot say */
export function compileLimits(config: RateLimitConfig, env: StageEnv): Limits {
  checkLimits(config);
  const limits = limitsOf(config);
  return {
    rates: distinct(limits.flatMap((limit) => compileRates(limit, env))),
    ceilings: distinct(limits.flatMap(compileCeiling)),
  };
}

/** The slots without which limits could not count. */
export function slotsNeeded(config: RateLimitConfig): readonly LimitSlot[] {
  return [...new Set(limitsOf(config).flatMap(slotsOf))];
}

/** The limit that is written at the top, if one is, and those of the list. */
function limitsOf({ limits, ...own }: RateLimitConfig): readonly RateLimitFile[] {
  return [...(saysSomething(own) ? [own] : []), ...limits];
}

function saysSomething({ requests, images, concurrency }: RateLimitFile): boolean {
  return requests !== undefined || images !== undefined || concurrency !== undefined;
}

function slotsOf({ per, images }: RateLimitFile): readonly LimitSlot[] {
  const slotOfValue: Readonly<Record<RateLimitFile['per'], readonly LimitSlot[]>> = {
    consumer: ['caller'],
    user: ['caller'],
    team: ['caller'],
    ip: [],
    route: [],
    entity: ['target'],
    global: [],
  };
  return [...slotOfValue[per], ...(images === undefined ? [] : ['call' as const])];
}

/** @throws ConfigError for what the schema cannot say */
function checkLimits(config: RateLimitConfig): void {
  const { limits, ...own } = config;
  const written = [
    { pointer: '', limit: own },
    ...limits.map((limit, index) => ({ pointer: `/limits/${index}`, limit })),
  ];
  for (const { pointer, limit } of written) {
    const isEmptyTop = pointer === '' && limits.length > 0 && limit.burst === undefined;
    if (!saysSomething(limit) && !isEmptyTop) {
      throw new ConfigError(pointer, 'a limit needs `requests`, `images` or `concurrency`');
    }
    const rates = [limit.requests, limit.images].filter((amount) => amount !== undefined).length;
    if (limit.burst !== undefined && rates !== 1) {
      throw new ConfigError(`${pointer}/burst`, '`burst` goes with one of `requests` and `images`: write two limits');
    }
    const { burst = 0, window } = limit;
    const amount = limit.requests ?? limit.images ?? 1;
    if ((burst / amount) * window * 1000 > longestRefillUs) {
      throw new ConfigError(`${pointer}/burst`, 'so large a burst would need more than a hundred years to come back');
    }
  }
}

/** A limit on how many there may be in a length of time. */
export interface CompiledRate {
  /** What makes two limits one. */
  readonly identity: string;
  readonly kind: 'requests' | 'images';
  readonly per: RateLimitFile['per'];
  readonly rate: Rate;
  /** Who has been counted: a limit that stands in several places of a pipeline is one limit. */
  readonly counted: WeakSet<Exchange>;
  /** For people: `60 requests in 1m for each consumer`. */
  readonly text: string;
  costOf(exchange: LimitedExchange): number;
}

function compileRates(limit: RateLimitFile, env: StageEnv): readonly CompiledRate[] {
  const compileRate = (kind: CompiledRate['kind'], costOf: CompiledRate['costOf']): readonly CompiledRate[] => {
    const amount = limit[kind];
    if (amount === undefined) return [];
    const { window, per, burst = amount } = limit;
    const identity = `rate-limit:${JSON.stringify([limit.id ?? null, kind, amount, window, burst, per])}`;
    const rate = { amount, windowUs: window * 1000, burst };
    const counted = env.share(identity, () => new WeakSet<Exchange>());
    const text = `${amount} ${kind} in ${formatDuration(window)} ${forEach(per)}`;
    return [{ identity, kind, per, rate, counted, text, costOf }];
  };
  return [...compileRate('requests', () => 1), ...compileRate('images', imagesAsked)];
}

function imagesAsked({ call, target }: LimitedExchange): number {
  if (call === undefined) return 1;
  return (target === undefined ? call : targetCall(call, target)).parameters.n ?? 1;
}

/** A limit on how many may be under way. */
export interface CompiledCeiling {
  readonly identity: string;
  readonly per: RateLimitFile['per'];
  readonly most: number;
  /** For people: `4 requests are under way for each consumer`. */
  readonly text: string;
}

function compileCeiling({ concurrency, per, id }: RateLimitFile): readonly CompiledCeiling[] {
  if (concurrency === undefined) return [];
  // Under a name of its own the count stands while the limit changes.
  const identity = `concurrency:${JSON.stringify(id === undefined ? [null, concurrency, per] : [id, per])}`;
  const text = `${concurrency} requests are under way ${forEach(per)}`;
  return [{ identity, per, most: concurrency, text }];
}

/** All callers without a consumer, a user or a team share one count. */
const noValue = '';

export function valueOf(per: RateLimitFile['per'], { caller, target, route, request }: LimitedExchange): string {
  switch (per) {
    case 'consumer':
      return caller?.consumer?.id ?? noValue;
    case 'user':
      return caller?.consumer?.user ?? noValue;
    case 'team':
      return caller?.consumer?.team ?? noValue;
    case 'ip':
      return subscriberNetwork(request.remoteAddress);
    case 'route':
      return route.id;
    case 'entity':
      return target?.entity.id ?? noValue;
    case 'global':
      return noValue;
  }
}

function forEach(per: RateLimitFile['per']): string {
  if (per === 'global') return 'for all';
  return `for each ${per === 'ip' ? 'address' : per}`;
}

function distinct<Item extends { readonly identity: string }>(items: readonly Item[]): readonly Item[] {
  return [...new Map(items.map((item) => [item.identity, item])).values()];
}
