import { describe, expect, it } from 'vitest';
import { counterPlace } from '../../../src/budget/counters.ts';
import { createBudgetClock, type BudgetSpan } from '../../../src/budget/windows.ts';
import type { Budget } from '../../../src/pipeline/settings.ts';
import { isCounterName, isCounterRange, isInRange } from '../../../src/stores/books.ts';
import { makeBudget } from '../../fixtures/budget.ts';

const now = Date.parse('2026-11-18T13:37:00Z');
const span: BudgetSpan = createBudgetClock('month', 'UTC')(now);
const nameOf = (budget: Budget, value?: string, unit = 'images', at = span): string =>
  counterPlace(budget, unit, at, value).counter;

describe('counterPlace', () => {
  it('names budget, window and value', () => {
    expect(counterPlace(makeBudget({ id: 'growth-month', per: 'team' }), 'images', span, 'growth')).toEqual({
      counter: 'budget/growth-month/images/month/2026-11-01T00:00:00.000Z/team/growth',
      range: undefined,
    });
    const lifetime = createBudgetClock('lifetime', 'UTC')(now);
    expect(nameOf(makeBudget({ window: 'lifetime' }), undefined, 'images', lifetime)).toBe(
      'budget/all/images/lifetime/all',
    );
  });

  it('is another one for another window or value, and the same for another limit', () => {
    const budget = makeBudget({ per: 'model' });
    const name = nameOf(budget, 'a/b');
    expect(nameOf({ ...budget, limitImages: 99 }, 'a/b')).toBe(name);
    expect(nameOf(budget, 'a/b', 'images', { ...span, startMs: span.endMs })).not.toBe(name);
    expect(nameOf({ ...budget, window: 'day' }, 'a/b')).not.toBe(name);
    expect(nameOf(budget, 'a%2Fb')).not.toBe(name);
    expect(nameOf(budget, 'a/b', 'usd')).not.toBe(name);
  });

  it('is one that every store takes, whatever a caller has written as its model', () => {
    const name = (value: string): string => nameOf(makeBudget({ per: 'model' }), value);
    expect(name('x'.repeat(100_000)).length).toBeLessThan(400);
    expect(name('x'.repeat(100_000))).not.toBe(name('x'.repeat(99_999)));
    expect(name('a\ud800')).toMatch(/\/model\/a%EF%BF%BD$/);
  });

  it('has a counter for each part of a rolling window, and takes together those that reach into it', () => {
    const window = { rollingMs: 60 * 60_000 };
    const budget = makeBudget({ id: 'hourly', window, per: 'team' });
    const at = (text: string) =>
      counterPlace(budget, 'images', createBudgetClock(window, 'UTC')(Date.parse(text)), 'a');
    const place = at('2026-11-18T13:37:11Z');
    expect(place).toEqual({
      counter: 'budget/hourly/images/rolling-1h/team/a/2026-11-18T13:37:00.000Z',
      range: {
        prefix: 'budget/hourly/images/rolling-1h/team/a/',
        from: 'budget/hourly/images/rolling-1h/team/a/2026-11-18T12:37:00.000Z',
      },
    });
    const { range } = place;
    if (range === undefined) throw new Error('no range');
    expect(isCounterRange(range) && isCounterName(place.counter) && isInRange(place.counter, range)).toBe(true);
    expect(isInRange(at('2026-11-18T12:37:59.999Z').counter, range)).toBe(true);
    expect(isInRange(at('2026-11-18T12:36:59.999Z').counter, range)).toBe(false);
  });

  it('is another one for another length of a rolling window, however that is written', () => {
    const name = (rollingMs: number): string => nameOf(makeBudget({ window: { rollingMs } }));
    expect(name(3_600_000)).not.toBe(name(3_600_001));
  });
});
