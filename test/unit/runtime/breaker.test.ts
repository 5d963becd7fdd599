import { describe, expect, it } from 'vitest';
import { createBreaker, type Verdict } from '../../../src/runtime/breaker.ts';

function bench(given: { failures?: number; failureRate?: number } = {}) {
  const clock = { nowMs: 50_000 };
  const changes: string[] = [];
  const breaker = createBreaker(
    { failures: 3, failureRate: 75, openForMs: 1000, ...given },
    () => clock.nowMs,
    (state) => void changes.push(state),
  );
  /** A call of its own that ends at once; false when it is not let through. */
  const call = (verdict: Verdict): boolean => {
    const judge = breaker.enter({});
    judge?.(verdict);
    return judge !== undefined;
  };
  return { clock, changes, breaker, call };
}

describe('a breaker', () => {
  it('opens after so many failures in a row', () => {
    const { breaker, call, changes } = bench();
    call('fails');
    call('fails');
    expect([breaker.state(), breaker.failures()]).toEqual(['closed', 2]);
    call('fails');
    expect([breaker.state(), breaker.closedForMs(), changes]).toEqual(['open', 1000, ['open']]);
    expect(call('works')).toBe(false);
  });

  it('begins to count anew after a success, and not after what says nothing', () => {
    const { breaker, call } = bench();
    for (const verdict of ['fails', 'fails', 'unknown', 'works', 'fails', 'fails', 'unknown'] as const) call(verdict);
    expect([breaker.state(), breaker.failures()]).toEqual(['closed', 2]);
    call('fails');
    expect(breaker.state()).toBe('open');
  });

  it('opens when too large a share of many calls fails', () => {
    const { breaker, call } = bench({ failures: 1000 });
    for (let round = 0; round < 4; round += 1)
      for (const verdict of ['works', 'fails', 'fails', 'fails'] as const) call(verdict);
    expect(breaker.state()).toBe('closed');
    for (const verdict of ['works', 'fails', 'fails', 'fails'] as const) call(verdict);
    expect(breaker.state()).toBe('open');
  });

  it('forgets what was long ago', () => {
    const { breaker, call, clock } = bench({ failures: 1000 });
    for (let round = 0; round < 19; round += 1) call('fails');
    clock.nowMs += 40_000;
    call('fails');
    expect(breaker.state()).toBe('closed');
  });

  it('lets one call through when its time is up, and closes when that succeeds', () => {
    const { breaker, call, clock, changes } = bench({ failures: 1 });
    call('fails');
    clock.nowMs += 999;
    expect(call('works')).toBe(false);
    clock.nowMs += 1;
    expect(breaker.state()).toBe('half_open');
    const probe = breaker.enter({});
    expect(call('works')).toBe(false);
    probe?.('works');
    expect([breaker.state(), breaker.failures(), changes]).toEqual(['closed', 0, ['open', 'closed']]);
    expect(call('works')).toBe(true);
  });

  it('stays open for as long again when that fails', () => {
    const { breaker, call, clock } = bench({ failures: 1 });
    call('fails');
    clock.nowMs += 1000;
    expect(call('fails')).toBe(true);
    expect([breaker.state(), breaker.closedForMs(), breaker.failures()]).toEqual(['open', 1000, 2]);
  });

  it('lets the next call through when that says nothing', () => {
    const { breaker, call, clock } = bench({ failures: 1 });
    call('fails');
    clock.nowMs += 1000;
    expect(call('unknown')).toBe(true);
    expect(call('works')).toBe(true);
    expect(breaker.state()).toBe('closed');
  });

  it('lets all requests of the call through', () => {
    const { breaker, call, clock } = bench({ failures: 1 });
    call('fails');
    clock.nowMs += 1000;
    const own = {};
    const judges = [breaker.enter(own), breaker.enter(own)];
    expect(call('works')).toBe(false);
    judges[1]?.('works');
    judges[0]?.('fails');
    expect([breaker.state(), breaker.failures()]).toEqual(['closed', 0]);
  });

  it('does not wait for ever for a call that is never heard of again', () => {
    const { breaker, call, clock } = bench({ failures: 1 });
    call('fails');
    clock.nowMs += 1000;
    const lost = breaker.enter({});
    clock.nowMs += 1000;
    const probe = breaker.enter({});
    lost?.('fails');
    expect(breaker.state()).toBe('half_open');
    probe?.('works');
    expect(breaker.state()).toBe('closed');
    expect(call('works')).toBe(true);
  });

  it('closes when a call succeeds that took longer than the next one was kept waiting', () => {
    const { breaker, clock } = bench({ failures: 1 });
    breaker.enter({})?.('fails');
    clock.nowMs += 1000;
    const slow = breaker.enter({});
    clock.nowMs += 1000;
    const next = breaker.enter({});
    slow?.('unknown');
    expect([breaker.state(), breaker.closedForMs()]).toEqual(['half_open', 1000]);
    slow?.('works');
    expect(breaker.state()).toBe('closed');
    next?.('fails');
    expect([breaker.state(), breaker.failures()]).toEqual(['closed', 0]);
  });

  it('does not listen to calls from before it opened', () => {
    const { breaker, call, clock } = bench({ failures: 2 });
    const [early, late] = [breaker.enter({}), breaker.enter({})];
    call('fails');
    call('fails');
    early?.('works');
    late?.('fails');
    expect([breaker.state(), breaker.closedForMs(), breaker.failures()]).toEqual(['open', 1000, 2]);
    clock.nowMs += 1000;
    expect(call('works')).toBe(true);
  });

  it('lets through whom it is told to while it is open: a success closes it, a failure keeps it open no longer', () => {
    const { breaker, call, clock } = bench({ failures: 1 });
    call('fails');
    clock.nowMs += 400;
    breaker.enter({}, true)?.('fails');
    expect([breaker.state(), breaker.closedForMs(), breaker.failures()]).toEqual(['open', 600, 2]);
    const late = breaker.enter({}, true);
    breaker.enter({}, true)?.('works');
    expect(breaker.state()).toBe('closed');
    // It was let through before, and says nothing about the time after it.
    late?.('fails');
    expect([breaker.state(), breaker.failures()]).toEqual(['closed', 0]);
  });
});
