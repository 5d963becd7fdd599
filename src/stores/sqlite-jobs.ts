/** The table of jobs in the SQLite file. What writes runs within a transaction of the caller's. */
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import type { JobAnswer, JobRequest } from './job-requests.ts';
import {
  abandonStatement,
  jobStatement,
  pruneStatement,
  readJobAnswer,
  type JobDialect,
  type JobStatement,
} from './job-sql.ts';
import type { Answered } from './ledger-sql.ts';

export interface SqliteJobs {
  perform(request: JobRequest, nowMs: number): JobAnswer;
  /** The answer to a request that changes nothing; undefined when it may change something. */
  look(request: JobRequest, nowMs: number): JobAnswer | undefined;
  /** Processes that hold jobs. */
  owners(): readonly string[];
  /** Deals with what an owner that is gone has held, and gives its number. */
  abandon(owner: string, nowMs: number, limit: number): number;
  /** Forgets what nobody needs any more, and gives its number. */
  prune(nowMs: number, limit: number): number;
}

const dialect: JobDialect = {
  table: 'jobs',
  reservations: 'reservations',
  parameter: (number) => `?${number}`,
  lock: '',
  among: (column, parameter) => `${column} IN (SELECT value FROM json_each(${parameter}))`,
  list: (texts) => JSON.stringify(texts),
};

/** @param owner of the jobs that are taken */
export function createSqliteJobs(database: DatabaseSync, owner: string): SqliteJobs {
  /** By their text: there are only a few. */
  const prepared = new Map<string, StatementSync>();
  const findOwners = database.prepare(`SELECT DISTINCT owner FROM jobs WHERE state IN ('running', 'sent')`);

  const findQueued = database.prepare(`SELECT 1 FROM jobs WHERE state = 'queued' LIMIT 1`);
  const findDue = database.prepare('SELECT 1 FROM jobs WHERE notice_due_ms <= ? LIMIT 1');

  function run({ text, values }: JobStatement): readonly Answered[] {
    const statement = prepared.get(text) ?? database.prepare(text);
    prepared.set(text, statement);
    // A list is a text here.
    return statement.all(...(values as readonly (string | number | null)[]));
  }

  function perform(request: JobRequest, nowMs: number): JobAnswer {
    return readJobAnswer(request, run(jobStatement(request, { owner, nowMs }, dialect)));
  }

  return {
    perform,
    look(request, nowMs) {
      const finds = {
        claim: () => findQueued.get(),
        'claim-notice': () => findDue.get(nowMs),
      };
      const { kind } = request;
      if (kind === 'read' || kind === 'count' || kind === 'held') return perform(request, nowMs);
      const isIdle = (kind === 'claim' || kind === 'claim-notice') && finds[kind]() === undefined;
      return isIdle ? readJobAnswer(request, []) : undefined;
    },
    owners: () => findOwners.all().map((row) => String(row['owner'])),
    abandon: (gone, nowMs, limit) =>
      run(abandonStatement('owner = ?1', { nowMs, values: [gone] }, dialect, limit)).length,
    prune: (nowMs, limit) => run(pruneStatement(nowMs, dialect, limit)).length,
  };
}
