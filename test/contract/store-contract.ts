import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Hold, Reservation, Store } from '../../src/stores/store.ts';
import { answersContract } from './answers-contract.ts';
import { jobsContract } from './jobs-contract.ts';
import { keysContract } from './keys-contract.ts';
import { ledgerContract } from './ledger-contract.ts';
import { hold, holdInRange, many, terms, type StorePlace } from './places.ts';
import { compareWithModel, steps } from './store-model.ts';

/**
 * What every state store must do.
 * @param newPlace called for each test
 */
export function storeContract(name: string, newPlace: () => StorePlace): void {
  describe(`${name} store`, () => {
    let store: Store;

    beforeEach(async () => {
      store = await newPlace().open();
    });
    afterEach(() => store.close());

    const reserve = (id: string, ...holds: readonly Hold[]): Promise<Reservation> => store.reserve(id, holds, terms());

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
        expect(await reserve('a', ...twice)).toMatchObject({ kind: 'refused', counter: 'images' });
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

    describe('a range of counters', () => {
      const range = (from: string) => ({ prefix: 'r/', from: `r/${from}` });

      it('has one limit, which what is held and what is settled on any of them counts against', async () => {
        await reserve('a', hold('r/1', 3));
        await reserve('b', hold('r/2', 4));
        await store.settle('b', [5]);
        expect(await reserve('c', holdInRange('r/3', 3, 10, '1'))).toEqual({
          kind: 'refused',
          counter: 'r/3',
          state: { settled: 5, held: 3 },
        });
        expect(await reserve('d', holdInRange('r/3', 2, 10, '1'))).toEqual({ kind: 'held' });
        expect(await store.read('r/3')).toEqual({ settled: 0, held: 2 });
        expect(await store.read('r/3', range('1'))).toEqual({ settled: 5, held: 5 });
      });

      it('leaves out what comes before its beginning, and what is of another prefix', async () => {
        await reserve('a', hold('r/1', 9), hold('r/2', 1), hold('s/3', 9), hold('r', 9), hold('r0', 9));
        expect(await reserve('b', holdInRange('r/3', 2, 2, '2'))).toMatchObject({ state: { settled: 0, held: 1 } });
        expect(await reserve('c', holdInRange('r/3', 1, 2, '2'))).toEqual({ kind: 'held' });
        expect(await store.read('r/3', range('2'))).toEqual({ settled: 0, held: 2 });
        expect(await store.read('r/9', range('9'))).toEqual({ settled: 0, held: 0 });
      });

      it('takes in what comes after the counter, and what the same reservation holds besides', async () => {
        await reserve('a', hold('r/3', 1));
        const both = [hold('r/1', 2), hold('r/4', 2), holdInRange('r/2', 1, 5, '2')];
        expect(await reserve('b', ...both)).toEqual({ kind: 'held' });
        expect(await reserve('c', hold('r/4', 1), holdInRange('r/2', 1, 5, '2'))).toMatchObject({ counter: 'r/2' });
      });

      it('is compared by code points', async () => {
        await reserve('a', hold('r/\u{1F600}', 1), hold('r/\uFFFD', 1));
        expect(await store.read('r/\uFFFE', range('\uFFFE'))).toEqual({ settled: 0, held: 1 });
      });

      it('lets exactly 100 of 500 concurrent reservations on several of its counters have the 100 that there are', async () => {
        const answers = await Promise.all(
          many(500, (index) => reserve(`r${index}`, holdInRange(`r/${index % 7}`, 1, 100, '0'))),
        );
        expect(answers.filter(({ kind }) => kind === 'held')).toHaveLength(100);
        expect(await store.read('r/0', range('0'))).toEqual({ settled: 0, held: 100 });
      });

      it('has room again when its beginning moves on, or what is in it is released or reset', async () => {
        await reserve('a', holdInRange('r/1', 5, 5, '1'));
        await reserve('b', hold('r/2', 1));
        await store.settle('b', [1]);
        expect(await reserve('c', holdInRange('r/2', 1, 5, '1'))).toMatchObject({ kind: 'refused' });
        expect(await reserve('d', holdInRange('r/2', 4, 5, '2'))).toEqual({ kind: 'held' });
        await store.release('d');
        await store.release('a');
        expect(await reserve('e', holdInRange('r/2', 4, 5, '1'))).toEqual({ kind: 'held' });
        await store.reset('r/2');
        expect(await reserve('f', holdInRange('r/2', 1, 5, '1'))).toEqual({ kind: 'held' });
      });

      it('shows nothing but its counters in lists', async () => {
        await reserve('a', holdInRange('r/1', 5, 5, '1'));
        expect((await store.counters({ limit: 10 })).map(({ counter }) => counter)).toEqual(['r/1']);
      });

      it('must hold the counter that it is given with', async () => {
        await expect(reserve('a', holdInRange('r/1', 1, 5, '2'))).rejects.toThrow(/not in the range/);
        const elsewhere = { ...hold('s/1', 1, 5), range: range('1') };
        await expect(reserve('b', elsewhere)).rejects.toThrow(/not in the range/);
        const everything = { ...hold('s/1', 1, 5), range: { prefix: '', from: 's' } };
        await expect(reserve('c', everything)).rejects.toThrow(/not in the range/);
        expect(await store.counters({ limit: 10 })).toEqual([]);
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

    describe('reset', () => {
      it('takes off what is settled, leaves what is held, and says what there was', async () => {
        await reserve('a', hold('images', 3, 5));
        await store.settle('a', [3]);
        await reserve('b', hold('images', 2, 5));
        expect(await store.reset('images')).toEqual({ settled: 3, held: 2 });
        expect(await store.read('images')).toEqual({ settled: 0, held: 2 });
        await store.settle('b', [2]);
        expect(await store.read('images')).toEqual({ settled: 2, held: 0 });
      });

      it('says zeros of a counter that was never touched', async () => {
        expect(await store.reset('never')).toEqual({ settled: 0, held: 0 });
      });
    });

    it('keeps amounts up to the largest whole number exactly', async () => {
      await reserve('a', hold('nano_usd', Number.MAX_SAFE_INTEGER - 1));
      await store.settle('a', [Number.MAX_SAFE_INTEGER - 1]);
      await reserve('b', hold('nano_usd', 1, Number.MAX_SAFE_INTEGER));
      expect(await store.read('nano_usd')).toEqual({ settled: Number.MAX_SAFE_INTEGER - 1, held: 1 });
    });

    it('refuses a name that not every database takes, and nothing else that is asked with it', async () => {
      const names = ['a\0b', 'x'.repeat(1001), '\ud800'];
      const outcomes = await Promise.allSettled([
        reserve('good', hold('images', 1)),
        ...names.map((name) => reserve(name.slice(0, 1), hold(name, 1))),
      ]);
      expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected', 'rejected']);
      expect(await store.read('images')).toEqual({ settled: 0, held: 1 });
    });

    it('does what a plain model does, for any calls one after the other and at the same time', async () => {
      await fc.assert(
        fc.asyncProperty(steps, (bursts) => compareWithModel(newPlace(), bursts)),
        { numRuns: 12 },
      );
    }, 120_000);

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
  describe(`${name} ledger`, () => ledgerContract(newPlace));
  describe(`${name} keys`, () => keysContract(newPlace));
  describe(`${name} kept answers`, () => answersContract(newPlace));
  describe(`${name} jobs`, () => jobsContract(newPlace));
}
