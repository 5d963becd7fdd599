/** The ledger as people and programs ask for it: over the admin API and on the command line, in the same words. */
import { GatewayError } from '../errors.ts';
import { formatUsd } from '../money.ts';
import { parseDuration } from '../quantities.ts';
import {
  readCursor,
  type BooksReader,
  type LedgerRow,
  type RowsFilter,
  type RowsQuery,
  type TextColumn,
  type UsageGroup,
  type UsageKey,
  type UsageQuery,
} from '../stores/ledger.ts';

/** Members of a row by their names outside, in the order in which they are shown. */
const rowNames = {
  at: 'atMs',
  request_id: 'requestId',
  consumer: 'consumer',
  user: 'user',
  team: 'team',
  session: 'session',
  end_user: 'endUser',
  route: 'route',
  alias: 'alias',
  entity: 'entity',
  provider: 'provider',
  model: 'model',
  operation: 'operation',
  images: 'images',
  size: 'size',
  quality: 'quality',
  input_tokens: 'inputTokens',
  output_tokens: 'outputTokens',
  cost_usd: 'costNanoUsd',
  saved_usd: 'savedNanoUsd',
  state: 'state',
  status: 'status',
  latency_ms: 'latencyMs',
  attempts: 'attempts',
} as const satisfies Readonly<Record<string, keyof LedgerRow>>;

/** What rows can be chosen by, by its name outside. */
const filters = {
  request_id: 'requestId',
  consumer: 'consumer',
  user: 'user',
  team: 'team',
  session: 'session',
  end_user: 'endUser',
  route: 'route',
  alias: 'alias',
  entity: 'entity',
  provider: 'provider',
  model: 'model',
  operation: 'operation',
  size: 'size',
  quality: 'quality',
  state: 'state',
} as const satisfies Readonly<Record<string, TextColumn>>;

/** What usage can be added up by, by its name outside. */
const keys: ReadonlyMap<string, UsageKey> = new Map<string, UsageKey>([
  ...Object.entries(filters).filter(([name]) => name !== 'request_id'),
  ['day', 'day'],
  ['month', 'month'],
] as readonly (readonly [string, UsageKey])[]);

/** A value as it is shown: money as exact decimal text, times in ISO 8601. */
export type Cell = string | number | null;

export type Document = Readonly<Record<string, Cell>>;

/** The names of a row's members. */
export const rowColumns = Object.keys(rowNames);

export function rowDocument(row: LedgerRow): Document {
  const members = Object.entries(rowNames).map(([name, member]): readonly [string, Cell] => {
    if (member === 'atMs') return [name, new Date(row.atMs).toISOString()];
    const value = row[member];
    const isMoney = member === 'costNanoUsd' || member === 'savedNanoUsd';
    return [name, isMoney && typeof value === 'number' ? formatUsd(value) : value];
  });
  return Object.fromEntries(members);
}

/** The names of a group's members. @param by as they are written outside */
export function usageColumns(by: readonly string[]): readonly string[] {
  return [...by, ...Object.keys(sums)];
}

const sums = {
  requests: ({ requests }) => requests,
  images: ({ images }) => images,
  cost_usd: ({ costNanoUsd }) => formatUsd(costNanoUsd),
  saved_usd: ({ savedNanoUsd }) => formatUsd(savedNanoUsd),
  input_tokens: ({ inputTokens }) => inputTokens,
  output_tokens: ({ outputTokens }) => outputTokens,
  open: ({ open }) => open,
  estimated: ({ estimated }) => estimated,
  unpriced: ({ unpriced }) => unpriced,
} as const satisfies Readonly<Record<string, (group: UsageGroup) => Cell>>;

export function usageDocument(group: UsageGroup, by: readonly string[]): Document {
  const named = by.map((name, index) => [name, group.key[index] ?? null] as const);
  return Object.fromEntries([...named, ...Object.entries(sums).map(([name, sum]) => [name, sum(group)] as const)]);
}

/** What is asked for, as texts. */
export interface UsageRequest {
  readonly by?: string | null | undefined;
  readonly since?: string | null | undefined;
  readonly until?: string | null | undefined;
  /** By the names of a row's members. */
  readonly filter: ReadonlyMap<string, string>;
}

/** The most groups of an answer. */
const mostGroups = 100_000;

/** A question about usage, and the names of its keys. @throws GatewayError invalid_value, with the parameter's name */
export function usageQuery(
  request: UsageRequest,
  nowMs: number,
): { readonly query: UsageQuery; readonly by: readonly string[] } {
  const by = (request.by ?? '').split(',').flatMap((name) => (name.trim() === '' ? [] : [name.trim()]));
  const query = { ...rowsFilter(request, nowMs), by: by.map(keyOf), limit: mostGroups };
  return { query, by };
}

function keyOf(name: string): UsageKey {
  const key = keys.get(name);
  if (key === undefined) throw invalid('by', `\`${name}\` is not among ${[...keys.keys()].join(', ')}`);
  return key;
}

/** @throws GatewayError invalid_value, with the parameter's name */
export function rowsFilter({ since, until, filter }: UsageRequest, nowMs: number): RowsFilter {
  const equal: Partial<Record<TextColumn, string>> = {};
  for (const [name, value] of filter) {
    const member: TextColumn | undefined = new Map<string, TextColumn>(Object.entries(filters)).get(name);
    if (member === undefined) throw invalid(name, `rows are chosen by ${Object.keys(filters).join(', ')}`);
    equal[member] = value;
  }
  return { sinceMs: instant('since', since, nowMs), untilMs: instant('until', until, nowMs), equal };
}

/** A point in time: a duration before now, or a date with or without a time, in UTC unless it says otherwise. */
function instant(name: string, text: string | null | undefined, nowMs: number): number | undefined {
  if (text === null || text === undefined || text === '') return undefined;
  const agoMs = /^\d+[a-z]+$/.test(text) ? parseDuration(text) : undefined;
  if (agoMs !== undefined) return Math.max(0, nowMs - agoMs);
  const isDate = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})?)?$/.test(text);
  const hasZone = !text.includes('T') || /(Z|[+-]\d{2}:\d{2})$/.test(text);
  const atMs = isDate ? Date.parse(hasZone ? text : `${text}Z`) : Number.NaN;
  if (Number.isNaN(atMs)) throw invalid(name, 'a time is a duration such as 30d, or a date such as 2026-11-01');
  return atMs;
}

const usualPage = 100;
const largestPage = 1_000;

/** @throws GatewayError invalid_value, with the parameter's name */
export function rowsQuery(
  request: UsageRequest & { readonly after?: string | null; readonly limit?: string | null },
  nowMs: number,
): RowsQuery {
  const { after, limit } = request;
  const wanted = limit === null || limit === undefined ? usualPage : Number(limit);
  if (!Number.isSafeInteger(wanted) || wanted < 1 || wanted > largestPage) {
    throw invalid('limit', `a page has 1 to ${largestPage} rows`);
  }
  const isCursor = after === null || after === undefined || readCursor(after) !== undefined;
  if (!isCursor) throw invalid('after', 'it is the `next` of the page before');
  return { ...rowsFilter(request, nowMs), limit: wanted, after: after ?? undefined };
}

function invalid(param: string, reason: string): GatewayError {
  return new GatewayError('invalid_value', `The value of \`${param}\` is not understood: ${reason}.`, { param });
}

/** The answer of `GET /api/usage`. @throws GatewayError */
export async function answerUsage(books: BooksReader, query: URLSearchParams, nowMs: number): Promise<object> {
  const request = requestOf(query, ['by']);
  const asked = usageQuery({ ...request, by: query.get('by') }, nowMs);
  const groups = await usageOf(books, asked.query);
  return {
    since: isoOf(asked.query.sinceMs),
    until: isoOf(asked.query.untilMs),
    by: asked.by,
    usage: groups.map((group) => usageDocument(group, asked.by)),
  };
}

/** @throws GatewayError invalid_value when there are too many groups */
export async function usageOf(books: BooksReader, query: UsageQuery): Promise<readonly UsageGroup[]> {
  try {
    return await books.usage(query);
  } catch (error) {
    if (error instanceof RangeError) throw invalid('by', `there are more than ${mostGroups} groups`);
    throw error;
  }
}

/** The answer of `GET /api/usage/rows`. @throws GatewayError */
export async function answerRows(books: BooksReader, query: URLSearchParams, nowMs: number): Promise<object> {
  const request = requestOf(query, ['after', 'limit']);
  const asked = rowsQuery({ ...request, after: query.get('after'), limit: query.get('limit') }, nowMs);
  const { rows, next } = await books.rows(asked);
  return { rows: rows.map(rowDocument), next: next ?? null };
}

/** Everything in the query that has no meaning of its own chooses rows. */
function requestOf(query: URLSearchParams, known: readonly string[]): UsageRequest {
  const others = [...query].filter(([name]) => !['since', 'until', ...known].includes(name));
  return { since: query.get('since'), until: query.get('until'), filter: new Map(others) };
}

function isoOf(atMs: number | undefined): string | null {
  return atMs === undefined ? null : new Date(atMs).toISOString();
}
