/** How the ledger is read from a database. The statements are the same in SQLite and PostgreSQL but for a few words. */
import { endOfPrefix, storedText } from './books.ts';
import { ledgerColumns, ledgerMembers, textColumns } from './ledger-columns.ts';
import {
  readCursor,
  writeCursor,
  type Counter,
  type CountersQuery,
  type LedgerRow,
  type RowsFilter,
  type RowsPage,
  type RowsQuery,
  type UsageGroup,
  type UsageKey,
  type UsageQuery,
} from './ledger.ts';

/** What one database says differently. */
export interface Dialect {
  readonly ledger: string;
  readonly counters: string;
  /** The placeholder of the parameter with this number, counted from 1. */
  parameter(number: number): string;
  /** The day and the month of `at_ms` in UTC. */
  readonly day: string;
  readonly month: string;
}

export interface Statement {
  readonly text: string;
  readonly values: readonly (string | number)[];
}

/** A row of an answer, as the drivers give it: whole numbers may be numbers, bigints or texts. */
export type Answered = Readonly<Record<string, unknown>>;

/** One more than `limit` is asked for, so that more can be told from the last. */
export function usageStatement(query: UsageQuery, dialect: Dialect): Statement {
  const { where, values, add } = conditions(query, dialect);
  const keys = query.by.map((key) => keyExpression(key, dialect));
  const select = [
    ...keys.map((key, index) => `${key} AS key_${index}`),
    'count(*) AS requests',
    `count(CASE WHEN state = 'reserved' THEN 1 END) AS open`,
    `count(CASE WHEN state = 'estimated' THEN 1 END) AS estimated`,
    ...(['images', 'input_tokens', 'output_tokens', 'cost_nano_usd', 'saved_nano_usd'] as const).map(
      (column) => `coalesce(sum(CASE WHEN state <> 'reserved' THEN ${column} END), 0) AS ${column}`,
    ),
    `count(CASE WHEN state <> 'reserved' AND cost_nano_usd IS NULL THEN 1 END) AS unpriced`,
  ];
  const group = keys.length === 0 ? '' : ` GROUP BY ${keys.map((_key, index) => index + 1).join(', ')}`;
  const text = `SELECT ${select.join(', ')} FROM ${dialect.ledger}${where}${group} LIMIT ${add(query.limit + 1)}`;
  return { text, values };
}

function keyExpression(key: UsageKey, dialect: Dialect): string {
  if (key === 'day') return dialect.day;
  return key === 'month' ? dialect.month : ledgerColumns[key];
}

/** @throws RangeError when there are more groups than were wanted */
export function usageGroups(answers: readonly Answered[], { by, limit }: UsageQuery): readonly UsageGroup[] {
  const groups = answers.map((answer): UsageGroup => ({
    key: by.map((_key, index) => textOf(answer[`key_${index}`])),
    requests: Number(answer['requests']),
    open: Number(answer['open']),
    estimated: Number(answer['estimated']),
    images: Number(answer['images']),
    inputTokens: Number(answer['input_tokens']),
    outputTokens: Number(answer['output_tokens']),
    costNanoUsd: BigInt(String(answer['cost_nano_usd'])),
    savedNanoUsd: BigInt(String(answer['saved_nano_usd'])),
    unpriced: Number(answer['unpriced']),
  }));
  return inOrder(groups, limit);
}

/** Groups in the order of their keys, what has no value last. @throws RangeError when there are more than `limit` */
export function inOrder(groups: readonly UsageGroup[], limit: number): readonly UsageGroup[] {
  if (groups.length > limit) throw new RangeError(`There are more than ${limit} groups.`);
  // Without keys a database gives one group of nothing.
  return groups.filter(({ requests }) => requests > 0).toSorted((left, right) => compareKeys(left.key, right.key));
}

function compareKeys(left: UsageGroup['key'], right: UsageGroup['key']): number {
  const index = left.findIndex((text, place) => text !== right[place]);
  if (index < 0) return 0;
  const [one, other] = [left[index] ?? null, right[index] ?? null];
  if (one === null || other === null) return one === null ? 1 : -1;
  return one < other ? -1 : 1;
}

/** @throws RangeError when `after` is not what a page gave */
export function rowsStatement(query: RowsQuery, dialect: Dialect): Statement {
  const { where, values, add } = conditions(query, dialect, ({ add }) => {
    if (query.after === undefined) return [];
    const cursor = readCursor(query.after);
    if (cursor === undefined) throw new RangeError('This is not the end of a page.');
    return [`(at_ms, number) > (${add(cursor.atMs)}, ${add(cursor.number)})`];
  });
  const columns = ['number', ...ledgerMembers.map((member) => ledgerColumns[member])];
  const text =
    `SELECT ${columns.join(', ')} FROM ${dialect.ledger}${where} ORDER BY at_ms, number ` +
    `LIMIT ${add(query.limit + 1)}`;
  return { text, values };
}

export function rowsPage(answers: readonly Answered[], { limit }: RowsQuery): RowsPage {
  const last = answers.length > limit ? answers[limit - 1] : undefined;
  return {
    rows: answers.slice(0, limit).map(readRow),
    next: last && writeCursor({ atMs: Number(last['at_ms']), number: Number(last['number']) }),
  };
}

const texts: ReadonlySet<string> = new Set(textColumns);

function readRow(answer: Answered): LedgerRow {
  const members = ledgerMembers.map((member) => {
    const value = answer[ledgerColumns[member]];
    return [member, texts.has(member) ? textOf(value) : numberOf(value)];
  });
  // The table's own types and constraints vouch for the members.
  return Object.fromEntries(members) as LedgerRow;
}

export function countersStatement(query: CountersQuery, dialect: Dialect): Statement {
  const { values, add } = parameters(dialect);
  const clauses = ['(settled > 0 OR held > 0)'];
  if (query.after !== undefined) clauses.push(`counter > ${add(query.after)}`);
  if (query.prefix !== undefined && query.prefix !== '') {
    clauses.push(`counter >= ${add(query.prefix)}`, `counter < ${add(endOfPrefix(query.prefix))}`);
  }
  const text =
    `SELECT counter, settled, held, expires_at_ms FROM ${dialect.counters} WHERE ${clauses.join(' AND ')} ` +
    `ORDER BY counter LIMIT ${add(query.limit)}`;
  return { text, values };
}

export function readCounter(answer: Answered): Counter {
  return {
    counter: String(answer['counter']),
    settled: Number(answer['settled']),
    held: Number(answer['held']),
    expiresAtMs: numberOf(answer['expires_at_ms']) ?? undefined,
  };
}

interface Parameters {
  readonly values: readonly (string | number)[];
  /** Adds a value and gives its placeholder. */
  add(value: string | number): string;
}

function parameters(dialect: Dialect): Parameters {
  const values: (string | number)[] = [];
  return { values, add: (value) => dialect.parameter(values.push(value)) };
}

function conditions(
  filter: RowsFilter,
  dialect: Dialect,
  further: (given: Parameters) => readonly string[] = () => [],
): Parameters & { readonly where: string } {
  const given = parameters(dialect);
  const { sinceMs, untilMs, equal = {} } = filter;
  const clauses = [
    ...(sinceMs === undefined ? [] : [`at_ms >= ${given.add(sinceMs)}`]),
    ...(untilMs === undefined ? [] : [`at_ms < ${given.add(untilMs)}`]),
    ...textColumns.flatMap((name) => {
      const value = equal[name];
      return value === undefined ? [] : [`${ledgerColumns[name]} = ${given.add(storedText(value))}`];
    }),
    ...further(given),
  ];
  return { ...given, where: clauses.length === 0 ? '' : ` WHERE ${clauses.join(' AND ')}` };
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function numberOf(value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value);
}
