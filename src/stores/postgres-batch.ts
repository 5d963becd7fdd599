/**
 * Runs requests on PostgreSQL in one transaction of two statements: the first locks all that the requests touch and reads
 * it, then the rules work on a copy in memory, and the second writes what has changed. Reservations are locked in the
 * order of their ids and before all counters, counters in the order of their names, so transactions wait for each other
 * but never in a circle.
 *
 * Of a range of counters only the one that is held is locked, and a row that bears the name of the range's prefix and
 * stays at zero. Who has that lock is the only one who reserves there; so the others are read then, by a statement of
 * its own that sees what has been written until it began.
 */
import type { AnswerTable } from './answers.ts';
import {
  comesAfter,
  endOfPrefix,
  isCounterName,
  isCounterRange,
  isInRange,
  type Books,
  type HeldAmount,
  type ReservationEnd,
  type RowCompletion,
} from './books.ts';
import { ledgerColumns, ledgerMembers } from './ledger-columns.ts';
import type { KeyTable } from './keys.ts';
import type { LedgerRow } from './ledger.ts';
import { lockKeys } from './postgres-keys.ts';
import type { Session } from './postgres-link.ts';
import { perform, type StoreAnswer, type StoreRequest } from './requests.ts';
import type { CounterRange, CounterState, Hold } from './store.ts';

export interface BatchContext {
  /** Of the reservations that are made. */
  readonly owner: string;
  readonly nowMs: number;
}

export async function runBatch(
  session: Session,
  requests: readonly StoreRequest[],
  context: BatchContext,
): Promise<readonly StoreAnswer[]> {
  const keys = await lockKeys(session, requests, context);
  const locked = await lock(session, requests);
  const copy = createCopy(locked, await readRanges(session, requests), keys);
  const answers = requests.map((request) => perform(copy.books, request));
  await write(session, copy.changes(), context);
  await keys.write();
  return answers;
}

/** What was read. */
interface Locked {
  readonly reservations: readonly LockedReservation[];
  readonly counters: readonly (CounterState & { readonly counter: string })[];
  /** For rows that are added. */
  readonly numbers: readonly string[];
}

interface LockedReservation {
  readonly id: string;
  readonly state: string;
  readonly counters: readonly string[];
  readonly amounts: readonly number[];
  readonly expiries_ms: readonly (number | null)[];
  readonly ledger_number: number | null;
}

// An upsert that changes nothing locks a row and reads its latest version, whether or not it was there before. Counters
// at zero are forgotten by the upkeep.
const lockText = `
  WITH known AS MATERIALIZED (
    SELECT id, state, counters, amounts, expiries_ms, ledger_number FROM pinhole_reservations
     WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE
  ), touched (counter, expires_at_ms) AS (
    SELECT unnest(counters), unnest(expiries_ms) FROM known WHERE state = 'held'
    UNION ALL SELECT * FROM unnest($2::text[], $3::bigint[])
  ), locked AS (
    INSERT INTO pinhole_counters (counter, settled, held, expires_at_ms)
    SELECT counter, 0, 0, min(expires_at_ms) FROM touched GROUP BY counter ORDER BY counter COLLATE "C"
        ON CONFLICT (counter) DO UPDATE SET held = pinhole_counters.held
    RETURNING counter, settled, held
  )
  SELECT (SELECT coalesce(json_agg(known), '[]') FROM known) AS reservations,
         (SELECT coalesce(json_agg(locked), '[]') FROM locked) AS counters,
         ARRAY (SELECT nextval('pinhole_ledger_number') FROM generate_series(1, $4::integer)) AS numbers`;

async function lock(session: Session, requests: readonly StoreRequest[]): Promise<Locked> {
  const ids = requests.flatMap((request) => ('id' in request ? [request.id] : []));
  const touched = requests.flatMap((request): readonly Pick<Hold, 'counter' | 'expiresAtMs'>[] => {
    if (request.kind === 'reserve') {
      return [
        ...request.holds,
        ...rangesOf(request).map(({ prefix }) => ({ counter: prefix, expiresAtMs: undefined })),
      ];
    }
    return request.kind === 'reset' ? [{ counter: request.counter, expiresAtMs: undefined }] : [];
  });
  // Other names are refused by the rules, and would be by the database, for all.
  const counters = touched.filter(({ counter }) => isCounterName(counter));
  const rows = requests.filter(({ kind }) => kind === 'reserve' || kind === 'record').length;
  const [found] = await session.query({
    name: 'pinhole-lock',
    text: lockText,
    values: [ids, counters.map(({ counter }) => counter), counters.map(({ expiresAtMs }) => expiresAtMs ?? null), rows],
  });
  // What the statement above gives.
  return found as unknown as Locked;
}

type LockedCounter = Locked['counters'][number];

/** The counters of all ranges that the requests name. */
async function readRanges(session: Session, requests: readonly StoreRequest[]): Promise<readonly LockedCounter[]> {
  /** By prefix, the least `from`. */
  const ranges = new Map<string, string>();
  for (const request of requests) {
    for (const { prefix, from } of rangesOf(request)) {
      const known = ranges.get(prefix);
      if (known === undefined || comesAfter(known, from)) ranges.set(prefix, from);
    }
  }
  if (ranges.size === 0) return [];
  const found = await session.query({
    name: 'pinhole-ranges',
    text: `SELECT counter, settled, held FROM unnest($1::text[], $2::text[]) AS range (since, until)
             JOIN pinhole_counters ON counter >= since AND counter < until`,
    values: [[...ranges.values()], [...ranges.keys()].map(endOfPrefix)],
  });
  return found.map((row) => ({
    counter: String(row['counter']),
    settled: Number(row['settled']),
    held: Number(row['held']),
  }));
}

function rangesOf(request: StoreRequest): readonly CounterRange[] {
  if (request.kind !== 'reserve') return [];
  const ranges = request.holds.flatMap(({ range }) => range ?? []);
  // As with names, the rules refuse the others.
  return ranges.filter(isCounterRange);
}

interface NewReservation {
  readonly id: string;
  state: 'held' | ReservationEnd;
  readonly held_until_ms: number;
  readonly counters: readonly string[];
  readonly amounts: readonly number[];
  readonly expiries_ms: readonly (number | null)[];
  readonly ledger_number: number | null;
}

/** What the requests have changed. */
interface Changes {
  readonly counters: readonly (CounterState & { readonly counter: string })[];
  readonly opened: readonly NewReservation[];
  readonly closed: readonly { readonly id: string; readonly state: ReservationEnd }[];
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  readonly completions: readonly { readonly number: number; readonly completion: Readonly<Record<string, unknown>> }[];
}

interface OpenCopy {
  readonly holds: readonly HeldAmount[];
  readonly row: number | null;
}

/** The part of the tables that was locked, and counters that may be looked at besides. */
function createCopy(
  { reservations, counters, numbers }: Locked,
  seen: readonly LockedCounter[],
  keys: KeyTable,
): { readonly books: Books; changes(): Changes } {
  const states = new Map(counters.map(({ counter, settled, held }) => [counter, { settled, held }]));
  const onlySeen = seen.filter(({ counter }) => !states.has(counter));
  const changedCounters = new Set<string>();
  const taken = new Set(reservations.map(({ id }) => id));
  const open = new Map<string, OpenCopy>();
  for (const { id, state, counters, amounts, expiries_ms: expiriesMs, ledger_number: row } of reservations) {
    const holds = counters.map((counter, index) => ({
      counter,
      amount: amounts[index] ?? 0,
      expiresAtMs: expiriesMs[index] ?? undefined,
    }));
    if (state === 'held') open.set(id, { holds, row });
  }
  const opened = new Map<string, NewReservation>();
  const closed = new Map<string, ReservationEnd>();
  const rows = new Map<number, LedgerRow>();
  const completions = new Map<number, Partial<LedgerRow>>();
  let nextNumber = 0;

  function change(counter: string, change: (state: { settled: number; held: number }) => void): void {
    const state = states.get(counter);
    if (state === undefined) throw new Error(`The counter ${counter} was not locked.`);
    change(state);
    changedCounters.add(counter);
  }

  function addRow(row: LedgerRow): number {
    const number = Number(numbers[nextNumber]);
    nextNumber += 1;
    rows.set(number, row);
    return number;
  }

  function completeRow(number: number, completion: RowCompletion & Pick<LedgerRow, 'state'>): void {
    const row = rows.get(number);
    if (row === undefined) completions.set(number, completion);
    else rows.set(number, { ...row, ...completion });
  }

  const books: Books = {
    read: (counter) => ({ settled: 0, held: 0, ...states.get(counter) }),
    sum(range) {
      const sum = { settled: 0, held: 0 };
      const add = (counter: string, { settled, held }: CounterState): void => {
        if (!isInRange(counter, range)) return;
        sum.settled += settled;
        sum.held += held;
      };
      for (const [counter, state] of states) add(counter, state);
      for (const state of onlySeen) add(state.counter, state);
      return sum;
    },
    hold({ counter, amount }) {
      change(counter, (state) => (state.held += amount));
    },
    settle({ counter, amount }, settled) {
      change(counter, (state) => {
        state.held -= amount;
        state.settled += settled;
      });
    },
    reset(counter) {
      change(counter, (state) => (state.settled = 0));
    },
    open(id, holds, { heldUntilMs, row }) {
      if (taken.has(id)) return false;
      taken.add(id);
      const number =
        row === undefined
          ? null
          : addRow({ ...row, savedNanoUsd: null, state: 'reserved', status: null, latencyMs: null });
      open.set(id, { holds, row: number });
      opened.set(id, {
        id,
        state: 'held',
        held_until_ms: heldUntilMs,
        counters: holds.map(({ counter }) => counter),
        amounts: holds.map(({ amount }) => amount),
        expiries_ms: holds.map(({ expiresAtMs }) => expiresAtMs ?? null),
        ledger_number: number,
      });
      return true;
    },
    openHolds: (id) => open.get(id)?.holds,
    close(id, end, completion) {
      const row = open.get(id)?.row ?? null;
      open.delete(id);
      const added = opened.get(id);
      if (added === undefined) closed.set(id, end);
      else added.state = end;
      if (row !== null) completeRow(row, { ...completion, state: end });
    },
    record(id, row) {
      if (taken.has(id)) return false;
      taken.add(id);
      opened.set(id, {
        id,
        state: 'settled',
        held_until_ms: 0,
        counters: [],
        amounts: [],
        expiries_ms: [],
        ledger_number: null,
      });
      addRow(row);
      return true;
    },
    keys,
    answers: elsewhere,
  };

  return {
    books,
    changes: () => ({
      counters: [...changedCounters].map((counter) => ({ counter, ...books.read(counter) })),
      opened: [...opened.values()],
      closed: Array.from(closed, ([id, state]) => ({ id, state })),
      rows: Array.from(rows, ([number, row]) => ({ number, ...inColumns(row) })),
      completions: Array.from(completions, ([number, row]) => ({ number, completion: inColumns(row) })),
    }),
  };
}

/** Kept answers have statements of their own. */
const elsewhere: AnswerTable = {
  nowMs: notHere,
  get: notHere,
  put: notHere,
  use: notHere,
  remove: notHere,
  size: notHere,
  oldest: notHere,
};

function notHere(): never {
  throw new Error('Kept answers are no part of a batch.');
}

/** The members of a row under the names of their columns. */
function inColumns(row: Partial<LedgerRow>): Readonly<Record<string, unknown>> {
  const given = ledgerMembers.filter((member) => member in row);
  return Object.fromEntries(given.map((member) => [ledgerColumns[member], row[member] ?? null]));
}

const columns = ledgerMembers.map((member) => ledgerColumns[member]);

const writeText = `
  WITH counters AS (
    UPDATE pinhole_counters AS old SET settled = new.settled, held = new.held
      FROM json_to_recordset($3::json) AS new (counter text, settled bigint, held bigint)
     WHERE old.counter = new.counter
  ), opened AS (
    INSERT INTO pinhole_reservations
    SELECT id, state, $1::text, $2::bigint, held_until_ms, counters, amounts, expiries_ms, ledger_number
      FROM json_to_recordset($4::json) AS new (
             id text, state text, held_until_ms bigint, counters text[], amounts bigint[], expiries_ms bigint[],
             ledger_number bigint)
  ), closed AS (
    UPDATE pinhole_reservations AS old SET state = new.state, changed_at_ms = $2::bigint
      FROM json_to_recordset($5::json) AS new (id text, state text)
     WHERE old.id = new.id
  ), rows AS (
    INSERT INTO pinhole_ledger SELECT new.* FROM jsonb_populate_recordset(NULL::pinhole_ledger, $6::jsonb) AS new
  ), completions AS (
    UPDATE pinhole_ledger AS old
       SET (${columns.join(', ')}) =
           (SELECT ${columns.map((column) => `made.${column}`).join(', ')}
              FROM jsonb_populate_record(old, new.completion) AS made)
      FROM jsonb_to_recordset($7::jsonb) AS new (number bigint, completion jsonb)
     WHERE old.number = new.number
  )
  SELECT`;

async function write(session: Session, changes: Changes, { owner, nowMs }: BatchContext): Promise<void> {
  const { counters, opened, closed, rows, completions } = changes;
  const lists = [counters, opened, closed, rows, completions];
  if (lists.every((list) => list.length === 0)) return;
  await session.query({
    name: 'pinhole-write',
    text: writeText,
    values: [owner, nowMs, ...lists.map((list) => JSON.stringify(list))],
  });
}
