import type { CounterState, Hold, Reservation } from './store.ts';

/**
 * The rules of the store contract, written once for every store that can run them in one piece. A store brings the
 * table and makes all that happens within one call here visible together or not at all.
 */
export interface CounterTable {
  /** Zeros for a counter that was never touched. */
  read(counter: string): CounterState;
  /** Adds an amount to what a counter holds. A new counter starts at zero and keeps the expiry of its first hold. */
  hold(hold: Hold): void;
  /** Takes `held` off what a counter holds and adds `settled` to its use. */
  settle(counter: string, held: number, settled: number): void;
  /** Notes an open reservation; false, and nothing noted, when the id is taken. */
  open(id: string, holds: readonly HeldAmount[]): boolean;
  /** The holds of an open reservation, in order; undefined when no open one has this id. */
  openHolds(id: string): readonly HeldAmount[] | undefined;
  /** Marks an open reservation as ended. */
  close(id: string, end: 'settled' | 'released'): void;
}

/** What a reservation holds on one counter. */
export interface HeldAmount {
  readonly counter: string;
  readonly amount: number;
}

/** The caller broke the contract of the store; nothing was changed. A bug of ours, never a matter of the disk. */
export class StoreMisuse extends Error {
  override readonly name = 'StoreMisuse';
}

/** @throws StoreMisuse when the id is taken or an amount is not a whole number, 0 or more */
export function reserve(table: CounterTable, id: string, holds: readonly Hold[]): Reservation {
  const taken = new Map<string, number>();
  for (const { counter, amount, limit } of holds) {
    checkAmount(amount);
    const wanted = (taken.get(counter) ?? 0) + amount;
    taken.set(counter, wanted);
    if (limit === undefined) continue;
    const state = table.read(counter);
    if (state.settled + state.held + wanted > limit) return { kind: 'refused', counter, state };
  }
  if (!table.open(id, holds)) throw new StoreMisuse(`The reservation id ${id} was used before.`);
  for (const hold of holds) table.hold(hold);
  return { kind: 'held' };
}

/** @throws StoreMisuse when the amounts are not as many as the holds, or one is not a whole number, 0 or more */
export function settle(table: CounterTable, id: string, amounts: readonly number[]): void {
  amounts.forEach(checkAmount);
  const holds = table.openHolds(id);
  if (holds === undefined) return;
  if (amounts.length !== holds.length) {
    throw new StoreMisuse(`The reservation ${id} has ${holds.length} holds, it cannot settle ${amounts.length}.`);
  }
  end(table, id, holds, 'settled', amounts);
}

export function release(table: CounterTable, id: string): void {
  const holds = table.openHolds(id);
  if (holds !== undefined) end(table, id, holds, 'released', []);
}

function end(
  table: CounterTable,
  id: string,
  holds: readonly HeldAmount[],
  state: 'settled' | 'released',
  amounts: readonly number[],
): void {
  holds.forEach(({ counter, amount }, index) => table.settle(counter, amount, amounts[index] ?? 0));
  table.close(id, state);
}

function checkAmount(amount: number): void {
  if (!Number.isSafeInteger(amount) || amount < 0) {
    throw new StoreMisuse(`${amount} is not an amount: amounts are whole numbers, 0 or more.`);
  }
}
