import { describe, expect, it } from 'vitest';
import { createRetryBudget } from '../../../src/transforms/retry-budget.ts';

function budgetAt(start = 0) {
  const clock = { nowMs: start };
  const budget = createRetryBudget(() => clock.nowMs);
  const call = (count: number): void => {
    for (let done = 0; done < count; done += 1) budget.call('main');
  };
  const taken = (percent: number): number => {
    let count = 0;
    while (budget.take('main', percent)) count += 1;
    return count;
  };
  return { clock, budget, call, taken };
}

describe('the budget of retries', () => {
  it('is a share of the calls', () => {
    const { call, taken } = budgetAt();
    call(100);
    expect(taken(20)).toBe(20);
  });

  it('has room for three, however few calls there are', () => {
    const { call, taken } = budgetAt();
    call(1);
    expect(taken(20)).toBe(3);
  });

  it('may be nothing at all', () => {
    const { call, taken } = budgetAt();
    call(100);
    expect(taken(0)).toBe(0);
  });

  it('forgets after ten seconds', () => {
    const { clock, call, taken } = budgetAt(123_456);
    call(100);
    expect(taken(20)).toBe(20);
    clock.nowMs += 5000;
    expect(taken(20)).toBe(0);
    clock.nowMs += 5500;
    expect(taken(20)).toBe(3);
  });

  it('is each entity’s own', () => {
    const { budget, call, taken } = budgetAt();
    call(10);
    taken(20);
    expect(budget.take('other', 20)).toBe(true);
  });
});
