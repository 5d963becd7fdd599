/** A model of a state store that cannot be wrong for long, and random calls to compare a store with it. */
import * as fc from 'fast-check';
import { expect } from 'vitest';
import type { LedgerRow } from '../../src/stores/ledger.ts';
import type { CounterState, Hold, Reservation } from '../../src/stores/store.ts';
import { openRow, recordedRow, reservedRow, rowOutcome } from '../fixtures/ledger.ts';
import type { StorePlace } from './places.ts';

const counterNames = ['n/a', 'n/b', 'n/c'];
const counterName = fc.constantFrom(...counterNames);
const amount = fc.integer({ min: 0, max: 6 });
/** Which of the last reservations is meant. */
const slot = fc.nat({ max: 11 });

const call = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('reserve' as const),
      slot,
      holds: fc.array(
        fc.record({
          counter: counterName,
          amount,
          limit: fc.option(fc.nat({ max: 20 })),
          /** Where the counter's range begins, unless that is after the counter. */
          from: fc.option(counterName),
        }),
        { maxLength: 3 },
      ),
      heldMs: fc.constantFrom(500, 5_000),
      withRow: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('settle' as const),
      slot,
      amounts: fc.array(amount, { minLength: 3, maxLength: 3 }),
      withOutcome: fc.boolean(),
      estimated: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('release' as const), slot, withOutcome: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('record' as const), again: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reset' as const), counter: counterName }) },
);

/** Calls at the same time, and then some time that passes before the upkeep. */
const burst = fc.record({ calls: fc.array(call, { maxLength: 12 }), passesMs: fc.option(fc.nat({ max: 2_000 })) });

export const steps = fc.array(burst, { maxLength: 8 });

type Call = typeof call extends fc.Arbitrary<infer Value> ? Value : never;
type Burst = typeof burst extends fc.Arbitrary<infer Value> ? Value : never;

interface ModelReservation {
  readonly heldUntilMs: number;
  readonly row: number | undefined;
  readonly holds: readonly { readonly counter: string; readonly amount: number }[];
}

/** Runs the calls against the store, those of a burst all at once, and against the model, in the order of their beginning. */
export async function compareWithModel(place: StorePlace, bursts: readonly Burst[]): Promise<void> {
  let nowMs = Date.parse('2026-11-18T12:00:00Z');
  const store = await place.open({ now: () => nowMs });
  const counters = new Map<string, { settled: number; held: number }>();
  const open = new Map<string, ModelReservation>();
  const rows: LedgerRow[] = [];
  /** The id that calls on a slot mean: that of its last reservation. */
  const current = new Map<number, string>();
  let ids = 0;

  const stateOf = (counter: string): CounterState => ({ settled: 0, held: 0, ...counters.get(counter) });
  const change = (counter: string, settled: number, held: number): void => {
    const state = stateOf(counter);
    counters.set(counter, { settled: state.settled + settled, held: state.held + held });
  };

  function reserve(holds: readonly Hold[]): Reservation {
    for (const [index, { counter, limit, range }] of holds.entries()) {
      const counts = (name: string): boolean => (range === undefined ? name === counter : name >= range.from);
      const same = holds.slice(0, index + 1).filter((each) => counts(each.counter));
      const wanted = same.reduce((sum, each) => sum + each.amount, 0);
      const states = counterNames.filter(counts).map(stateOf);
      const state = {
        settled: states.reduce((sum, { settled }) => sum + settled, 0),
        held: states.reduce((sum, { held }) => sum + held, 0),
      };
      if (limit !== undefined && state.settled + state.held + wanted > limit)
        return { kind: 'refused', counter, state };
    }
    return { kind: 'held' };
  }

  function end(id: string, amountOf: (index: number, held: number) => number, change_: Partial<LedgerRow>): void {
    const reservation = open.get(id);
    if (reservation === undefined) return;
    open.delete(id);
    reservation.holds.forEach(({ counter, amount }, index) => change(counter, amountOf(index, amount), -amount));
    const row = reservation.row === undefined ? undefined : rows[reservation.row];
    if (row !== undefined && reservation.row !== undefined) rows[reservation.row] = { ...row, ...change_ };
  }

  /** Begins a call, and says what must come of it. */
  function begin(call: Call): Promise<void> {
    if (call.kind === 'reserve') {
      ids += 1;
      const id = `r${ids}`;
      const row = call.withRow ? openRow({ requestId: id, atMs: nowMs, consumer: id.slice(-1) }) : undefined;
      const heldUntilMs = nowMs + call.heldMs;
      const holds = call.holds.map(({ counter, amount, limit, from }) => ({
        counter,
        amount,
        limit: limit ?? undefined,
        range: from === null || from > counter ? undefined : { prefix: 'n/', from },
        expiresAtMs: undefined,
      }));
      const answer = reserve(holds);
      if (answer.kind === 'held') {
        for (const { counter, amount } of holds) change(counter, 0, amount);
        open.set(id, { heldUntilMs, holds, row: row && rows.push(reservedRow(row)) - 1 });
        current.set(call.slot, id);
      }
      return store.reserve(id, holds, { heldUntilMs, row }).then((given) => expect(given).toEqual(answer));
    }
    if (call.kind === 'record') {
      if (!call.again) ids += 1;
      const id = `recorded ${ids}`;
      const row = recordedRow({ requestId: id, atMs: nowMs, images: ids });
      if (!rows.some(({ requestId }) => requestId === id)) rows.push(row);
      return store.record(id, row);
    }
    if (call.kind === 'reset') {
      const before = stateOf(call.counter);
      counters.set(call.counter, { settled: 0, held: before.held });
      return store.reset(call.counter).then((given) => expect(given).toEqual(before));
    }
    const id = current.get(call.slot) ?? 'unknown';
    const outcome = rowOutcome({ images: 7, costNanoUsd: 11, estimated: call.kind === 'settle' && call.estimated });
    const { estimated, ...completion } = outcome;
    const given = call.withOutcome ? completion : {};
    if (call.kind === 'release') {
      end(id, () => 0, { ...given, images: 0, costNanoUsd: 0, state: 'released' });
      return store.release(id, call.withOutcome ? outcome : undefined);
    }
    const amounts = call.amounts.slice(0, open.get(id)?.holds.length);
    end(id, (index) => amounts[index] ?? 0, {
      ...given,
      state: call.withOutcome && estimated ? 'estimated' : 'settled',
    });
    return store.settle(id, amounts, call.withOutcome ? outcome : undefined);
  }

  try {
    for (const { calls, passesMs } of bursts) {
      await Promise.all(calls.map(begin));
      if (passesMs !== null) {
        nowMs += passesMs;
        const late = [...open].filter(([, { heldUntilMs }]) => heldUntilMs <= nowMs);
        for (const [id] of late) end(id, (_index, held) => held, { state: 'estimated' });
        expect(await store.maintain({ ledgerKeptMs: undefined })).toEqual({ estimated: late.length });
      }
      for (const counter of counterNames) expect(await store.read(counter)).toEqual(stateOf(counter));
    }
    expect((await store.rows({ limit: 1000 })).rows).toEqual(rows);
    const listed = counterNames.map((counter) => ({ counter, ...stateOf(counter), expiresAtMs: undefined }));
    expect(await store.counters({ limit: 10 })).toEqual(listed.filter(({ settled, held }) => settled > 0 || held > 0));
  } finally {
    await store.close();
  }
}
