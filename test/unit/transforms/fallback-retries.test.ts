import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import type { FallbackConfig } from '../../../src/generated/stages/fallback.ts';
import type { Attempt, Exchange, TryGate } from '../../../src/pipeline/exchange.ts';
import type { NestedPipeline } from '../../../src/pipeline/stage.ts';
import { fallback } from '../../../src/transforms/fallback.ts';
import { filledBy, makeAttempt, makeEntity, makeExchange, makeStageEnv, makeTarget } from '../../fixtures/exchange.ts';
import { fallbackConfig } from '../../fixtures/fallback-config.ts';

const candidates = ['first', 'second'].map((id) => makeTarget({ entity: makeEntity({ id }) }));

/** What becomes of one try. */
interface Outcome {
  readonly error: GatewayError;
  readonly attempt?: Partial<Attempt>;
}

const refused = (status: number, error: GatewayError = new GatewayError('upstream_error', 'failed')): Outcome => ({
  error,
  attempt: { status, images: 0, endedAtMs: undefined },
});
const limited = (retryAfterMs?: number, more: object = {}): Outcome =>
  refused(429, new GatewayError('rate_limit_exceeded', 'slow down', { retryAfterMs, ...more }));
const unreachable: Outcome = {
  error: new GatewayError('upstream_unreachable', 'nobody there'),
  attempt: { sent: false, status: undefined, images: undefined },
};
const broken: Outcome = {
  error: new GatewayError('upstream_error', 'broke', { retry: false }),
  attempt: { status: undefined, images: undefined },
};

/** Runs a call whose tries end as told; those that nothing is told about answer. */
async function run(
  outcomes: readonly Outcome[],
  config: Partial<FallbackConfig>,
  { targets = candidates, gates = [] }: { targets?: typeof candidates; gates?: TryGate[] } = {},
) {
  const tried: string[] = [];
  const slept: number[] = [];
  let nowMs = 1000;
  const nested: NestedPipeline = {
    run(exchange: Exchange, given) {
      const entity = given?.target?.entity.id ?? '';
      const outcome = outcomes[tried.length];
      tried.push(entity);
      nowMs += 10;
      if (outcome?.attempt !== undefined) exchange.attempts.push(makeAttempt({ entity, ...outcome.attempt }));
      return outcome === undefined ? Promise.resolve() : Promise.reject(outcome.error);
    },
  };
  const clock = {
    ...makeStageEnv().clock,
    now: () => nowMs,
    monotonic: () => nowMs,
    sleep(ms: number) {
      slept.push(ms);
      nowMs += ms;
      return Promise.resolve();
    },
  };
  const exchange = makeExchange({ candidates: targets, target: targets[0] ?? makeTarget() }, { gates });
  const handle = fallback.create(fallbackConfig(config), makeStageEnv({ clock, random: () => 1 }), nested);
  const error: unknown = await filledBy(handle(exchange)).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return { tried, slept, error, exchange };
}

const alone = { targets: candidates.slice(0, 1) };

describe('which failures lead to the next candidate', () => {
  it('is the list of codes', async () => {
    const { tried, error } = await run([refused(503)], { on: ['upstream_timeout'] });
    expect(tried).toEqual(['first']);
    expect(error).toMatchObject({ code: 'upstream_error' });
  });

  it('can be a refusal of the content', async () => {
    const refusal = refused(400, new GatewayError('content_policy_violation', 'no'));
    expect((await run([refusal], {})).tried).toEqual(['first']);
    expect((await run([refusal], { on: ['content_policy_violation'] })).tried).toEqual(['first', 'second']);
  });

  it('can be a status, whatever it means', async () => {
    const conflict = refused(409, new GatewayError('invalid_value', 'busy', { status: 409 }));
    expect((await run([conflict], {})).tried).toEqual(['first']);
    expect((await run([conflict], { on_status: [409] })).tried).toEqual(['first', 'second']);
  });
});

describe('a retry', () => {
  it('is made once no candidate is left, after a pause that doubles', async () => {
    const { tried, slept } = await run([refused(503), refused(503), refused(503), refused(503)], { retries: 2 });
    expect(tried).toEqual(['first', 'second', 'first', 'second', 'first']);
    expect(slept).toEqual([240, 490]);
  });

  it.each([
    ['429', limited()],
    ['500', refused(500)],
    ['503', refused(503)],
    ['529', refused(529)],
    ['a connection that could not be made', unreachable],
  ])('is made after %s', async (_name, outcome) => {
    const { tried, error } = await run([outcome], { retries: 1 }, alone);
    expect(tried).toEqual(['first', 'first']);
    expect(error).toBeUndefined();
  });

  it.each([
    ['502, which may come from a proxy', refused(502)],
    ['504', refused(504)],
    ['an answer that was lost', broken],
    ['an answer that is none', { ...broken, error: new GatewayError('upstream_invalid_response', 'html') }],
    ['a quota that is used up', limited(undefined, { retry: false })],
    ['a limit of our own', { error: new GatewayError('rate_limit_exceeded', 'ours') }],
    ['pictures that came', { error: new GatewayError('upstream_error', 'later'), attempt: { status: 200, images: 1 } }],
    ['a request that is wrong', refused(400, new GatewayError('invalid_value', 'size'))],
  ])('is not made after %s', async (_name, outcome) => {
    const { tried, error } = await run([outcome], { retries: 3 }, alone);
    expect(tried).toEqual(['first']);
    expect(error).toBe(outcome.error);
  });

  it('may be allowed for further statuses', async () => {
    expect((await run([refused(502)], { retries: 1, retry_on_status: [502] }, alone)).tried).toHaveLength(2);
  });

  it('waits for as long as the provider asks', async () => {
    expect((await run([limited(3000)], { retries: 1 }, alone)).slept).toEqual([3000]);
  });

  it('is not made when the provider asks for more than may be waited', async () => {
    const { tried, slept, error } = await run([limited(3001)], { retries: 1, max_wait: 3000 }, alone);
    expect({ tried, slept }).toEqual({ tried: ['first'], slept: [] });
    expect(error).toMatchObject({ code: 'rate_limit_exceeded', retryAfterMs: 3001 });
  });

  it('goes first to the candidate that is ready first', async () => {
    const { tried } = await run([limited(3000), limited(1000)], { retries: 1 });
    expect(tried).toEqual(['first', 'second', 'second']);
  });

  it('asks the gates, like every further try', async () => {
    const asked: string[] = [];
    const gates: TryGate[] = [
      (target) => {
        asked.push(target.entity.id);
        return Promise.resolve(asked.length < 2);
      },
    ];
    const { tried, error } = await run([refused(503), refused(503), refused(503)], { retries: 5 }, { gates });
    expect(asked).toEqual(['second', 'first']);
    expect(tried).toEqual(['first', 'second']);
    expect(error).toMatchObject({ code: 'upstream_error' });
  });

  it('is not made when no time would be left', async () => {
    const { tried, slept } = await run([limited(500)], { retries: 1, timeout: 500 }, alone);
    expect({ tried, slept }).toEqual({ tried: ['first'], slept: [] });
  });

  it('comes after the end of the try before it, by its record', async () => {
    const { exchange } = await run([refused(503), refused(503)], { retries: 1 }, alone);
    expect(exchange.attempts.map(({ endedAtMs }) => endedAtMs)).toEqual([1010, 1270]);
  });
});

it('starts no further candidate when the time is up', async () => {
  const { tried } = await run([refused(503)], { timeout: 10 });
  expect(tried).toEqual(['first']);
});
