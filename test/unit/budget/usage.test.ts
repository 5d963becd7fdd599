import { describe, expect, it } from 'vitest';
import { costOf, imagesUsed, knownCost, tokensOf, triesOf } from '../../../src/budget/usage.ts';
import type { Attempt } from '../../../src/pipeline/exchange.ts';
import { makeAttempt } from '../../fixtures/exchange.ts';

const lost = { images: undefined, status: undefined };
const asked = 4;

function used(lostCounts: boolean, ...attempts: readonly Partial<Attempt>[]): number {
  const [only, ...others] = triesOf(attempts.map((attempt) => makeAttempt({ endedAtMs: 9, ...attempt })));
  if (only === undefined || others.length > 0) throw new Error('This is not one try.');
  return imagesUsed(only, asked, lostCounts);
}

describe('imagesUsed', () => {
  it.each<[string, Partial<Attempt>, number]>([
    ['what was delivered', { images: 3 }, 3],
    ['nothing for what was never sent', { ...lost, sent: false }, 0],
    ['nothing for a refusal', { images: undefined, status: 400 }, 0],
    ['nothing for a failure of the provider', { images: undefined, status: 503 }, 0],
    ['nothing for a redirect', { images: undefined, status: 302 }, 0],
    ['what was asked when the connection broke', lost, asked],
    ['what was asked when the answer could not be read', { images: undefined, status: 200 }, asked],
  ])('counts %s', (_what, attempt, images) => {
    expect(used(true, attempt)).toBe(images);
  });

  it('counts nothing for a lost answer when it is told not to', () => {
    expect(used(false, lost)).toBe(0);
    expect(used(false, { images: 2 })).toBe(2);
  });

  it('counts no more than was asked when some answers of a fanned-out call are lost', () => {
    expect(used(true, { images: 1 }, lost, lost, { images: 1 })).toBe(asked);
    expect(used(false, { images: 1 }, lost, lost, { images: 1 })).toBe(2);
  });
});

describe('costOf', () => {
  const cost = (...attempts: readonly Partial<Attempt>[]): number | undefined =>
    costOf(attempts.map((attempt) => makeAttempt(attempt)));

  it('is the sum over all that can have been billed', () => {
    expect(cost({ costNanoUsd: 5 }, { costNanoUsd: 7 })).toBe(12);
    expect(cost({ images: 0, status: 500 }, { costNanoUsd: 7 })).toBe(7);
    expect(cost({ ...lost, sent: false }, { costNanoUsd: 7 })).toBe(7);
  });

  it('is nothing when nothing can have been billed', () => {
    expect(cost()).toBe(0);
    expect(cost({ images: 0 })).toBe(0);
    expect(cost({ ...lost, sent: false })).toBe(0);
    expect(cost({ images: undefined, status: 400 })).toBe(0);
  });

  it('is not known when what can have been billed did not tell', () => {
    expect(cost({ costNanoUsd: 5 }, {})).toBeUndefined();
    expect(cost({ costNanoUsd: 5 }, lost)).toBeUndefined();
  });

  it('goes by whatever knows what an attempt costs', () => {
    expect(costOf([makeAttempt({ images: 3 })], ({ images = 0 }) => images * 40)).toBe(120);
  });
});

describe('tokensOf', () => {
  it('adds up what providers told, and is nothing when none did', () => {
    const usage = { inputTokens: 1, outputTokens: 2, totalTokens: 3 };
    expect(tokensOf([makeAttempt({ usage }), makeAttempt(), makeAttempt({ usage })])).toEqual({
      inputTokens: 2,
      outputTokens: 4,
    });
    expect(tokensOf([makeAttempt()])).toBeUndefined();
  });
});

describe('knownCost', () => {
  const cost = (...attempts: readonly Partial<Attempt>[]): number | undefined =>
    knownCost(attempts.map((attempt) => makeAttempt(attempt)));

  it('is the sum over what delivered', () => {
    expect(cost({ costNanoUsd: 5 }, { costNanoUsd: 7 })).toBe(12);
    expect(cost({ images: 0 }, { costNanoUsd: 7 })).toBe(7);
    expect(cost({ ...lost, sent: false }, { costNanoUsd: 7 })).toBe(7);
  });

  it('is not known when something delivered without a word about it, or nothing did', () => {
    expect(cost({ costNanoUsd: 5 }, {})).toBeUndefined();
    expect(cost({ images: undefined }, { costNanoUsd: 7 })).toBeUndefined();
    expect(cost({ images: 0 })).toBeUndefined();
    expect(cost()).toBeUndefined();
  });
});

describe('triesOf', () => {
  const sizes = (...attempts: readonly Partial<Attempt>[]): readonly number[] =>
    triesOf(attempts.map((attempt) => makeAttempt(attempt))).map((each) => each.attempts.length);

  it('takes attempts at different targets for different tries', () => {
    expect(sizes({ entity: 'a', endedAtMs: 9 }, { entity: 'b' }, { entity: 'a' })).toEqual([1, 1, 1]);
    expect(sizes({ model: 'a', endedAtMs: 9 }, { model: 'b' })).toEqual([1, 1]);
  });

  it('takes attempts at one target for one try when they ran at the same time', () => {
    expect(sizes({ startedAtMs: 5, endedAtMs: 8 }, { startedAtMs: 6, endedAtMs: 7 }, { startedAtMs: 7 })).toEqual([3]);
    expect(sizes({ startedAtMs: 5, endedAtMs: undefined }, { startedAtMs: 6 })).toEqual([2]);
  });

  it('takes an attempt that began after the last had ended for another try', () => {
    expect(sizes({ startedAtMs: 5, endedAtMs: 7 }, { startedAtMs: 7, endedAtMs: 9 })).toEqual([1, 1]);
  });
});
