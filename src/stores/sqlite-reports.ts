/** Reads the ledger from an SQLite file. */
import type { DatabaseSync } from 'node:sqlite';
import {
  countersStatement,
  readCounter,
  rowsPage,
  rowsStatement,
  usageGroups,
  usageStatement,
  type Answered,
  type Dialect,
  type Statement,
} from './ledger-sql.ts';
import type { Counter, CountersQuery, RowsPage, RowsQuery, UsageGroup, UsageQuery } from './ledger.ts';

export type ReportOrder =
  | { readonly kind: 'usage'; readonly query: UsageQuery }
  | { readonly kind: 'rows'; readonly query: RowsQuery }
  | { readonly kind: 'counters'; readonly query: CountersQuery };

export type Report =
  | { readonly kind: 'usage'; readonly groups: readonly UsageGroup[] }
  | { readonly kind: 'rows'; readonly page: RowsPage }
  | { readonly kind: 'counters'; readonly counters: readonly Counter[] }
  /** A RangeError. */
  | { readonly kind: 'out-of-range'; readonly message: string };

const dialect: Dialect = {
  ledger: 'ledger',
  counters: 'counters',
  parameter: (number) => `?${number}`,
  day: `strftime('%Y-%m-%d', at_ms / 1000, 'unixepoch')`,
  month: `strftime('%Y-%m', at_ms / 1000, 'unixepoch')`,
};

export function makeReport(database: DatabaseSync, order: ReportOrder): Report {
  try {
    return report(database, order);
  } catch (error) {
    if (error instanceof RangeError) return { kind: 'out-of-range', message: error.message };
    throw error;
  }
}

function report(database: DatabaseSync, order: ReportOrder): Report {
  if (order.kind === 'usage') {
    const answers = query(database, usageStatement(order.query, dialect));
    return { kind: 'usage', groups: usageGroups(answers, order.query) };
  }
  if (order.kind === 'rows') {
    return { kind: 'rows', page: rowsPage(query(database, rowsStatement(order.query, dialect)), order.query) };
  }
  return { kind: 'counters', counters: query(database, countersStatement(order.query, dialect)).map(readCounter) };
}

function query(database: DatabaseSync, { text, values }: Statement): readonly Answered[] {
  const statement = database.prepare(text);
  // Sums may be larger than a number holds.
  statement.setReadBigInts(true);
  return statement.all(...values);
}
