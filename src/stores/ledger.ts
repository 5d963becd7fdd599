/**
 * The contract of the ledger: what it tells of a request, and how it is read. It has one row a request. A row is written
 * once, completed at most once, and never changed after that; only the end of its retention removes it.
 */

/**
 * `reserved`: under way, or left behind by a crash and not yet dealt with; images and cost are the most they may come to.
 * `settled`: over, with what the provider told. `estimated`: over, but an answer was lost, so that images or cost are taken
 * to be what was asked for. `released`: over, and nothing was sent. `recorded`: over, and nothing had been reserved.
 */
export type RowState = 'reserved' | 'settled' | 'estimated' | 'released' | 'recorded';

/** One request. `null`: not known, or there is none. Texts are cut after 256 characters. */
export interface LedgerRow {
  /** Not unique: callers may give it. */
  readonly requestId: string;
  /** When the request came, in milliseconds since 1970. */
  readonly atMs: number;
  readonly consumer: string | null;
  readonly user: string | null;
  readonly team: string | null;
  readonly session: string | null;
  readonly endUser: string | null;
  readonly route: string | null;
  readonly alias: string | null;
  /** Who served it in the end, or was tried last; with `provider` and `model`. */
  readonly entity: string | null;
  readonly provider: string | null;
  readonly model: string | null;
  readonly operation: string | null;
  /** Pictures that count, those of failed tries included. */
  readonly images: number;
  readonly size: string | null;
  readonly quality: string | null;
  readonly inputTokens: number | null;
  readonly outputTokens: number | null;
  /** What all tries have cost together, in nano-dollars. */
  readonly costNanoUsd: number | null;
  /** What the answer to an earlier call, given once more, had cost then, in nano-dollars. */
  readonly savedNanoUsd: number | null;
  readonly state: RowState;
  /** The HTTP status that went out; 499 when the client was gone. */
  readonly status: number | null;
  /** Milliseconds from the request's first line to the answer's last byte. */
  readonly latencyMs: number | null;
  /** Requests to providers. */
  readonly attempts: number;
}

/** A request of which the end is not known yet. */
export type OpenRow = Omit<LedgerRow, 'savedNanoUsd' | 'state' | 'status' | 'latencyMs'>;

/** A request that is over, and for which nothing was reserved. */
export type RecordedRow = LedgerRow & { readonly state: 'recorded' | 'estimated' };

/** What is known of a request when it is over. */
export interface RowOutcome extends Pick<
  LedgerRow,
  | 'entity'
  | 'provider'
  | 'model'
  | 'images'
  | 'size'
  | 'quality'
  | 'inputTokens'
  | 'outputTokens'
  | 'costNanoUsd'
  | 'savedNanoUsd'
  | 'status'
  | 'latencyMs'
  | 'attempts'
> {
  /** Whether an answer was lost, so that what it cost is not known but taken to be what was asked for. */
  readonly estimated: boolean;
}

/** Members of a row by which rows can be chosen and added up. */
export type TextColumn = Exclude<
  { readonly [Name in keyof LedgerRow]: LedgerRow[Name] extends string | null ? Name : never }[keyof LedgerRow],
  never
>;

/** What usage can be added up by; `day` and `month` are those of UTC, as `2026-11-21` and `2026-11`. */
export type UsageKey = Exclude<TextColumn, 'requestId'> | 'day' | 'month';

/** Which rows are meant. */
export interface RowsFilter {
  /** Milliseconds since 1970; rows from then on. */
  readonly sinceMs?: number | undefined;
  /** Milliseconds since 1970; rows before then. */
  readonly untilMs?: number | undefined;
  /** Rows that have exactly these values. */
  readonly equal?: Partial<Readonly<Record<TextColumn, string>>> | undefined;
}

export interface UsageQuery extends RowsFilter {
  /** No key: one group for everything. */
  readonly by: readonly UsageKey[];
  /** The most groups that are wanted. */
  readonly limit: number;
}

/** What the rows of one group come to. Images, tokens and cost are those of requests that are over. */
export interface UsageGroup {
  /** In the order of the query's `by`. */
  readonly key: readonly (string | null)[];
  readonly requests: number;
  /** Requests that are still in the state `reserved`. */
  readonly open: number;
  /** Requests in the state `estimated`. */
  readonly estimated: number;
  readonly images: number;
  readonly inputTokens: number;
  readonly outputTokens: number;
  /** Nano-dollars, as far as costs are known; the sum of years may be more than a number holds exactly. */
  readonly costNanoUsd: bigint;
  /** Nano-dollars that were not spent, since an earlier answer was given once more; as far as its cost is known. */
  readonly savedNanoUsd: bigint;
  /** Requests that are over and whose cost is not known. */
  readonly unpriced: number;
}

export interface RowsQuery extends RowsFilter {
  /** The `next` of the page before. */
  readonly after?: string | undefined;
  /** Rows on a page, 1 or more. */
  readonly limit: number;
}

/** Rows in the order of their time. */
export interface RowsPage {
  readonly rows: readonly LedgerRow[];
  /** Where the next page begins; undefined: this is the last. */
  readonly next: string | undefined;
}

/** A place between two rows: the time of the first, and its number. */
export interface RowCursor {
  readonly atMs: number;
  readonly number: number;
}

export function writeCursor({ atMs, number }: RowCursor): string {
  return `${atMs}.${number}`;
}

/** Undefined when the text is none that `writeCursor` gives. */
export function readCursor(text: string): RowCursor | undefined {
  const parts = /^(\d{1,15})\.(\d{1,15})$/.exec(text);
  return parts === null ? undefined : { atMs: Number(parts[1]), number: Number(parts[2]) };
}

export interface CountersQuery {
  /** Counters whose name begins with this. */
  readonly prefix?: string | undefined;
  /** Counters whose name comes after this one. */
  readonly after?: string | undefined;
  readonly limit: number;
}

/** A counter that is not at zero. */
export interface Counter {
  readonly counter: string;
  readonly settled: number;
  readonly held: number;
  /** When it may be forgotten, in milliseconds since 1970; undefined: never. */
  readonly expiresAtMs: number | undefined;
}

/** What can be read, also by a process that keeps no books itself and while others do. */
export interface BooksReader {
  /**
   * Adds up the rows, one group for each combination of values, in the order of the keys.
   * @throws RangeError when there are more groups than `limit`
   */
  usage(query: UsageQuery): Promise<readonly UsageGroup[]>;
  /** One page of rows. */
  rows(query: RowsQuery): Promise<RowsPage>;
  /** Counters by name. Those at zero are left out, since they say nothing. */
  counters(query: CountersQuery): Promise<readonly Counter[]>;
  close(): Promise<void>;
}
