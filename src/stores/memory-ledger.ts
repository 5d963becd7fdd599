import { storedText, type RowCompletion } from './books.ts';
import { textColumns } from './ledger-columns.ts';
import { inOrder } from './ledger-sql.ts';
import {
  readCursor,
  writeCursor,
  type LedgerRow,
  type RowCursor,
  type RowsFilter,
  type RowsPage,
  type RowsQuery,
  type RowState,
  type UsageGroup,
  type UsageKey,
  type UsageQuery,
} from './ledger.ts';

/** A ledger in memory, whose oldest rows make room for new ones. */
export interface MemoryLedger {
  /** The number of the new row. */
  add(row: LedgerRow): number;
  /** Completes a row, if it is still there. */
  complete(number: number, state: RowState, completion: RowCompletion): void;
  /** Forgets rows of before then. */
  forget(beforeMs: number): void;
  usage(query: UsageQuery): readonly UsageGroup[];
  rows(query: RowsQuery): RowsPage;
}

export function createMemoryLedger(mostRows: number): MemoryLedger {
  const rows = new Map<number, LedgerRow>();
  let last = 0;

  const matching = (filter: RowsFilter): [number, LedgerRow][] => [...rows].filter(([, row]) => matches(row, filter));

  return {
    add(row) {
      last += 1;
      rows.set(last, row);
      const [oldest] = rows.keys();
      if (rows.size > mostRows && oldest !== undefined) rows.delete(oldest);
      return last;
    },
    complete(number, state, completion) {
      const row = rows.get(number);
      if (row !== undefined) rows.set(number, { ...row, ...completion, state });
    },
    forget(beforeMs) {
      for (const [number, { atMs, state }] of rows) if (atMs < beforeMs && state !== 'reserved') rows.delete(number);
    },
    usage(query) {
      const groups = Map.groupBy(matching(query), ([, row]) => JSON.stringify(keyOf(row, query.by)));
      const added = Array.from(groups.values(), (members) =>
        addUp(
          members.map(([, row]) => row),
          query.by,
        ),
      );
      return inOrder(added, query.limit);
    },
    rows(query) {
      const after = query.after === undefined ? undefined : readCursor(query.after);
      if (query.after !== undefined && after === undefined) throw new RangeError('This is not the end of a page.');
      const found = matching(query)
        .map(([number, row]) => ({ number, row, atMs: row.atMs }))
        .toSorted(compareCursors)
        .filter((place) => after === undefined || compareCursors(place, after) > 0);
      const end = found.length > query.limit ? found[query.limit - 1] : undefined;
      return { rows: found.slice(0, query.limit).map(({ row }) => row), next: end && writeCursor(end) };
    },
  };
}

function matches(row: LedgerRow, { sinceMs, untilMs, equal = {} }: RowsFilter): boolean {
  return (
    (sinceMs === undefined || row.atMs >= sinceMs) &&
    (untilMs === undefined || row.atMs < untilMs) &&
    textColumns.every((name) => equal[name] === undefined || row[name] === storedText(equal[name]))
  );
}

function compareCursors(left: RowCursor, right: RowCursor): number {
  return left.atMs - right.atMs || left.number - right.number;
}

function keyOf(row: LedgerRow, by: readonly UsageKey[]): readonly (string | null)[] {
  const day = new Date(row.atMs).toISOString().slice(0, 10);
  return by.map((key) => (key === 'day' ? day : key === 'month' ? day.slice(0, 7) : row[key]));
}

function addUp(rows: readonly LedgerRow[], by: readonly UsageKey[]): UsageGroup {
  const over = rows.filter(({ state }) => state !== 'reserved');
  const sum = (member: 'images' | 'inputTokens' | 'outputTokens'): number =>
    over.reduce((total, row) => total + (row[member] ?? 0), 0);
  const [first] = rows;
  return {
    key: first === undefined ? [] : keyOf(first, by),
    requests: rows.length,
    open: rows.length - over.length,
    estimated: over.filter(({ state }) => state === 'estimated').length,
    images: sum('images'),
    inputTokens: sum('inputTokens'),
    outputTokens: sum('outputTokens'),
    costNanoUsd: over.reduce((total, { costNanoUsd }) => total + BigInt(costNanoUsd ?? 0), 0n),
    savedNanoUsd: over.reduce((total, { savedNanoUsd }) => total + BigInt(savedNanoUsd ?? 0), 0n),
    unpriced: over.filter(({ costNanoUsd }) => costNanoUsd === null).length,
  };
}
