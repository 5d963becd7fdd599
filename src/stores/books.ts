import type { AnswerTable } from './answers.ts';
import type { KeyTable } from './keys.ts';
import type { LedgerRow, OpenRow, RecordedRow, RowOutcome } from './ledger.ts';
import type { CounterRange, CounterState, Hold, Reservation, ReservationTerms } from './store.ts';

/**
 * What the rules of the store contract work on. The rules are written once, below, for every store; a store brings these
 * tables, and makes all that happens within one call here visible together or not at all.
 */
export interface Books {
  /** Zeros for a counter that was never touched. */
  read(counter: string): CounterState;
  /** What all counters of a range say together. */
  sum(range: CounterRange): CounterState;
  /** Adds an amount to what a counter holds. A new counter starts at zero and keeps the expiry of its first hold. */
  hold(hold: Hold): void;
  /** Takes an amount off what its counter holds, and adds `settled` to the counter's use. */
  settle(held: HeldAmount, settled: number): void;
  /** Puts a counter's use to zero. */
  reset(counter: string): void;
  /** Notes an open reservation with its row; false, and nothing noted, when the id is taken. */
  open(id: string, holds: readonly HeldAmount[], terms: ReservationTerms): boolean;
  /** The holds of an open reservation, in order; undefined when no open one has this id. */
  openHolds(id: string): readonly HeldAmount[] | undefined;
  /** Marks an open reservation as ended, and completes its row with what is given; the rest of the row stays. */
  close(id: string, end: ReservationEnd, completion: RowCompletion): void;
  /** Adds a complete row; false, and nothing added, when the id is taken. */
  record(id: string, row: RecordedRow): boolean;
  readonly keys: KeyTable;
  readonly answers: AnswerTable;
}

export type ReservationEnd = 'settled' | 'estimated' | 'released';

/** The members of a row that its request's end sets, in place of what stood there. */
export type RowCompletion = Partial<Omit<RowOutcome, 'estimated'>>;

/** What a reservation holds on one counter. Of an amount of zero the counter may have been forgotten in the meantime. */
export type HeldAmount = Pick<Hold, 'counter' | 'amount' | 'expiresAtMs'>;

/** The caller broke the contract of the store; nothing was changed. A bug of ours, never a matter of the disk. */
export class StoreMisuse extends Error {
  override readonly name = 'StoreMisuse';
}

/** @throws StoreMisuse when the id is taken or a value cannot be stored */
export function reserve(books: Books, id: string, holds: readonly Hold[], terms: ReservationTerms): Reservation {
  const row = terms.row === undefined ? undefined : storable(terms.row);
  checkAmount(terms.heldUntilMs);
  const taken = new Map<string, number>();
  for (const { counter, amount, limit, range } of holds) {
    checkCounter(counter);
    checkAmount(amount);
    if (range !== undefined) checkRange(range, counter);
    taken.set(counter, (taken.get(counter) ?? 0) + amount);
    if (limit === undefined) continue;
    const state = range === undefined ? books.read(counter) : books.sum(range);
    const wanted = range === undefined ? (taken.get(counter) ?? 0) : sumOfRange(taken, range);
    if (state.settled + state.held + wanted > limit) return { kind: 'refused', counter, state };
  }
  if (!books.open(id, holds, { ...terms, row })) throw new StoreMisuse(`The reservation id ${id} was used before.`);
  for (const hold of holds) books.hold(hold);
  return { kind: 'held' };
}

/** @throws StoreMisuse when the amounts are not as many as the holds, or a value cannot be stored */
export function settle(books: Books, id: string, amounts: readonly number[], outcome: RowOutcome | undefined): void {
  amounts.forEach(checkAmount);
  const end = outcome?.estimated === true ? 'estimated' : 'settled';
  const completion = completionOf(outcome);
  const holds = books.openHolds(id);
  if (holds === undefined) return;
  if (amounts.length !== holds.length) {
    throw new StoreMisuse(`The reservation ${id} has ${holds.length} holds, it cannot settle ${amounts.length}.`);
  }
  holds.forEach((hold, index) => books.settle(hold, amounts[index] ?? 0));
  books.close(id, end, completion);
}

/** @throws StoreMisuse when a value cannot be stored */
export function release(books: Books, id: string, outcome: RowOutcome | undefined): void {
  const completion = completionOf(outcome);
  const holds = books.openHolds(id);
  if (holds === undefined) return;
  for (const hold of holds) books.settle(hold, 0);
  books.close(id, 'released', { ...completion, images: 0, costNanoUsd: 0 });
}

function sumOfRange(amounts: ReadonlyMap<string, number>, range: CounterRange): number {
  return [...amounts].reduce((sum, [counter, amount]) => (isInRange(counter, range) ? sum + amount : sum), 0);
}

/** Settles at the amounts held a reservation that nobody else will settle. Whether there was one. */
export function estimate(books: Books, id: string): boolean {
  const holds = books.openHolds(id);
  if (holds === undefined) return false;
  for (const hold of holds) books.settle(hold, hold.amount);
  books.close(id, 'estimated', {});
  return true;
}

/** @throws StoreMisuse when a value cannot be stored */
export function record(books: Books, id: string, row: RecordedRow): void {
  books.record(id, storable(row));
}

/** What the counter said before. */
export function reset(books: Books, counter: string): CounterState {
  const before = books.read(counter);
  books.reset(counter);
  return before;
}

function completionOf(outcome: RowOutcome | undefined): RowCompletion {
  if (outcome === undefined) return {};
  const { estimated: _estimated, ...completion } = outcome;
  return storable(completion);
}

/** What callers may make as long as they like is cut. */
const longestText = 256;
const longestCounter = 1000;

/**
 * A row as every database takes it: texts are bounded and hold no character that one of them refuses, for one refused
 * value would take down all that is written with it.
 * @throws StoreMisuse when a number is not a whole one, 0 or more
 */
function storable<Row extends Partial<LedgerRow> | OpenRow | RowCompletion>(row: Row): Row {
  const tidied = Object.entries(row).map(([name, value]): [string, unknown] => {
    if (typeof value === 'number') checkAmount(value);
    return [name, typeof value === 'string' ? storedText(value) : value];
  });
  // The same members with values of the same types.
  return Object.fromEntries(tidied) as Row;
}

/** A text as it stands in the ledger. */
export function storedText(text: string): string {
  return text.slice(0, longestText).toWellFormed().replaceAll('\0', '\uFFFD');
}

/** Whether every database can have a counter of this name. */
export function isCounterName(counter: string): boolean {
  return counter.length <= longestCounter && !counter.includes('\0') && counter.isWellFormed();
}

function checkCounter(counter: string): void {
  if (!isCounterName(counter)) {
    throw new StoreMisuse(`${counter.slice(0, longestText)} is not a name for a counter.`);
  }
}

/** Whether every database can look for the counters of this range. */
export function isCounterRange({ prefix, from }: CounterRange): boolean {
  return prefix !== '' && from.startsWith(prefix) && isCounterName(from);
}

function checkRange(range: CounterRange, counter: string): void {
  if (!isCounterRange(range) || !isInRange(counter, range)) {
    throw new StoreMisuse(`${counter.slice(0, longestText)} is not in the range that is given with it.`);
  }
}

/** Whether a counter is one of a range. */
export function isInRange(counter: string, { prefix, from }: CounterRange): boolean {
  return counter.startsWith(prefix) && !comesAfter(from, counter);
}

/** No name that begins with the prefix comes after this one. */
export function endOfPrefix(prefix: string): string {
  return `${prefix}\u{10FFFF}`;
}

/** By code points, as databases compare. */
export function comesAfter(text: string, other: string): boolean {
  // Only halves of characters beyond the first plane are out of order in UTF-16.
  return surrogates.test(text + other) ? Buffer.compare(Buffer.from(text), Buffer.from(other)) > 0 : text > other;
}

const surrogates = /[\ud800-\udfff]/;

function checkAmount(amount: number): void {
  if (!Number.isSafeInteger(amount) || amount < 0) {
    throw new StoreMisuse(`${amount} is not an amount: amounts are whole numbers, 0 or more.`);
  }
}
