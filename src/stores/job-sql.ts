/** The table of jobs in SQL, for the databases that there are: each request is one statement, so it happens or does not. */
import { mostClaims, noCounts, type JobAnswer, type JobRequest } from './job-requests.ts';
import type { Job, JobState } from './job-store.ts';
import type { Answered } from './ledger-sql.ts';

/** What differs from database to database. */
export interface JobDialect {
  readonly table: string;
  /** That of the reservations. */
  readonly reservations: string;
  parameter(number: number): string;
  /** Put after the choice of a row that is going to be changed. */
  readonly lock: string;
  /** Whether a column has one of the texts of a parameter. */
  among(column: string, parameter: string): string;
  /** What the database takes for a list of texts. */
  list(texts: readonly string[]): string | readonly string[];
}

export interface JobStatement {
  readonly text: string;
  readonly values: readonly (string | number | null | readonly string[])[];
}

/** The owner of reservations that outlive their process. */
export const carried = 'carried';

/** Who asks, and when. */
export interface JobContext {
  /** The process whose the jobs are that are taken. */
  readonly owner: string;
  readonly nowMs: number;
}

const columns = `id, consumer, state, request, outcome, place, progress, created_at_ms, started_at_ms, finished_at_ms,
  kept_until_ms, notice_tries`;
const isHeld = `state IN ('running', 'sent')`;
const isOver = `state IN ('succeeded', 'failed', 'cancelled')`;

/** What is told of the end is due with it. */
const noticeDue = (now: string): string => `notice_due_ms = CASE WHEN notify = 1 THEN CAST(${now} AS bigint) END`;

export function jobStatement(request: JobRequest, context: JobContext, dialect: JobDialect): JobStatement {
  const { table, lock } = dialect;
  const { owner, nowMs } = context;
  const p = (number: number): string => dialect.parameter(number);
  switch (request.kind) {
    case 'create':
      return {
        text: `INSERT INTO ${table} (id, consumer, state, claims, request, created_at_ms, kept_until_ms, notify, notice_tries)
          SELECT CAST(${p(1)} AS text), CAST(${p(2)} AS text), 'queued', 0, CAST(${p(3)} AS text), CAST(${p(4)} AS bigint),
                 CAST(${p(5)} AS bigint), CAST(${p(6)} AS integer), 0
           WHERE (SELECT count(*) FROM ${table} WHERE state = 'queued') < CAST(${p(7)} AS bigint) RETURNING id`,
        values: [
          request.id,
          request.consumer,
          request.request,
          nowMs,
          request.keptUntilMs,
          Number(request.notify),
          request.mostQueued,
        ],
      };
    case 'claim':
      return {
        text: `UPDATE ${table} SET state = 'running', holder = ${p(1)}, owner = ${p(2)}, claims = claims + 1,
            started_at_ms = coalesce(started_at_ms, CAST(${p(3)} AS bigint))
          WHERE state = 'queued' AND id = (
            SELECT id FROM ${table} WHERE state = 'queued' ORDER BY created_at_ms, id LIMIT 1 ${lock})
          RETURNING ${columns}`,
        values: [request.holder, owner, nowMs],
      };
    case 'send':
      return {
        text: `UPDATE ${table} SET state = 'sent' WHERE id = ${p(1)} AND holder = ${p(2)} AND ${isHeld} RETURNING id`,
        values: [request.id, request.holder],
      };
    case 'return':
      return {
        text: `UPDATE ${table} SET state = 'queued', holder = NULL, owner = NULL, claims = claims - 1, progress = NULL
          WHERE holder = ${p(1)} AND ${isHeld} RETURNING id`,
        values: [request.holder],
      };
    case 'place':
      return {
        text: `UPDATE ${table} SET place = ${p(3)} WHERE id = ${p(1)} AND holder = ${p(2)} AND ${isHeld} RETURNING id`,
        values: [request.id, request.holder, request.place ?? null],
      };
    case 'carry':
      return {
        text: `UPDATE ${dialect.reservations} SET owner = '${carried}', held_until_ms = CAST(${p(2)} AS bigint)
          WHERE id = ${p(1)} AND state = 'held' RETURNING id`,
        values: [request.id, request.heldUntilMs],
      };
    case 'progress':
      return {
        text: `UPDATE ${table} SET progress = ${p(3)} WHERE id = ${p(1)} AND holder = ${p(2)} AND ${isHeld} RETURNING id`,
        values: [request.id, request.holder, request.progress],
      };
    case 'held':
      return {
        text: `SELECT holder FROM ${table} WHERE ${isHeld} AND ${dialect.among('holder', p(1))}`,
        values: [dialect.list(request.holders)],
      };
    case 'finish':
      // Its holder may have been taken for gone too early.
      return {
        text: `UPDATE ${table} SET state = ${p(3)}, outcome = ${p(4)}, owner = NULL, finished_at_ms = CAST(${p(5)} AS bigint),
            kept_until_ms = ${p(6)}, ${noticeDue(p(5))}
          WHERE id = ${p(1)} AND holder = ${p(2)} AND (${isHeld} OR state = 'failed' AND outcome IS NULL) RETURNING id`,
        values: [request.id, request.holder, request.state, request.outcome, nowMs, request.keptUntilMs],
      };
    case 'cancel':
      // What is over stays as it is, and is given all the same.
      return {
        text: `UPDATE ${table} SET
            state = CASE WHEN ${isOver} THEN state ELSE 'cancelled' END,
            holder = CASE WHEN ${isOver} THEN holder END,
            owner = CASE WHEN ${isOver} THEN owner END,
            finished_at_ms = CASE WHEN ${isOver} THEN finished_at_ms ELSE CAST(${p(2)} AS bigint) END,
            kept_until_ms = CASE WHEN ${isOver} THEN kept_until_ms ELSE CAST(${p(3)} AS bigint) END,
            notice_due_ms = CASE WHEN ${isOver} THEN notice_due_ms WHEN notify = 1 THEN CAST(${p(2)} AS bigint) END
          WHERE id = ${p(1)} RETURNING ${columns}`,
        values: [request.id, nowMs, request.keptUntilMs],
      };
    case 'read':
      return { text: `SELECT ${columns} FROM ${table} WHERE id = ${p(1)}`, values: [request.id] };
    case 'count':
      return {
        text: `SELECT count(CASE WHEN state = 'queued' THEN 1 END) AS queued,
                      count(CASE WHEN ${isHeld} THEN 1 END) AS running
                 FROM ${table} WHERE state IN ('queued', 'running', 'sent')`,
        values: [],
      };
    case 'claim-notice':
      return {
        text: `UPDATE ${table} SET notice_due_ms = CAST(${p(1)} AS bigint), notice_tries = notice_tries + 1
          WHERE notice_due_ms <= ${p(2)} AND id = (
            SELECT id FROM ${table} WHERE notice_due_ms <= ${p(2)} ORDER BY notice_due_ms, id LIMIT 1 ${lock})
          RETURNING ${columns}`,
        values: [request.againAtMs, nowMs],
      };
    case 'settle-notice':
      return {
        text: `UPDATE ${table} SET notice_due_ms = CAST(${p(3)} AS bigint)
          WHERE id = ${p(1)} AND notice_tries = ${p(2)} RETURNING id`,
        values: [request.id, request.tries, request.againAtMs ?? null],
      };
  }
}

export function readJobAnswer({ kind }: JobRequest, rows: readonly Answered[]): JobAnswer {
  const [row] = rows;
  const isJob = row !== undefined && 'request' in row;
  return {
    happened: row !== undefined,
    job: isJob ? readJob(row) : undefined,
    holders: kind === 'held' ? rows.map(({ holder }) => String(holder)) : [],
    counts: kind === 'count' ? { queued: Number(row?.['queued']), running: Number(row?.['running']) } : noCounts,
  };
}

function readJob(row: Answered): Job {
  const number = (name: string): number | null => (row[name] === null ? null : Number(row[name]));
  const text = (name: string): string | null => {
    const value = row[name];
    return typeof value === 'string' ? value : null;
  };
  return {
    id: String(row['id']),
    consumer: text('consumer'),
    // What the column's own check lets in.
    state: String(row['state']) as JobState,
    request: String(row['request']),
    outcome: text('outcome'),
    place: text('place'),
    progress: number('progress'),
    createdAtMs: Number(row['created_at_ms']),
    startedAtMs: number('started_at_ms'),
    finishedAtMs: number('finished_at_ms'),
    keptUntilMs: Number(row['kept_until_ms']),
    noticeTries: Number(row['notice_tries']),
  };
}

/**
 * Deals with the jobs of processes that are gone: what was sent and has no place has failed, and what was taken too often,
 * the others wait again.
 * @param gone says of a row whose process is gone, with no parameters but `owner` or none
 */
export function abandonStatement(
  gone: string,
  { nowMs, values }: { readonly nowMs: number; readonly values: readonly string[] },
  { table, parameter, lock }: Pick<JobDialect, 'table' | 'parameter' | 'lock'>,
  limit: number,
): JobStatement {
  const [now, most] = [parameter(values.length + 1), parameter(values.length + 2)];
  const isLost = `(state = 'sent' AND place IS NULL OR claims >= ${mostClaims})`;
  return {
    text: `UPDATE ${table} SET
        finished_at_ms = CASE WHEN ${isLost} THEN CAST(${now} AS bigint) END,
        notice_due_ms = CASE WHEN ${isLost} AND notify = 1 THEN CAST(${now} AS bigint) END,
        progress = NULL, owner = NULL,
        state = CASE WHEN ${isLost} THEN 'failed' ELSE 'queued' END
      WHERE id IN (SELECT id FROM ${table} WHERE ${isHeld} AND ${gone} LIMIT ${most} ${lock}) RETURNING id`,
    values: [...values, nowMs, limit],
  };
}

/** Forgets jobs that are over and need not be known any more. */
export function pruneStatement(
  nowMs: number,
  { table, parameter, lock }: Pick<JobDialect, 'table' | 'parameter' | 'lock'>,
  limit: number,
): JobStatement {
  return {
    text: `DELETE FROM ${table} WHERE id IN (
      SELECT id FROM ${table} WHERE kept_until_ms <= ${parameter(1)} AND ${isOver} LIMIT ${parameter(2)} ${lock}) RETURNING id`,
    values: [nowMs, limit],
  };
}
