import { describe, expect, it } from 'vitest';
import { costOf, imagesUsed, knownCost, tokensOf, triesOf } from '../../../src/budget/usage.ts';
import type { Attempt } from '../../../src/pipeline/exchange.ts';
import { makeAttempt } from '../../fixtures/exchange.ts';
import { priceQuestion } from '../../fixtures/prices.ts';

const lost = { images: undefined, status: undefined };
const asked = 4;

const used = (...attempts: readonly Partial<Attempt>[]): number =>
  imagesUsed(attempts.map((attempt) => makeAttempt({ question: priceQuestion({ n: asked }), ...attempt })));

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
    expect(used(attempt)).toBe(images);
  });

  it('counts of a fanned-out call what came, and what was asked for with the requests whose answers were lost', () => {
    const question = priceQuestion({ n: 1 });
    expect(used({ question }, { question, ...lost }, { question, ...lost }, { question, images: 0 })).toBe(3);
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

  it('counts the most that a lost answer may have cost', () => {
    expect(cost({ costNanoUsd: 5 }, { ...lost, mostNanoUsd: 8 })).toBe(13);
    expect(cost({ status: 503, images: undefined, mostNanoUsd: 8 })).toBe(0);
  });

  it('counts what a provider says that it billed for nothing', () => {
    expect(cost({ images: 0, costNanoUsd: 3 })).toBe(3);
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
    expect(cost({ images: undefined, mostNanoUsd: 9 }, { costNanoUsd: 7 })).toBeUndefined();
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
