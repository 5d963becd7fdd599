import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { PriceBook } from '../../../src/pipeline/prices.ts';
import { anonymous, type Alias, type Caller } from '../../../src/pipeline/settings.ts';
import type { StageEnv } from '../../../src/pipeline/stage.ts';
import { createAliasOrder, type AliasChoice } from '../../../src/transforms/alias-order.ts';
import { makeCaller } from '../../fixtures/budget.ts';
import { makeAttempt, makeCall, makeEntity, makeStageEnv } from '../../fixtures/exchange.ts';
import { priceQuestion } from '../../fixtures/prices.ts';

type Strategy = Alias['strategy'];

const strategies: readonly Strategy[] = ['failover', 'round_robin', 'weighted', 'least_latency', 'least_cost'];

function choice(id: string, given: Partial<Omit<AliasChoice, 'target'>> = {}): AliasChoice {
  return { target: { entity: makeEntity({ id }), model: 'm', alias: 'a' }, weight: 1, priority: 0, ...given };
}

/** Prices by entity; what is not in the list has none. */
function priceList(prices: Readonly<Record<string, number>>): PriceBook {
  const none = () => ({ kind: 'unpriced' }) as const;
  return {
    estimate({ entity, n }) {
      const nanoUsd = prices[entity];
      return nanoUsd === undefined ? none() : { kind: 'priced', nanoUsd: nanoUsd * n, basis: 'per_image' };
    },
    actual: none,
    explain() {
      throw new Error('This test did not expect an explanation.');
    },
  };
}

function ordering(
  strategy: Strategy,
  { sticky, caller = anonymous, takesTurn = true }: { sticky?: 'user'; caller?: Caller; takesTurn?: boolean } = {},
  env: Partial<Omit<StageEnv, 'catalogue'>> & { readonly prices?: PriceBook } = {},
) {
  const { prices = priceList({}), ...members } = env;
  const alias: Alias = { name: 'a', strategy, sticky, targets: [] };
  const made = createAliasOrder(makeStageEnv({ ...members, catalogue: { prices, aliases: new Map([['a', alias]]) } }));
  return {
    ...made,
    of: (choices: readonly AliasChoice[], user?: string) =>
      made
        .order(alias, choices, { call: makeCall({ parameters: { user } }), caller, takesTurn })
        .map(({ target }) => target.entity.id),
  };
}

const ids = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,6}$/), { minLength: 1, maxLength: 8 });
const someChoices = ids.chain((names) =>
  fc.tuple(
    ...names.map((id) =>
      fc.record({ weight: fc.nat(5), priority: fc.nat(2) }).map((given): AliasChoice => choice(id, given)),
    ),
  ),
);

describe('the order of an alias', () => {
  it('has every target once, and those with a lower number of priority first, whatever the strategy', () => {
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
    fc.assert(
      fc.property(
        someChoices,
        fc.constantFrom(...strategies),
        fc.option(fc.constant('user' as const), { nil: undefined }),
        fc.option(fc.string({ minLength: 1 }), { nil: undefined }),
        random,
        fc.boolean(),
        (choices, strategy, sticky, user, drawn, takesTurn) => {
          const given = { takesTurn, ...(sticky === undefined ? {} : { sticky }) };
          const { of } = ordering(strategy, given, { random: () => drawn });
          for (let turn = 0; turn < 3; turn += 1) {
            const found = of(choices, user);
            const priorityOf = (id: string): number =>
              choices.find(({ target }) => target.entity.id === id)?.priority ?? NaN;
            expect(found.toSorted()).toEqual(choices.map(({ target }) => target.entity.id).toSorted());
            expect(found.map(priorityOf)).toEqual(found.map(priorityOf).toSorted((left, right) => left - right));
          }
        },
      ),
    );
  });

  it('begins with each target of a priority in turn for round_robin, and takes no turn to explain', () => {
    const shared = { taken: 0 };
    const share = ((key: string, create: () => unknown): unknown =>
      key === 'alias-turn:a' ? shared : create()) as StageEnv['share'];
    const choices = [choice('z', { priority: 1 }), choice('a'), choice('b'), choice('y', { priority: 1 })];
    const taking = ordering('round_robin', {}, { share });
    const looking = ordering('round_robin', { takesTurn: false }, { share });
    const seen = Array.from({ length: 3 }, () => [looking.of(choices), looking.of(choices), taking.of(choices)]);
    const first = ['a', 'b', 'z', 'y'];
    const second = ['b', 'a', 'y', 'z'];
    expect(seen).toEqual([
      [first, first, first],
      [second, second, second],
      [first, first, first],
    ]);
  });

  it('begins with targets in proportion to their weights, and with the likeliest to explain', () => {
    const choices = [choice('none', { weight: 0 }), choice('one'), choice('three', { weight: 3 })];
    const firsts = Array.from({ length: 100 }, (_, index) =>
      ordering('weighted', {}, { random: () => (index + 0.5) / 100 })
        .of(choices)
        .at(0),
    );
    expect(Object.groupBy(firsts, (first) => first ?? '')).toMatchObject({
      one: { length: 25 },
      three: { length: 75 },
    });
    expect(ordering('weighted', { takesTurn: false }).of(choices)).toEqual(['three', 'one', 'none']);
  });

  it('begins with the lowest price for the call for least_cost; equal ones keep their order, unpriced ones are last', () => {
    fc.assert(
      fc.property(ids, fc.array(fc.nat(3)), (names, drawn) => {
        const prices = Object.fromEntries(names.flatMap((id, index) => (drawn[index] ? [[id, drawn[index]]] : [])));
        const priceOf = (id: string): number => prices[id] ?? Infinity;
        const expected = names
          .map((id, index) => ({ id, index }))
          .toSorted((left, right) => {
            const [a, b] = [priceOf(left.id), priceOf(right.id)];
            return a === b ? left.index - right.index : a < b ? -1 : 1;
          });
        const { of } = ordering('least_cost', {}, { prices: priceList(prices) });
        expect(of(names.map((id) => choice(id)))).toEqual(expected.map(({ id }) => id));
      }),
    );
  });

  it('asks for the price of the call as the target would get it', () => {
    const asked: unknown[] = [];
    const prices: PriceBook = {
      ...priceList({}),
      estimate(question) {
        asked.push([question.entity, question.model, question.n]);
        return { kind: 'unpriced' };
      },
    };
    const made = createAliasOrder(makeStageEnv({ catalogue: { prices } }));
    const alias = { name: 'a', strategy: 'least_cost', sticky: undefined } as const;
    const call = makeCall({ parameters: { n: 3 } });
    made.order(alias, [choice('x'), choice('y')], { call, caller: anonymous, takesTurn: true });
    expect(asked).toEqual([
      ['x', 'm', 3],
      ['y', 'm', 3],
    ]);
  });

  describe('by least_latency', () => {
    /** A clock that the test moves, and what targets take, in milliseconds. */
    function timed() {
      const time = { ms: 0 };
      const clock = { ...makeStageEnv().clock, monotonic: () => time.ms };
      const made = ordering('least_latency', {}, { clock });
      const attempt = (entity: string, given: Parameters<typeof makeAttempt>[0]): void =>
        made.latencies.observe(
          [makeAttempt({ entity, model: 'm', question: priceQuestion(), startedAtMs: 0, ...given })],
          { kind: 'answered', status: 200, error: undefined },
          () => true,
        );
      return {
        ...made,
        time,
        attempt,
        took: (entity: string, tookMs: number) => attempt(entity, { answeredAtMs: tookMs }),
      };
    }
    const choices = [choice('a'), choice('b'), choice('c')];

    it('begins with what nothing is known of, then with what answers fastest', () => {
      const { of, took } = timed();
      expect(of(choices)).toEqual(['a', 'b', 'c']);
      took('a', 30);
      expect(of(choices)).toEqual(['b', 'c', 'a']);
      took('b', 10);
      took('c', 20);
      expect(of(choices)).toEqual(['b', 'c', 'a']);
    });

    it('follows the average, not the last answer', () => {
      const { of, took } = timed();
      for (const [entity, tookMs] of Object.entries({ a: 30, b: 10, c: 20 })) took(entity, tookMs);
      took('b', 40);
      expect(of(choices)).toEqual(['b', 'c', 'a']);
      for (let answer = 0; answer < 5; answer += 1) took('b', 40);
      expect(of(choices)).toEqual(['c', 'a', 'b']);
    });

    it('counts answers only, and puts what has just failed and is not known otherwise behind all others', () => {
      const { of, took, attempt, time } = timed();
      took('c', 20);
      attempt('a', { status: 503 });
      attempt('b', { status: 400 });
      attempt('c', { status: undefined });
      expect(of(choices)).toEqual(['b', 'c', 'a']);
      took('a', 10);
      took('b', 15);
      expect(of(choices)).toEqual(['a', 'b', 'c']);
      time.ms += 59_000;
      expect(of(choices)).toEqual(['a', 'b', 'c']);
    });

    it('finds out anew what it has not heard of for ten minutes, and a failure after one', () => {
      const { of, took, attempt, time } = timed();
      for (const [entity, tookMs] of Object.entries({ a: 30, b: 10 })) took(entity, tookMs);
      attempt('c', { status: 500 });
      time.ms = 60_000;
      expect(of(choices)).toEqual(['c', 'b', 'a']);
      took('b', 10);
      took('c', 20);
      time.ms = 600_000;
      expect(of(choices)).toEqual(['a', 'b', 'c']);
    });

    it('does not remember more than it can use', () => {
      const { of, took } = timed();
      took('a', 10);
      for (let index = 0; index < 4096; index += 1) took(`other-${index}`, 1);
      took('b', 5);
      took('c', 5);
      expect(of(choices)).toEqual(['a', 'b', 'c']);
    });
  });

  describe('sticky by user', () => {
    const users = Array.from({ length: 400 }, (_, index) => `user-${index}`);
    const choices = ['a', 'b', 'c', 'd'].map((id) => choice(id));

    it.each(strategies)(
      'gives a user the same first target each time under %s, and another where theirs is gone',
      (strategy) => {
        fc.assert(
          fc.property(ids, fc.string({ minLength: 1 }), fc.nat(), (names, user, gone) => {
            const all = names.map((id) => choice(id));
            const { of } = ordering(strategy, { sticky: 'user' }, { random: () => 0.5 });
            const before = of(all, user);
            expect(of(all.toReversed(), user)).toEqual(before);
            const lost = names[gone % names.length];
            const after = of(
              all.filter(({ target }) => target.entity.id !== lost),
              user,
            );
            expect(after).toEqual(before.filter((id) => id !== lost));
          }),
        );
      },
    );

    it('spreads users evenly, or by weight under weighted', () => {
      const even = Map.groupBy(users, (user) => ordering('failover', { sticky: 'user' }).of(choices, user).at(0));
      for (const { length } of even.values()) expect(length).toBeGreaterThan(60);
      expect(even.size).toBe(4);
      const weighted = [choice('a', { weight: 9 }), choice('b'), choice('c', { weight: 0 })];
      const byWeight = Map.groupBy(users, (user) => ordering('weighted', { sticky: 'user' }).of(weighted, user).at(0));
      expect(byWeight.get('a')?.length).toBeGreaterThan(320);
      expect(byWeight.get('b')?.length).toBeGreaterThan(15);
      expect(byWeight.has('c')).toBe(false);
    });

    it('knows a caller by its end user, else by its user, else as the consumer it is', () => {
      const firstOf = (caller: Caller, user?: string): string =>
        ordering('failover', { sticky: 'user', caller }).of(choices, user).join();
      const callers = users.map((user) => ({
        viaHeader: firstOf({ ...anonymous, endUser: user }),
        viaParameter: firstOf(anonymous, user),
        asUser: firstOf(makeCaller({ id: 'one', user })),
        asUserElsewhere: firstOf(makeCaller({ id: 'two', user })),
      }));
      expect(callers.every(({ viaHeader, viaParameter }) => viaHeader === viaParameter)).toBe(true);
      expect(callers.every(({ asUser, asUserElsewhere }) => asUser === asUserElsewhere)).toBe(true);
      const consumers = users.map((id) => firstOf(makeCaller({ id, user: undefined })));
      expect(new Set(consumers).size).toBe(24);
    });

    it('leaves callers of whom nothing is known to the strategy', () => {
      const { of } = ordering('round_robin', { sticky: 'user' });
      expect([of(choices).at(0), of(choices).at(0), of(choices).at(0)]).toEqual(['a', 'b', 'c']);
    });
  });
});
