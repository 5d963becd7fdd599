import { describe, expect, it } from 'vitest';
import type { RateLimitConfig, RateLimitFile } from '../../../src/generated/stages/rate-limit.ts';
import type { Caller } from '../../../src/pipeline/settings.ts';
import { anonymous } from '../../../src/pipeline/settings.ts';
import { ConfigError, type StageEnv } from '../../../src/pipeline/stage.ts';
import { createResources } from '../../../src/runtime/resources.ts';
import { createProcessLimiter } from '../../../src/stores/process-limiter.ts';
import { rateLimit } from '../../../src/transforms/rate-limit.ts';
import { makeCaller } from '../../fixtures/budget.ts';
import {
  makeCall,
  makeEntity,
  makeExchange,
  makeOperation,
  makeRoute,
  makeStageEnv,
  makeTarget,
  silentLog,
} from '../../fixtures/exchange.ts';

const defaults = { window: 60_000, per: 'consumer' } as const;

function config(top: Partial<RateLimitFile>, ...limits: readonly Partial<RateLimitFile>[]): RateLimitConfig {
  return { ...defaults, ...top, limits: limits.map((limit) => ({ ...defaults, ...limit })) };
}

/** A clock that stands still until it is moved, and values that outlive a stage. */
function surroundings() {
  const clock = { nowMs: 0 };
  const { use } = createResources(silentLog).lease();
  const limiter = createProcessLimiter({ clock: { ...makeStageEnv().clock, monotonic: () => clock.nowMs } });
  const env: StageEnv = makeStageEnv({ share: use, limiter });
  return { clock, env };
}

type Arrival = Parameters<typeof makeExchange>[0] & { readonly caller?: Caller };

/** `ok`, or how many milliseconds the caller is told to wait. */
async function send(handle: ReturnType<typeof rateLimit.create>, slots: Arrival = {}, remoteAddress = '192.0.2.1') {
  const exchange = makeExchange({ caller: makeCaller(), ...slots }, { request: { remoteAddress } });
  const outcome: unknown = await Promise.resolve()
    .then(() => handle(exchange))
    .then(
      () => 'ok',
      (error: unknown) => error,
    );
  return { exchange, outcome, headers: Object.fromEntries(exchange.responseHeaders) };
}

async function outcomes(handle: ReturnType<typeof rateLimit.create>, arrivals: readonly Arrival[]): Promise<unknown[]> {
  const found: unknown[] = [];
  for (const slots of arrivals) {
    const { outcome } = await send(handle, slots);
    found.push(outcome === 'ok' ? 'ok' : outcome instanceof Error && 'code' in outcome ? outcome.code : outcome);
  }
  return found;
}

describe('a limit on requests', () => {
  it('refuses what is over it, says how long to wait, and lets in what waited', async () => {
    const { clock, env } = surroundings();
    const handle = rateLimit.create(config({ requests: 2, window: 10_000 }), env);
    expect((await send(handle)).headers).toEqual({
      'x-ratelimit-limit-requests': '2',
      'x-ratelimit-remaining-requests': '1',
      'x-ratelimit-reset-requests': '5s',
    });
    clock.nowMs = 100.4;
    await send(handle);
    const { outcome, headers } = await send(handle);
    expect(outcome).toMatchObject({
      code: 'rate_limit_exceeded',
      status: 429,
      retry: true,
      retryAfterMs: 4900,
      headers: { 'retry-after-ms': '4900' },
      message: 'The limit of 2 requests in 10s for each consumer has no room for this call yet.',
    });
    expect(headers).toMatchObject({ 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '9.9s' });
    clock.nowMs = 4999.9;
    expect((await send(handle)).outcome).toMatchObject({ retryAfterMs: 1 });
    clock.nowMs = 5000;
    expect((await send(handle)).outcome).toBe('ok');
  });

  it('has a burst of its own if it says so', async () => {
    const { env } = surroundings();
    const handle = rateLimit.create(config({ requests: 60, burst: 3 }), env);
    expect(await outcomes(handle, [{}, {}, {}, {}])).toEqual(['ok', 'ok', 'ok', 'rate_limit_exceeded']);
    expect((await send(handle)).headers).toMatchObject({ 'x-ratelimit-limit-requests': '3' });
  });

  it('counts what the caller is', async () => {
    const { env } = surroundings();
    const callers = [
      makeCaller({ id: 'a', user: 'alice', team: 'growth' }),
      makeCaller({ id: 'b', user: 'alice', team: 'growth' }),
      makeCaller({ id: 'c', user: 'carol', team: 'growth' }),
      makeCaller({ id: 'd', user: undefined, team: undefined }),
      makeCaller({ id: 'e', user: undefined, team: undefined }),
      anonymous,
      anonymous,
    ];
    const letIn = async (per: RateLimitFile['per']): Promise<string> => {
      const handle = rateLimit.create(config({ requests: 1, per }), env);
      const found = await outcomes(
        handle,
        callers.map((caller) => ({ caller })),
      );
      return found.map((outcome) => (outcome === 'ok' ? 'x' : '.')).join('');
    };
    expect(await letIn('consumer')).toBe('xxxxxx.');
    expect(await letIn('user')).toBe('x.xx...');
    expect(await letIn('team')).toBe('x..x...');
    expect(await letIn('global')).toBe('x......');
  });

  it('counts routes apart', async () => {
    const { env } = surroundings();
    const limit = config({ requests: 1, per: 'route' });
    const letIn = async (id: string): Promise<unknown> => {
      const route = makeRoute({ id });
      const exchange = makeExchange({ caller: makeCaller() }, { route });
      return Promise.resolve(rateLimit.create(limit, { ...env, route })(exchange)).then(
        () => 'ok',
        (error: unknown) => error,
      );
    };
    expect([await letIn('generate'), await letIn('edit')]).toEqual(['ok', 'ok']);
    expect(await letIn('edit')).toMatchObject({ code: 'rate_limit_exceeded' });
  });

  it('counts addresses by what one subscriber has', async () => {
    const { env } = surroundings();
    const handle = rateLimit.create(config({ requests: 1, per: 'ip' }), env);
    const from = async (address: string): Promise<boolean> => (await send(handle, {}, address)).outcome === 'ok';
    expect([await from('192.0.2.1'), await from('192.0.2.1'), await from('192.0.2.2')]).toEqual([true, false, true]);
    expect([await from('2001:db8::1'), await from('2001:db8:0:0:ffff::2'), await from('2001:db8:0:1::1')]).toEqual([
      true,
      false,
      true,
    ]);
  });

  it('is the same wherever it reads the same, and another under a name of its own', async () => {
    const { env } = surroundings();
    const limit = config({ requests: 1, per: 'global' });
    const here = rateLimit.create(limit, env);
    const there = rateLimit.create(limit, { ...env, route: makeRoute({ id: 'edit' }) });
    const apart = rateLimit.create(config({ id: 'apart', requests: 1, per: 'global' }), env);
    expect(await outcomes(here, [{}])).toEqual(['ok']);
    expect(await outcomes(there, [{}])).toEqual(['rate_limit_exceeded']);
    expect(await outcomes(apart, [{}])).toEqual(['ok']);
  });
});

describe('a limit on pictures', () => {
  it('counts a call with its n, or with that of its entity', async () => {
    const { env } = surroundings();
    const handle = rateLimit.create(config({ images: 10 }), env);
    const call = (n?: number) => makeCall({ parameters: { n } });
    const target = makeTarget({
      entity: makeEntity({
        operations: { generation: makeOperation({ parameters: { n: 3 } }), edition: makeOperation() },
      }),
    });
    const remaining = async (slots: Arrival): Promise<unknown> =>
      (await send(handle, slots)).headers['x-ratelimit-remaining-images'];
    expect(await remaining({ call: call(4) })).toBe('6');
    expect(await remaining({ call: call() })).toBe('5');
    expect(await remaining({ call: call(), target })).toBe('2');
    expect((await send(handle, { call: call(3) })).outcome).toMatchObject({ retryAfterMs: 6000 });
    expect(await remaining({ call: call(2), target })).toBe('0');
  });

  it('says at once of a call that it can never let in', async () => {
    const { env } = surroundings();
    const handle = rateLimit.create(config({ images: 60, burst: 4 }), env);
    const { outcome } = await send(handle, { call: makeCall({ parameters: { n: 5 } }) });
    expect(outcome).toMatchObject({ code: 'rate_limit_exceeded', retry: false, retryAfterMs: undefined });
  });
});

describe('several limits', () => {
  it('all count or none, and the one that has room last says how long to wait', async () => {
    const { clock, env } = surroundings();
    const handle = rateLimit.create(
      config({ requests: 3, window: 3000 }, { requests: 2, window: 60_000, per: 'ip' }, { images: 4, window: 4000 }),
      env,
    );
    const call = (n: number) => ({ call: makeCall({ parameters: { n } }) });
    expect(await outcomes(handle, [call(1), call(1)])).toEqual(['ok', 'ok']);
    const { outcome, headers } = await send(handle, call(3));
    expect(outcome).toMatchObject({ retryAfterMs: 30_000 });
    expect(headers).toMatchObject({ 'x-ratelimit-remaining-requests': '0', 'x-ratelimit-reset-requests': '1m0s' });
    // What was refused has taken nothing from the others.
    clock.nowMs = 30_000;
    expect((await send(handle, call(4))).headers).toMatchObject({
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-remaining-images': '0',
    });
  });

  it('show the tightest, over several stages too', async () => {
    const { env } = surroundings();
    const wide = rateLimit.create(config({ requests: 100 }), env);
    const tight = rateLimit.create(config({ requests: 5 }), env);
    for (const order of [
      [wide, tight],
      [tight, wide],
    ]) {
      const exchange = makeExchange({ caller: makeCaller() });
      for (const handle of order) await handle(exchange);
      expect(exchange.responseHeaders.get('x-ratelimit-limit-requests')).toBe('5');
    }
  });
});

describe('a limit on requests under way', () => {
  it('lets in the next when one is over, however it ended', async () => {
    const { env } = surroundings();
    const handle = rateLimit.create(config({ concurrency: 2 }), env);
    const [first, second] = [await send(handle), await send(handle)];
    const { outcome } = await send(handle);
    expect(outcome).toMatchObject({ code: 'rate_limit_exceeded', retry: true, retryAfterMs: undefined });
    expect(outcome).toMatchObject({
      message: '2 requests are under way for each consumer, and there may not be more.',
    });
    expect(await outcomes(handle, [{ caller: anonymous }])).toEqual(['ok']);
    await first.exchange.finish({ kind: 'aborted' });
    await first.exchange.finish();
    expect((await send(handle)).outcome).toBe('ok');
    expect((await send(handle)).outcome).not.toBe('ok');
    await second.exchange.finish({ kind: 'failed' });
    expect((await send(handle)).outcome).toBe('ok');
  });

  it('takes nothing from the rates when it refuses', async () => {
    const { env } = surroundings();
    const handle = rateLimit.create(config({ concurrency: 1, requests: 10 }), env);
    const first = await send(handle);
    await send(handle);
    await first.exchange.finish();
    expect((await send(handle)).headers).toMatchObject({ 'x-ratelimit-remaining-requests': '8' });
  });

  it('stands while the limit changes, under a name of its own', async () => {
    const { env } = surroundings();
    const under = (concurrency: number) => rateLimit.create(config({ id: 'slots', concurrency }), env);
    await send(under(3));
    await send(under(3));
    expect(await outcomes(under(2), [{}])).toEqual(['rate_limit_exceeded']);
    expect(await outcomes(under(4), [{}, {}, {}])).toEqual(['ok', 'ok', 'rate_limit_exceeded']);
  });
});

describe('within a fallback', () => {
  const spare = makeTarget({ entity: makeEntity({ id: 'spare' }) });

  it('counts an entity for each candidate, and the caller once', async () => {
    const { env } = surroundings();
    const handle = rateLimit.create(config({ requests: 1, per: 'entity' }, { requests: 2 }), env);
    const exchange = makeExchange({ caller: makeCaller(), target: makeTarget() });
    await handle(exchange);
    await handle({ ...exchange, target: spare });
    expect(Object.fromEntries(exchange.responseHeaders)).toMatchObject({ 'x-ratelimit-limit-requests': '2' });
    expect((await send(handle, { target: spare })).outcome).toMatchObject({ curable: true });
  });

  it('holds one place at an entity, however many of its models are tried', async () => {
    const { env } = surroundings();
    const handle = rateLimit.create(config({ concurrency: 1, per: 'entity' }), env);
    const exchange = makeExchange({ caller: makeCaller(), target: spare });
    await handle(exchange);
    await handle(exchange);
    expect((await send(handle, { target: spare })).outcome).not.toBe('ok');
    await exchange.finish();
    expect((await send(handle, { target: spare })).outcome).toBe('ok');
  });
});

describe('what a config needs', () => {
  it.each<[Partial<RateLimitFile>, readonly string[]]>([
    [{ requests: 1 }, ['caller']],
    [{ requests: 1, per: 'user' }, ['caller']],
    [{ requests: 1, per: 'ip' }, []],
    [{ concurrency: 1, per: 'global' }, []],
    [{ images: 1, per: 'route' }, ['call']],
    [{ images: 1, per: 'entity' }, ['target', 'call']],
  ])('%j: %j', (limit, slots) => {
    expect(rateLimit.needs?.(config(limit))).toEqual(slots);
    expect(rateLimit.needs?.(config({}, limit, limit))).toEqual(slots);
  });

  it.each<[string, RateLimitConfig, string]>([
    ['nothing at all', config({}), ''],
    ['an entry without a limit', config({ requests: 1 }, { per: 'ip' }), '/limits/0'],
    ['a burst of two things', config({ requests: 1, images: 2, burst: 3 }), '/burst'],
    ['a burst of nothing', config({ requests: 1 }, { concurrency: 2, burst: 3 }), '/limits/0/burst'],
    ['a burst that outlives everybody', config({ requests: 1, window: 86_400_000, burst: 1_000_000 }), '/burst'],
    ['a burst without a limit', config({ burst: 2 }, { requests: 1 }), ''],
  ])('%s is refused', (_, wrong, pointer) => {
    const { env } = surroundings();
    expect(() => rateLimit.create(wrong, env)).toThrow(ConfigError);
    expect(() => rateLimit.create(wrong, env)).toThrow(expect.objectContaining({ pointer }));
  });
});
