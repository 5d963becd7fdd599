import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CounterState, Hold, Reservation, Store } from '../../src/stores/store.ts';

/**
 * What every state store must do.
 * @param open an empty store
 */
export function storeContract(name: string, open: () => Promise<Store>): void {
  describe(`${name} store`, () => {
    let store: Store;

    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    const reserve = (id: string, ...holds: readonly Hold[]): Promise<Reservation> => store.reserve(id, holds);

    describe('reserve', () => {
      it('says zeros of a counter that was never touched', async () => {
        expect(await store.read('never')).toEqual({ settled: 0, held: 0 });
      });

      it('counts what is held until it is settled', async () => {
        expect(await reserve('a', hold('images', 3, 10))).toEqual({ kind: 'held' });
        expect(await store.read('images')).toEqual({ settled: 0, held: 3 });
      });

      it('fills a counter to its limit and not beyond', async () => {
        expect(await reserve('a', hold('images', 10, 10))).toEqual({ kind: 'held' });
        expect(await reserve('b', hold('images', 1, 10))).toEqual({
          kind: 'refused',
          counter: 'images',
          state: { settled: 0, held: 10 },
        });
      });

      it('lets exactly 100 of 500 concurrent reservations have the 100 that there are', async () => {
        const answers = await Promise.all(many(500, (index) => reserve(`r${index}`, hold('images', 1, 100))));
        expect(answers.filter(({ kind }) => kind === 'held')).toHaveLength(100);
        expect(await store.read('images')).toEqual({ settled: 0, held: 100 });
      });

      it('stays exact while reservations are settled and released in between', async () => {
        let settled = 0;
        await Promise.all(
          many(400, async (index) => {
            const { kind } = await reserve(`r${index}`, hold('images', 2, 50));
            if (kind === 'refused') return;
            if (index % 3 === 0) await store.release(`r${index}`);
            else await store.settle(`r${index}`, [1]).then(() => (settled += 1));
          }),
        );
        expect(await store.read('images')).toEqual({ settled, held: 0 });
        expect(settled).toBeLessThanOrEqual(50);
      });

      it('takes all counters or none, and names the first without room', async () => {
        await reserve('a', hold('team', 5, 5), hold('user', 5, 5));
        const answer = await reserve('b', hold('all', 1, 100), hold('user', 1, 5), hold('team', 1, 5));
        expect(answer).toEqual({ kind: 'refused', counter: 'user', state: { settled: 0, held: 5 } });
        expect(await store.read('all')).toEqual({ settled: 0, held: 0 });
      });

      it('adds up holds of one reservation on the same counter', async () => {
        const twice = [hold('images', 3, 5), hold('images', 3, 5)];
        expect(await store.reserve('a', twice)).toMatchObject({ kind: 'refused', counter: 'images' });
        expect(await store.read('images')).toEqual({ settled: 0, held: 0 });
      });

      it('never refuses a hold without a limit', async () => {
        await reserve('a', hold('images', 5, 5));
        expect(await reserve('b', hold('images', 1000))).toEqual({ kind: 'held' });
        expect(await store.read('images')).toEqual({ settled: 0, held: 1005 });
      });

      it('refuses by the limit that comes with the call, which may have been lowered', async () => {
        await reserve('a', hold('images', 8, 10));
        expect(await reserve('b', hold('images', 1, 5))).toMatchObject({ kind: 'refused' });
        expect(await reserve('c', hold('images', 1, 9))).toEqual({ kind: 'held' });
      });

      it('rejects an id that is open, and an amount that is not a whole number', async () => {
        await reserve('a', hold('images', 1));
        await expect(reserve('a', hold('images', 1))).rejects.toThrow(/id a was used before/);
        await expect(reserve('b', hold('images', 1), hold('images', 0.5))).rejects.toThrow(/0.5 is not an amount/);
        await expect(reserve('c', hold('images', -1))).rejects.toThrow(/-1 is not an amount/);
        expect(await store.read('images')).toEqual({ settled: 0, held: 1 });
      });
    });

    describe('settle', () => {
      it.each([
        ['less than', 1],
        ['as much as', 4],
        ['more than', 9],
        ['nothing of', 0],
      ])('uses %s what was held', async (_how, amount) => {
        await reserve('a', hold('images', 4, 5));
        await store.settle('a', [amount]);
        expect(await store.read('images')).toEqual({ settled: amount, held: 0 });
      });

      it('takes the amounts in the order of the holds', async () => {
        await reserve('a', hold('z', 1), hold('a', 2), hold('m', 3));
        await store.settle('a', [10, 20, 30]);
        const states = await Promise.all(['z', 'a', 'm'].map((counter) => store.read(counter)));
        expect(states.map(({ settled }) => settled)).toEqual([10, 20, 30]);
      });

      it('gives back the room that was not used, to the last unit', async () => {
        for (let index = 0; index < 10; index += 1) {
          expect(await reserve(`r${index}`, hold('images', 10, 19))).toEqual({ kind: 'held' });
          await store.settle(`r${index}`, [1]);
        }
        expect(await reserve('full', hold('images', 10, 19))).toMatchObject({ kind: 'refused' });
        expect(await reserve('last', hold('images', 9, 19))).toEqual({ kind: 'held' });
      });

      it('counts once when it is called again, alone or together with release', async () => {
        await reserve('a', hold('images', 2));
        await Promise.all([store.settle('a', [3]), store.settle('a', [5]), store.release('a'), store.settle('a', [7])]);
        expect(await store.read('images')).toEqual({ settled: 3, held: 0 });
      });

      it('does nothing for an id that is not known', async () => {
        await store.settle('nobody', [3]);
        await store.release('nobody');
        expect(await store.read('images')).toEqual({ settled: 0, held: 0 });
      });

      it('rejects amounts that do not fit the holds, and leaves the reservation open', async () => {
        await reserve('a', hold('images', 2));
        await expect(store.settle('a', [1, 1])).rejects.toThrow(/has 1 holds/);
        await expect(store.settle('a', [0.5])).rejects.toThrow(/0.5 is not an amount/);
        expect(await store.read('images')).toEqual({ settled: 0, held: 2 });
      });
    });

    describe('release', () => {
      it('gives everything back, so that nothing is falsely refused afterwards', async () => {
        for (let index = 0; index < 50; index += 1) {
          expect(await reserve(`r${index}`, hold('images', 5, 5), hold('team', 1, 1))).toEqual({ kind: 'held' });
          await store.release(`r${index}`);
        }
        expect(await store.read('images')).toEqual({ settled: 0, held: 0 });
        expect(await store.read('team')).toEqual({ settled: 0, held: 0 });
      });

      it('changes nothing after settle, nor settle after release', async () => {
        await reserve('a', hold('images', 2));
        await store.settle('a', [2]);
        await store.release('a');
        await reserve('b', hold('images', 2));
        await store.release('b');
        await store.settle('b', [2]);
        expect(await store.read('images')).toEqual({ settled: 2, held: 0 });
      });
    });

    it('reads a value between what was acknowledged before and what was asked for until then', async () => {
      let asked = 0;
      let acknowledged = 0;
      const write = async (index: number): Promise<void> => {
        asked += 1;
        await reserve(`r${index}`, hold('images', 1));
        acknowledged += 1;
        await store.settle(`r${index}`, [1]);
      };
      const read = async (): Promise<void> => {
        const atLeast = acknowledged;
        const { settled, held } = await store.read('images');
        expect(settled + held).toBeGreaterThanOrEqual(atLeast);
        expect(settled + held).toBeLessThanOrEqual(asked);
      };
      await Promise.all(
        many(16, async (lane) => {
          for (let step = 0; step < 20; step += 1) await Promise.all([write(lane * 20 + step), read()]);
        }),
      );
      expect(await store.read('images')).toEqual({ settled: 320, held: 0 });
    });

    it('does what a plain model does, for any sequence of calls', async () => {
      let round = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(command, { maxLength: 40 }), async (commands) => {
          round += 1;
          await compareWithModel(store, `${round}/`, commands);
        }),
        { numRuns: 60 },
      );
    });

    it('finishes what was asked before it closes, and fails what is asked later', async () => {
      const before = many(50, (index) => reserve(`r${index}`, hold('images', 1)));
      const closed = store.close();
      expect(await Promise.all(before)).toHaveLength(50);
      await closed;
      await expect(store.read('images')).rejects.toThrow(/closed/);
      await expect(reserve('late', hold('images', 1))).rejects.toThrow(/closed/);
      await store.close();
    });
  });
}

/** A hold on a counter that is never forgotten. */
export function hold(counter: string, amount: number, limit?: number): Hold {
  return { counter, amount, limit, expiresAtMs: undefined };
}

/** `count` promises that are under way at the same time. */
export function many<Value>(count: number, start: (index: number) => Promise<Value>): Promise<Value>[] {
  return Array.from({ length: count }, (_, index) => start(index));
}

const counterName = fc.constantFrom('a', 'b', 'c');
const amount = fc.integer({ min: 0, max: 6 });
const slot = fc.nat({ max: 11 });

const command = fc.oneof(
  fc.record({
    kind: fc.constant('reserve' as const),
    slot,
    holds: fc.array(fc.record({ counter: counterName, amount, limit: fc.option(fc.nat({ max: 20 })) }), {
      maxLength: 3,
    }),
  }),
  fc.record({ kind: fc.constant('settle' as const), slot, amounts: fc.array(amount, { minLength: 3, maxLength: 3 }) }),
  fc.record({ kind: fc.constant('release' as const), slot }),
  fc.record({ kind: fc.constant('read' as const), counter: counterName }),
);

type Command = typeof command extends fc.Arbitrary<infer Value> ? Value : never;

/** Runs the commands against the store and against a sum over a list of reservations, which cannot be wrong for long. */
async function compareWithModel(store: Store, prefix: string, commands: readonly Command[]): Promise<void> {
  /** Every reservation that was taken, by id: per hold its counter, what it holds, and what was settled. */
  const entries = new Map<string, { open: boolean; holds: { counter: string; held: number; settled: number }[] }>();
  /** The id that commands on a slot mean: that of its last reservation. */
  const current = new Map<number, string>();
  let taken = 0;

  const stateOf = (counter: string): CounterState => {
    const state = { settled: 0, held: 0 };
    for (const { holds } of entries.values()) {
      for (const each of holds.filter((candidate) => candidate.counter === counter)) {
        state.settled += each.settled;
        state.held += each.held;
      }
    }
    return state;
  };

  const expected = (holds: readonly Hold[]): Reservation => {
    for (const [index, each] of holds.entries()) {
      const state = stateOf(each.counter);
      const wanted = holds
        .slice(0, index + 1)
        .filter(({ counter }) => counter === each.counter)
        .reduce((sum, { amount }) => sum + amount, 0);
      if (each.limit !== undefined && state.settled + state.held + wanted > each.limit) {
        return { kind: 'refused', counter: each.counter, state };
      }
    }
    return { kind: 'held' };
  };

  for (const step of commands) {
    if (step.kind === 'read') {
      expect(await store.read(prefix + step.counter)).toEqual(stateOf(prefix + step.counter));
    } else if (step.kind === 'reserve') {
      taken += 1;
      const id = `${prefix}${taken}`;
      const holds = step.holds.map((each) => hold(prefix + each.counter, each.amount, each.limit ?? undefined));
      const answer = expected(holds);
      expect(await store.reserve(id, holds)).toEqual(answer);
      if (answer.kind === 'refused') continue;
      current.set(step.slot, id);
      entries.set(id, {
        open: true,
        holds: holds.map((each) => ({ counter: each.counter, held: each.amount, settled: 0 })),
      });
    } else {
      const id = current.get(step.slot) ?? `${prefix}unknown`;
      const entry = entries.get(id);
      const amounts = step.kind === 'settle' ? step.amounts.slice(0, entry?.holds.length) : [];
      if (step.kind === 'settle') await store.settle(id, amounts);
      else await store.release(id);
      if (entry?.open !== true) continue;
      entry.open = false;
      for (const [index, each] of entry.holds.entries()) Object.assign(each, { held: 0, settled: amounts[index] ?? 0 });
    }
  }
  for (const counter of ['a', 'b', 'c']) expect(await store.read(prefix + counter)).toEqual(stateOf(prefix + counter));
}
