/** Breakers, places and tokens of an entity together: whom it lets in, and what it learns from what became of them. */
import { GatewayError, type ErrorCode } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { EntityHealth, HealthReport, Visit } from '../pipeline/health.ts';
import type { TokenRing } from '../pipeline/settings.ts';
import { createBreaker, type Breaker, type BreakerSettings, type Verdict } from './breaker.ts';
import type { Places, PlaceSettings } from './places.ts';

export interface HealthSettings extends BreakerSettings {
  readonly enabled: boolean;
  readonly per: 'model' | 'entity';
  /** Whether it is tried although it is out of service, when nobody else is there. */
  readonly lastResort: boolean;
  /** Milliseconds that a token is passed over: after a 429, at most, and when it is not accepted. */
  readonly restMs: number;
  readonly maxRestMs: number;
  readonly refusedRestMs: number;
}

export interface HealthSources {
  readonly settings: HealthSettings;
  readonly tokens: TokenRing;
  readonly breakers: Breakers;
  readonly places: Places;
  readonly placeSettings: PlaceSettings;
}

export function createEntityHealth(sources: HealthSources): EntityHealth {
  const { settings, tokens, breakers, places, placeSettings } = sources;
  const { enabled } = settings;

  function standing(model: string): ReturnType<EntityHealth['standing']> {
    if (!enabled) return { kind: 'ready' };
    const closedForMs = breakers.of(model).closedForMs();
    if (closedForMs > 0) return { kind: 'open', forMs: closedForMs };
    const restMs = tokens.restsFor(model);
    return restMs > 0 ? { kind: 'resting', forMs: restMs } : { kind: 'ready' };
  }

  /** With a place; gives it back when the breaker does not let it through. */
  function begin(model: string, call: object, isForced: boolean, leave: () => void): Visit {
    const judge = enabled ? breakers.of(model).enter(call, isForced) : () => {};
    if (judge === undefined) {
      leave();
      throw outOfService(breakers.of(model).closedForMs());
    }
    const token = tokens.next(model);
    let ended = false;
    return {
      token,
      leave,
      end(outcome) {
        if (ended) return;
        ended = true;
        leave();
        judge(verdictOn(outcome));
        if (enabled && token !== undefined) learn(token, model, outcome);
      },
    };
  }

  function learn(token: NonNullable<Visit['token']>, model: string, outcome: Parameters<Visit['end']>[0]): void {
    if (outcome === 'answered') tokens.wake(token, model);
    if (!(outcome instanceof GatewayError)) return;
    if (outcome.code === 'upstream_auth_failed' || outcome.publicCode === 'insufficient_quota') {
      tokens.rest(token, { forMs: settings.refusedRestMs });
    } else if (outcome.code === 'rate_limit_exceeded') {
      tokens.rest(token, { model, forMs: Math.min(outcome.retryAfterMs ?? settings.restMs, settings.maxRestMs) });
    }
  }

  return {
    standing,
    enter(model, call, { signal, isLast }) {
      const isForced = isLast && settings.lastResort;
      // Who would not be let through need not wait for a place.
      const closedForMs = enabled && !isForced ? breakers.of(model).closedForMs(call) : 0;
      if (closedForMs > 0) throw outOfService(closedForMs);
      const taken = places.take(placeSettings, signal);
      const enter = (leave: () => void): Visit => begin(model, call, isForced, leave);
      return taken instanceof Promise ? taken.then(enter) : enter(taken);
    },
    report: () => ({
      state: breakers.worst(),
      in_flight: places.taken(),
      queued: places.waiting(),
      targets: breakers.report(),
      resting_tokens: tokens.resting().map(({ place, model, forMs }) => ({
        token: place,
        ...(model === undefined ? {} : { model }),
        for_ms: Math.ceil(forMs),
      })),
    }),
  };
}

/** The error for a call to what is out of service. @param forMs until it is worth another try */
function outOfService(forMs: number): GatewayError {
  const message = 'What could serve this call has failed too often, and is out of service for the moment.';
  return new GatewayError('no_healthy_target', message, { retryAfterMs: Math.ceil(forMs) });
}

/** Failures of the provider, whatever is asked of it. */
const failures: ReadonlySet<ErrorCode> = new Set([
  'upstream_error',
  'upstream_auth_failed',
  'upstream_invalid_response',
  'upstream_unreachable',
  'upstream_timeout',
]);

/** What says nothing about the provider, or only that it is busy. */
const unrelated: ReadonlySet<ErrorCode> = new Set([
  'rate_limit_exceeded',
  'internal_error',
  'overloaded',
  'client_closed_request',
  'no_healthy_target',
]);

function verdictOn(outcome: Parameters<Visit['end']>[0]): Verdict {
  if (outcome === 'answered') return 'works';
  if (outcome === 'abandoned' || unrelated.has(outcome.code)) return 'unknown';
  // Who refuses a request for what is wrong with it, works.
  return failures.has(outcome.code) ? 'fails' : 'works';
}

/** The breakers of an entity, one for each model, or one for all. */
export interface Breakers {
  of(model: string): Breaker;
  worst(): HealthReport['state'];
  report(): HealthReport['targets'];
}

/** Callers may name any model; more than an entity has are not kept. */
const maxBreakers = 256;

export function createBreakers(
  entityId: string,
  settings: HealthSettings,
  { monotonic, log }: { monotonic(): number; readonly log: Logger },
): Breakers {
  const breakers = new Map<string, Breaker>();

  function create(model: string | undefined): Breaker {
    return createBreaker(settings, monotonic, (state, failures) => {
      const fields = { entity: entityId, ...(model === undefined ? {} : { model }) };
      if (state === 'closed') log.info('back in service', fields);
      else log.warn('out of service', { ...fields, failures, open_for_ms: settings.openForMs });
    });
  }

  /** The one that was longest not asked for, of those of which there is nothing to remember. */
  function forgetOne(): void {
    for (const [name, breaker] of breakers) {
      if (breaker.state() === 'closed' && breaker.failures() === 0) return void breakers.delete(name);
    }
    const [oldest] = breakers.keys();
    if (oldest !== undefined) breakers.delete(oldest);
  }

  return {
    of(model) {
      const name = settings.per === 'entity' ? '' : model;
      const known = breakers.get(name);
      if (known !== undefined) return known;
      if (breakers.size >= maxBreakers) forgetOne();
      const created = create(settings.per === 'entity' ? undefined : model);
      breakers.set(name, created);
      return created;
    },
    worst() {
      const states = new Set(Array.from(breakers.values(), (breaker) => breaker.state()));
      if (states.has('open')) return 'open';
      return states.has('half_open') ? 'half_open' : 'closed';
    },
    report: () =>
      Array.from(breakers).flatMap(([name, breaker]) => {
        const state = breaker.state();
        const failures = breaker.failures();
        if (state === 'closed' && failures === 0) return [];
        const model = settings.per === 'entity' ? {} : { model: name };
        const openForMs = Math.ceil(breaker.closedForMs());
        return [{ ...model, state, failures, ...(openForMs > 0 ? { open_for_ms: openForMs } : {}) }];
      }),
  };
}
