import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openRow } from '../fixtures/ledger.ts';
import { allRows, checkBooks, startWriter } from './crash.ts';
import { sharedAnswersContract } from './answers-contract.ts';
import { sharedJobsContract } from './jobs-contract.ts';
import { sharedKeysContract } from './keys-contract.ts';
import { hold, holdInRange, many, terms, type SharedPlace } from './places.ts';
import type { Store } from '../../src/stores/store.ts';

/** A short lease, for stores that need one to tell who is gone. */
const leaseMs = 400;

/** What stores must do that several processes share. */
export function sharedContract(name: string, newPlace: () => SharedPlace): void {
  describe(`${name} store, shared`, () => {
    it('lets exactly 100 of 500 reservations through, made through several openings at once', async () => {
      const place = newPlace();
      const openings = await Promise.all(many(3, () => place.open()));
      const answers = await Promise.all(
        many(500, (index) => at(openings, index % 3).reserve(`r${index}`, [hold('images', 1, 100)], terms())),
      );
      expect(answers.filter(({ kind }) => kind === 'held')).toHaveLength(100);
      for (const store of openings) expect(await store.read('images')).toEqual({ settled: 0, held: 100 });
      await Promise.all(openings.map((store) => store.close()));
    });

    it('lets exactly 100 of 600 reservations through, made by three processes at once', async () => {
      const { address } = newPlace();
      const children = await Promise.all(many(3, () => startSharer(address)));
      for (const { child } of children) child.stdin?.write('go\n');
      const held = await Promise.all(children.map(({ next }) => next()));
      expect(held.reduce((total, each) => total + Number(each), 0)).toBe(100);
      for (const { child } of children) child.stdin?.end();
      await Promise.all(children.map(({ child }) => once(child, 'exit')));
    }, 60_000);

    it('lets exactly 100 of 500 reservations through that hold different counters of one range', async () => {
      const place = newPlace();
      const openings = await Promise.all(many(3, () => place.open()));
      const answers = await Promise.all(
        many(500, async (index) => {
          const store = at(openings, index % 3);
          // As gateways do whose clocks differ, at the turn of one counter to the next.
          const answer = await store.reserve(`r${index}`, [holdInRange(`r/${index % 3}`, 1, 100, '0')], terms());
          if (answer.kind === 'held' && index % 5 === 0) await store.settle(`r${index}`, [1]);
          return answer;
        }),
      );
      expect(answers.filter(({ kind }) => kind === 'held')).toHaveLength(100);
      for (const store of openings) {
        const { settled, held } = await store.read('r/0', { prefix: 'r/', from: 'r/0' });
        expect(settled + held).toBe(100);
      }
      await Promise.all(openings.map((store) => store.close()));
    });

    it('takes counters in the same order, whatever the order of the holds, so that nobody waits in a circle', async () => {
      const place = newPlace();
      const openings = await Promise.all(many(3, () => place.open()));
      const counters = ['e', 'a', 'd', 'b', 'c'];
      await Promise.all(
        many(300, async (index) => {
          const store = at(openings, index % 3);
          const from = index % counters.length;
          const holds = [...counters.slice(from), ...counters.slice(0, from)].map((counter) => hold(counter, 1, 1000));
          expect(await store.reserve(`r${index}`, holds, terms())).toEqual({ kind: 'held' });
          await store.settle(`r${index}`, [1, 1, 1, 1, 1]);
        }),
      );
      for (const counter of counters) expect(await at(openings, 0).read(counter)).toEqual({ settled: 300, held: 0 });
      await Promise.all(openings.map((store) => store.close()));
    }, 60_000);

    it('is made once when several processes open it for the first time', async () => {
      const place = newPlace();
      const openings = await Promise.all(many(4, () => place.open()));
      await Promise.all(openings.map((store, index) => store.reserve(`r${index}`, [hold('images', 1)], terms())));
      expect(await at(openings, 0).read('images')).toEqual({ settled: 0, held: 4 });
      await Promise.all(openings.map((store) => store.close()));
    });

    it('recovers what a closed opening has left, and nothing of those that are still there', async () => {
      const place = newPlace();
      const [leaving, staying, looking] = await Promise.all(many(3, () => place.open({ leaseMs })));
      const [left, kept] = [openRow({ requestId: 'left' }), openRow({ requestId: 'kept' })];
      await leaving?.reserve('left', [hold('images', 4)], terms({ row: left }));
      await staying?.reserve('kept', [hold('images', 2)], terms({ row: kept }));
      await leaving?.close();
      if (staying === undefined || looking === undefined) throw new Error('not open');
      await upkeepUntil([staying, looking], async () => (await looking.read('images')).settled === 4);
      expect(await looking.read('images')).toEqual({ settled: 4, held: 2 });
      expect((await allRows(looking)).map(({ requestId, state }) => [requestId, state])).toEqual([
        ['left', 'estimated'],
        ['kept', 'reserved'],
      ]);
      await staying.settle('kept', [1]);
      expect(await looking.read('images')).toEqual({ settled: 5, held: 0 });
      await Promise.all([staying.close(), looking.close()]);
    });

    it('is read by others while it is written, and after a kill, without anything being recovered', async () => {
      const place = newPlace();
      const lines: string[] = [];
      const { child, read } = startWriter({ address: place.address, prefix: 'read', leaseMs }, lines);
      let settled = 0;
      await read((line) => line.startsWith('! settled') && (settled += 1) >= 50);
      const during = await place.read();
      const [group] = await during.usage({ by: [], limit: 1 });
      expect(group?.open).toBeGreaterThan(0);
      await during.close();
      child.kill('SIGKILL');
      await once(child, 'close');
      const after = await place.read();
      const rows = await allRows(after);
      const finished = lines.filter((line) => line.startsWith('! settled')).length;
      expect(rows.filter(({ state }) => state === 'settled').length).toBeGreaterThanOrEqual(finished);
      expect(rows.filter(({ state }) => state === 'reserved').length).toBeGreaterThan(0);
      expect(rows.filter(({ state }) => state === 'estimated')).toEqual([]);
      await after.close();
    }, 60_000);

    it('loses nothing that it has acknowledged when processes are killed under load, and settles nothing twice', async () => {
      const place = newPlace();
      const lines: string[] = [];
      for (let round = 1; round <= 4; round += 1) {
        const enough = lines.length + 1500 + 100 * round;
        // The second one goes on while what the first has left is recovered.
        const writers = ['a', 'b'].map((each) =>
          startWriter({ address: place.address, prefix: `${each}${round}`, leaseMs }, lines),
        );
        const ended = Promise.all(writers.map(({ child }) => once(child, 'close')));
        const [first, second] = writers;
        await first?.read(() => lines.length >= enough);
        first?.child.kill('SIGKILL');
        const more = lines.length + 500;
        await second?.read(() => lines.length >= more);
        second?.child.kill('SIGKILL');
        await ended;
        const store = await place.open({ leaseMs });
        await upkeepUntil([store], async () => (await store.read('all')).held === 0);
        await checkBooks(store, lines);
        await store.close();
      }
    }, 120_000);

    it('cannot be read before there is anything', async () => {
      await expect(newPlace().read()).rejects.toThrow(/no state|yet/i);
    });
  });
  describe(`${name} keys, shared`, () => sharedKeysContract(newPlace));
  describe(`${name} kept answers, shared`, () => sharedAnswersContract(newPlace));
  describe(`${name} jobs, shared`, () => sharedJobsContract(newPlace));
}

/** Does the upkeep of all of them, again and again, until the condition holds. */
async function upkeepUntil(stores: readonly Store[], condition: () => Promise<boolean>): Promise<void> {
  await expect
    .poll(
      async () => {
        await Promise.all(stores.map((store) => store.maintain({ ledgerKeptMs: undefined })));
        return condition();
      },
      { timeout: 20_000, interval: 20 },
    )
    .toBe(true);
}

interface Sharer {
  readonly child: ChildProcess;
  readonly next: () => Promise<string>;
}

async function startSharer(address: string): Promise<Sharer> {
  const script = fileURLToPath(new URL('../fixtures/shared-writer.ts', import.meta.url));
  const child = spawn(process.execPath, [script, address, '200', '100'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async (): Promise<string> => (await lines.next()).value ?? '';
  expect(await next()).toBe('ready');
  return { child, next };
}

function at<Value>(list: readonly Value[], index: number): Value {
  const value = list[index];
  if (value === undefined) throw new Error('not there');
  return value;
}
