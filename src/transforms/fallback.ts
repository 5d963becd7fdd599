import schema from '../../schemas/stages/fallback.schema.json' with { type: 'json' };
import { mayBeBilled } from '../budget/usage.ts';
import { GatewayError } from '../errors.ts';
import type { FallbackConfig } from '../generated/stages/fallback.ts';
import type { Attempt, Exchange } from '../pipeline/exchange.ts';
import type { Target } from '../pipeline/settings.ts';
import { defineComposite, type StageEnv } from '../pipeline/stage.ts';
import { createRetryBudget } from './retry-budget.ts';
import { endVisits, limitTry } from './try-terms.ts';

/**
 * Runs its own `stages` for one candidate after the other, until one answers or fails in a way that another would too.
 * When none is left, those are tried again that can be without anything being paid for twice. All of it happens before
 * the first byte of the answer goes out.
 */
export const fallback = defineComposite({
  name: 'fallback',
  schema,
  reads: ['candidates', 'target'],
  writes: ['target'],
  create(config: FallbackConfig, env, nested) {
    const { attempt_timeout: attemptMs = Infinity, timeout: totalMs = Infinity } = config;
    const isCurable = createJudge(config);
    const budget = env.share('retry-budget', () => createRetryBudget(env.clock.monotonic));

    return async function fallback(exchange) {
      const endMs = env.clock.monotonic() + totalMs;
      // What was left with a provider can be had from nobody else.
      const isOnly = (): boolean => isLast || exchange.job?.isLeft() === true;
      const closed = createClosed();
      let failure: GatewayError | undefined;
      let due = restingLast(exchange.candidates);
      let isLast = due.length === 1;
      let tries = 0;
      for (let round = 0; ;) {
        const again: Due[] = [];
        const out: Due[] = [];
        for (const each of due) {
          const { target, atMs } = each;
          if (exchange.attempts.some((attempt) => isAt(attempt, target) && mayBeBilled(attempt))) continue;
          if (!isOnly() && closed.passesOver(target)) {
            out.push(each);
            continue;
          }
          if (round > 0 && !budget.take(target.entity.id, config.retry_budget)) continue;
          const isOn = (await waitUntil(atMs, endMs, exchange, env)) && (await mayTry(exchange, target, tries));
          if (!isOn) throw failure ?? closed.error();
          if (round === 0) budget.call(target.entity.id);
          tries += 1;
          const before = exchange.attempts.length;
          try {
            limitTry(exchange, { untilMs: Math.min(env.clock.monotonic() + attemptMs, endMs), isLast: isOnly() });
            await nested.run(exchange, { target });
            return { target };
          } catch (error) {
            if (!(error instanceof GatewayError) || exchange.signal.aborted) throw error;
            endVisits(exchange, error);
            if (error.code === 'no_healthy_target') {
              closed.add(error.retryAfterMs);
              out.push(each);
              continue;
            }
            failure = error;
            const attempts = exchange.attempts.slice(before);
            // What came after the answer, such as reading it, is part of the try that failed.
            for (const attempt of attempts) attempt.endedAtMs ??= env.clock.now();
            const waitMs = round < config.retries ? retryAfter(error, attempts, { config, round, env }) : undefined;
            const next = isCurable(error, attempts);
            exchange.log.warn('candidate failed', { entity: target.entity.id, model: target.model, error });
            // What no other candidate cures ends it for all of them.
            if (!next) again.length = 0;
            if (waitMs !== undefined) again.push({ target, atMs: env.clock.monotonic() + waitMs });
            if (!next) break;
          }
        }
        if (failure === undefined && !isLast && out.length > 0) {
          // Better one that may have recovered than none.
          isLast = true;
          due = out;
          continue;
        }
        if (again.length === 0) throw failure ?? closed.error();
        due = again.toSorted((one, other) => one.atMs - other.atMs);
        round += 1;
      }
    };
  },
  explain(config: FallbackConfig, _env, nested) {
    const isCurable = createJudge(config);
    return async function explainFallback(exchange, told) {
      const { candidates = [] } = exchange;
      const outcomes: { readonly target: Target; readonly refusal: GatewayError | undefined }[] = [];
      for (const target of candidates) {
        const refusal = await nested.explain(exchange, told, { target });
        told.account.candidate(target).refusal ??= refusal;
        outcomes.push({ target, refusal: told.account.candidate(target).refusal });
      }
      // Up to the first that could be sent, or that fails in a way that no other would mend.
      const decisive =
        outcomes.find(({ refusal }) => refusal === undefined || !isCurable(refusal, [])) ?? outcomes.at(-1);
      if (decisive === undefined) return undefined;
      if (decisive.refusal !== undefined) throw decisive.refusal;
      return { target: decisive.target };
    };
  },
});

/** A candidate, and from when on it may be tried, by the clock that only goes forward. */
interface Due {
  readonly target: Target;
  readonly atMs: number;
}

/** Whether an attempt was made at a target, under whichever name a caller gave it. */
function isAt({ entity, model }: Attempt, target: Target): boolean {
  return entity === target.entity.id && model === target.model;
}

/** The candidates in their order, but those last that it would be better not to ask right now. */
function restingLast(candidates: readonly Target[]): readonly Due[] {
  const isResting = ({ entity, model }: Target): boolean => entity.health.standing(model).kind === 'resting';
  const { ready = [], resting = [] } = Object.groupBy(candidates, (target) =>
    isResting(target) ? 'resting' : 'ready',
  );
  return [...ready, ...resting].map((target) => ({ target, atMs: -Infinity }));
}

/** Candidates that are out of service. */
interface Closed {
  /** Whether a target is one, at this moment. */
  passesOver(target: Target): boolean;
  /** Takes note of one. @param forMs until it is worth another try */
  add(forMs: number | undefined): void;
  /** What to say when no other is left. */
  error(): GatewayError;
}

function createClosed(): Closed {
  const waitsMs: number[] = [];
  return {
    passesOver({ entity, model }) {
      const standing = entity.health.standing(model);
      if (standing.kind === 'open') waitsMs.push(standing.forMs);
      return standing.kind === 'open';
    },
    add: (forMs) => void waitsMs.push(forMs ?? 0),
    error() {
      const message =
        'Everything that could serve this call has failed too often, and is out of service for the moment.';
      const waits = waitsMs.length === 0 ? {} : { retryAfterMs: Math.ceil(Math.min(...waitsMs)) };
      return new GatewayError('no_healthy_target', message, waits);
    },
  };
}

/** Whether another candidate may cure a failure, as the file has it. */
function createJudge({ on, on_status: onStatus }: FallbackConfig) {
  const codes = new Set<string>(on);
  const statuses = new Set(onStatus);
  return function isCurable(error: GatewayError, attempts: readonly Attempt[]): boolean {
    const status = refusedWith(attempts);
    return codes.has(error.code) || (status !== undefined && statuses.has(status));
  };
}

/** The status with which the provider refused a try; undefined when it did not. */
function refusedWith(attempts: readonly Attempt[]): number | undefined {
  return attempts.findLast(({ status }) => status !== undefined && (status < 200 || status > 299))?.status;
}

/** In how many milliseconds the same candidate may be tried again; undefined: not at all. */
function retryAfter(
  { code, retry, retryAfterMs: askedMs = 0 }: GatewayError,
  attempts: readonly Attempt[],
  { config, round, env }: { readonly config: FallbackConfig; readonly round: number; readonly env: StageEnv },
): number | undefined {
  if (!retry || attempts.length === 0 || attempts.some(mayBeBilled)) return undefined;
  const status = refusedWith(attempts);
  const passes = status === undefined ? code === 'upstream_unreachable' : config.retry_on_status.includes(status);
  if (!passes || askedMs > config.max_wait) return undefined;
  const longestMs = Math.min(config.backoff * 2 ** round, config.max_wait);
  return Math.max(askedMs, longestMs * (0.5 + 0.5 * env.random()));
}

/** Waits, unless there would be no time left afterwards. */
async function waitUntil(atMs: number, endMs: number, { signal }: Exchange, { clock }: StageEnv): Promise<boolean> {
  const nowMs = clock.monotonic();
  if (Math.max(atMs, nowMs) >= endMs) return false;
  if (atMs > nowMs) await clock.sleep(atMs - nowMs, signal);
  return true;
}

/** The first try has been reserved for; each further one is asked for. */
async function mayTry({ gates }: Exchange, target: Target, tries: number): Promise<boolean> {
  if (tries === 0) return true;
  for (const gate of gates) if (!(await gate(target))) return false;
  return true;
}
