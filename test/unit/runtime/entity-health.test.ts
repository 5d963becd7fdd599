import { describe, expect, it } from 'vitest';
import { errorTable, GatewayError, type ErrorCode } from '../../../src/errors.ts';
import type { Visit } from '../../../src/pipeline/health.ts';
import { createBreakers, createEntityHealth, type HealthSettings } from '../../../src/runtime/entity-health.ts';
import { createPlaces } from '../../../src/runtime/places.ts';
import { createTokenRing } from '../../../src/runtime/token-ring.ts';
import { silentLog } from '../../fixtures/exchange.ts';

const { signal } = new AbortController();
const options = { signal, isLast: false };

function bench(given: Partial<HealthSettings> = {}, tokens = 'sk-a') {
  const clock = { nowMs: 1000 };
  const monotonic = (): number => clock.nowMs;
  const settings: HealthSettings = {
    enabled: true,
    per: 'model',
    lastResort: true,
    failures: 1,
    failureRate: 75,
    openForMs: 1000,
    restMs: 100,
    maxRestMs: 5000,
    refusedRestMs: 3000,
    ...given,
  };
  const health = createEntityHealth({
    settings,
    tokens: createTokenRing(tokens, monotonic),
    breakers: createBreakers('main', settings, { monotonic, log: silentLog }),
    places: createPlaces({ timer: () => ({ cancel() {} }) }),
    placeSettings: { max: Infinity, queue: 0, waitMs: 0 },
  });
  /** A call that ends at once. */
  const call = async (outcome: Parameters<Visit['end']>[0], model = 'm'): Promise<string | undefined> => {
    const visit = await health.enter(model, {}, options);
    visit.end(outcome);
    return visit.token?.reveal();
  };
  return { clock, health, call };
}

const failure = (code: ErrorCode, details = {}): GatewayError => new GatewayError(code, 'failed', details);
const failing: readonly ErrorCode[] = [
  'upstream_error',
  'upstream_auth_failed',
  'upstream_invalid_response',
  'upstream_unreachable',
  'upstream_timeout',
];

describe('the health of an entity', () => {
  it.each(failing)('suffers from %s', async (code) => {
    const { health, call } = bench();
    await call(failure(code));
    expect(health.standing('m')).toMatchObject({ kind: 'open', forMs: 1000 });
  });

  const others = (Object.keys(errorTable) as ErrorCode[]).filter((code) => !failing.includes(code));
  it.each(others)('does not suffer from %s', async (code) => {
    const { health, call } = bench();
    await call(failure(code));
    expect(health.standing('m').kind).not.toBe('open');
  });

  it('is that of each model', async () => {
    const { health, call } = bench();
    await call(failure('upstream_error'), 'sick');
    expect([health.standing('sick').kind, health.standing('well').kind]).toEqual(['open', 'ready']);
    expect(health.report()).toEqual({
      state: 'open',
      in_flight: 0,
      queued: 0,
      targets: [{ model: 'sick', state: 'open', failures: 1, open_for_ms: 1000 }],
      resting_tokens: [],
    });
  });

  it('is that of the entity where the file says so', async () => {
    const { health, call } = bench({ per: 'entity' });
    await call(failure('upstream_error'), 'sick');
    expect(health.standing('well').kind).toBe('open');
    expect(health.report().targets).toEqual([{ state: 'open', failures: 1, open_for_ms: 1000 }]);
  });

  it('keeps calls out that would fail, and tells when it is worth another try', async () => {
    const { health, call, clock } = bench();
    await call(failure('upstream_error'));
    clock.nowMs += 400;
    expect(() => health.enter('m', {}, options)).toThrow(
      expect.objectContaining({ code: 'no_healthy_target', status: 503, retryAfterMs: 600 }),
    );
    expect(health.report().in_flight).toBe(0);
  });

  it('lets them in all the same where nobody else is left, unless it is no last resort', async () => {
    const { health, call } = bench();
    await call(failure('upstream_error'));
    const visit = await health.enter('m', {}, { signal, isLast: true });
    expect(health.standing('m').kind).toBe('open');
    visit.end('answered');
    expect(health.standing('m').kind).toBe('ready');

    const strict = bench({ lastResort: false });
    await strict.call(failure('upstream_error'));
    expect(() => strict.health.enter('m', {}, { signal, isLast: true })).toThrow(
      expect.objectContaining({ code: 'no_healthy_target' }),
    );
  });

  it('does not go by anything when it is switched off', async () => {
    const { health, call } = bench({ enabled: false });
    await call(failure('upstream_error'));
    await call(failure('rate_limit_exceeded'));
    expect([health.standing('m').kind, health.report().resting_tokens]).toEqual(['ready', []]);
  });

  it('counts a visit once, and its place until it is left', async () => {
    const { health } = bench();
    const visit = await health.enter('m', {}, options);
    expect(health.report().in_flight).toBe(1);
    visit.leave();
    visit.end('answered');
    visit.end(failure('upstream_error'));
    expect(health.report()).toMatchObject({ in_flight: 0, state: 'closed' });
  });

  it('does not remember more models than an entity has', async () => {
    const { health, call } = bench();
    for (let index = 0; index < 300; index += 1) await call(failure('upstream_error'), `m-${String(index)}`);
    expect(health.report().targets).toHaveLength(256);
    expect(health.standing('m-299').kind).toBe('open');
  });
});

describe('a token', () => {
  it.each([
    [
      'a 429 that says for how long',
      failure('rate_limit_exceeded', { retryAfterMs: 700 }),
      { model: 'm', for_ms: 700 },
    ],
    ['a 429 that does not', failure('rate_limit_exceeded'), { model: 'm', for_ms: 100 }],
    ['a 429 that says for ever', failure('rate_limit_exceeded', { retryAfterMs: 9e9 }), { model: 'm', for_ms: 5000 }],
    ['a quota used up', failure('rate_limit_exceeded', { publicCode: 'insufficient_quota' }), { for_ms: 3000 }],
    ['a refusal of the token', failure('upstream_auth_failed'), { for_ms: 3000 }],
  ])('rests after %s', async (_name, error, rest) => {
    const { health, call } = bench({ failures: 9 }, 'sk-a,sk-b');
    expect(await call(error)).toBe('sk-a');
    expect(health.report().resting_tokens).toEqual([{ token: 1, ...rest }]);
    expect(health.standing('m')).toEqual({ kind: 'ready' });
    expect([await call('answered'), await call('answered')]).toEqual(['sk-b', 'sk-b']);
  });

  it('is back when its time is up', async () => {
    const { clock, call } = bench({ failures: 9 }, 'sk-a,sk-b');
    await call(failure('rate_limit_exceeded'));
    await call('answered');
    clock.nowMs += 100;
    expect(await call('answered')).toBe('sk-a');
  });

  it('is taken all the same when there is no other, after the other candidates', async () => {
    const { health, call } = bench();
    await call(failure('rate_limit_exceeded', { retryAfterMs: 700 }));
    expect(health.standing('m')).toEqual({ kind: 'resting', forMs: 700 });
    expect(await call('answered')).toBe('sk-a');
    expect(health.standing('m')).toEqual({ kind: 'ready' });
  });
});
