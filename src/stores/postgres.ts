import { randomUUID } from 'node:crypto';
import { OperatorError } from '../errors.ts';
import type { AnswerIndex } from './answer-index.ts';
import { askingMethods } from './ask.ts';
import { jobMethods, type JobAnswer, type JobRequest } from './job-requests.ts';
import { abandonStatement, carried, jobStatement, pruneStatement, readJobAnswer, type JobDialect } from './job-sql.ts';
import { endOfPrefix } from './books.ts';
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
import type { BooksReader } from './ledger.ts';
import { answerConnections, createPostgresAnswers } from './postgres-answers.ts';
import { runBatch } from './postgres-batch.ts';
import { abandonKeys } from './postgres-keys.ts';
import { createLink, reasonOf, sqlState, type Session } from './postgres-link.ts';
import { checkReadable, migrate } from './postgres-schema.ts';
import { cannotRead, cannotWrite, createQueue, storeClosed, type Health } from './queue.ts';
import type { StoreAnswer, StoreRequest } from './requests.ts';
import type { Store, StoreDefinition, StoreSettings, Upkeep, UpkeepOptions } from './store.ts';

/** Requests in one transaction. */
const maxBatch = 500;

/** Milliseconds for a statement that requests wait for, and for one of a report. */
const statementMs = 5_000;
const reportMs = 60_000;

/** Reservations or rows that one step of the upkeep deals with, and the most steps of one upkeep. */
const upkeepStep = 500;
const mostSteps = 100;

/** How long a process may be silent before its reservations are taken to be abandoned, in milliseconds. */
const usualLeaseMs = 30_000;

/** How long the id of what is over stays taken, in milliseconds. */
const closedKeptMs = 10 * 60_000;

/** Counters at zero are looked for by reading all of them, so only once in so many milliseconds. */
const zerosEveryMs = 10 * 60_000;

/** A transaction that lost a race is run again so many times in all. */
const mostTries = 3;

/** Errors that say that another transaction was in the way: serialisation, deadlock, and an id that has just been taken. */
const races: ReadonlySet<string | undefined> = new Set(['40001', '40P01', '23505']);

/**
 * Books in PostgreSQL, which several gateways may share. Each of them writes one transaction after the other, with all
 * that was asked of it in the meantime.
 */
export const postgresStore: StoreDefinition = {
  scheme: 'postgres',
  open: openPostgresStore,
  async read(location) {
    const link = createLink({ address: `postgres:${location}`, connections: 1, statementMs: reportMs });
    try {
      await checkReadable(link);
    } catch (error) {
      await link.close();
      throw cannotOpen(error);
    }
    return { ...createReader(link), close: link.close };
  },
};

/** The other spelling of the scheme. */
export const postgresqlStore: StoreDefinition = { ...postgresStore, scheme: 'postgresql' };

async function openPostgresStore(location: string, settings: StoreSettings): Promise<Store> {
  const { now, leaseMs = usualLeaseMs, patient = false } = settings;
  const address = `postgres:${location}`;
  // One connection for requests, one for the upkeep; reports have their own, so that they hold up neither.
  const link = createLink({ address, connections: 2, statementMs });
  const reports = createLink({ address, connections: 2, statementMs: reportMs });
  const answersLink = createLink({ address, connections: answerConnections, statementMs });
  const owner = randomUUID();
  const health: Health = { healthy: true };
  let preparing: Promise<void> | undefined;
  let closing: Promise<void> | undefined;
  /** Since when every upkeep has worked, and when the lease was last renewed, on the monotonic clock. */
  let inContactSinceMs: number | undefined;
  let renewedAtMs = Number.NEGATIVE_INFINITY;
  let zerosAtMs = Number.NEGATIVE_INFINITY;

  /** Makes the tables, once; tried again as long as it fails. */
  function prepare(): Promise<void> {
    preparing ??= migrate(link).catch((error: unknown) => {
      preparing = undefined;
      throw error;
    });
    return preparing;
  }

  async function renewLease(session: Session): Promise<void> {
    const startedAtMs = performance.now();
    await session.query({
      name: 'pinhole-lease',
      text: `INSERT INTO pinhole_owners VALUES ($1, now() + $2 * interval '1 millisecond')
                 ON CONFLICT (owner) DO UPDATE SET expires_at = excluded.expires_at`,
      values: [owner, leaseMs],
    });
    renewedAtMs = startedAtMs;
  }

  async function run(requests: readonly StoreRequest[]): Promise<readonly StoreAnswer[]> {
    await prepare();
    for (let tries = 1; ; tries += 1) {
      try {
        return await link.transaction(async (session) => {
          // What is reserved without a lease would be taken for abandoned.
          if (performance.now() - renewedAtMs > leaseMs / 3) await renewLease(session);
          return runBatch(session, requests, { owner, nowMs: now() });
        });
      } catch (error) {
        renewedAtMs = Number.NEGATIVE_INFINITY;
        if (tries === mostTries || !races.has(sqlState(error))) throw error;
      }
    }
  }

  const queue = createQueue(
    {
      run,
      async forget(ids) {
        await prepare();
        // The server may still be at work on the transaction that takes these reservations. Taking their ids waits for it,
        // or makes it fail.
        await link.query({
          text: `INSERT INTO pinhole_reservations
                 SELECT id, 'released', $2::text, $3::bigint, 0, '{}'::text[], '{}'::bigint[], '{}'::bigint[]
                   FROM unnest($1::text[]) AS id ORDER BY id
                     ON CONFLICT DO NOTHING`,
          values: [ids, owner, now()],
        });
        await run(ids.map((id) => ({ kind: 'release', id, outcome: undefined })));
      },
    },
    health,
    maxBatch,
  );

  async function maintain(options: UpkeepOptions): Promise<Upkeep> {
    if (closing !== undefined) throw storeClosed();
    try {
      await prepare();
      await renewLease(link);
      inContactSinceMs ??= performance.now();
      const estimated = await sweep();
      await prune(options);
      health.healthy = true;
      return { estimated };
    } catch (error) {
      health.healthy = false;
      inContactSinceMs = undefined;
      throw cannotWrite(error);
    }
  }

  /** Settles what nobody will settle any more, and gives its number. */
  async function sweep(): Promise<number> {
    // After an outage all leases have run out; the others are given the time to renew theirs.
    const mayTell = inContactSinceMs !== undefined && performance.now() - inContactSinceMs > leaseMs;
    if (mayTell) {
      await abandonKeys(link, upkeepStep);
      await link.query(abandonStatement(leaseHasRunOut, { nowMs: now(), values: [] }, jobDialect, upkeepStep));
    }
    let total = 0;
    for (let step = 0; step < mostSteps; step += 1) {
      const found = await link.query({
        text: `SELECT id FROM pinhole_reservations AS held
                WHERE state = 'held' AND (held_until_ms <= $1 OR $2 AND owner IS DISTINCT FROM '${carried}' AND NOT EXISTS (
                        SELECT FROM pinhole_owners WHERE owner = held.owner AND expires_at > now()))
                LIMIT $3`,
        values: [now(), mayTell, upkeepStep],
      });
      const requests = found.map((row) => ({ kind: 'estimate', id: String(row['id']) }) as const);
      const answers = await Promise.all(requests.map(queue.ask));
      total += answers.reduce((sum, answer) => sum + (answer.kind === 'done' ? (answer.count ?? 0) : 0), 0);
      if (found.length < upkeepStep) break;
    }
    return total;
  }

  /** Forgets what is over. Several processes may do it at once; each takes what the others have not locked. */
  async function prune({ ledgerKeptMs }: UpkeepOptions): Promise<void> {
    const nowMs = now();
    await forget('reservations', 'id', `state <> 'held' AND changed_at_ms < $2`, [nowMs - closedKeptMs]);
    await forget('counters', 'counter', 'held = 0 AND expires_at_ms <= $2', [nowMs]);
    if (performance.now() - zerosAtMs > zerosEveryMs) {
      await forget('counters', 'counter', 'settled = 0 AND held = 0', []);
      zerosAtMs = performance.now();
    }
    await forget(
      'idempotency_keys',
      'key',
      `kept_until_ms <= $2 AND (state IN ('done', 'lost') OR held_until_ms <= $2)`,
      [nowMs],
    );
    await forget('kept_answers', 'key', 'expires_at_ms <= $2', [nowMs]);
    await link.query(pruneStatement(nowMs, jobDialect, upkeepStep));
    if (ledgerKeptMs !== undefined) {
      await forget('ledger', 'number', `at_ms < $2 AND state <> 'reserved'`, [nowMs - ledgerKeptMs]);
    }
    await link.query({ text: `DELETE FROM pinhole_owners WHERE expires_at < now() - interval '1 day'` });
  }

  async function forget(table: string, key: string, condition: string, values: readonly number[]): Promise<void> {
    const text = `WITH gone AS (
        DELETE FROM pinhole_${table} WHERE ${key} = ANY (ARRAY (
          SELECT ${key} FROM pinhole_${table} WHERE ${condition} LIMIT $1 FOR UPDATE SKIP LOCKED)) RETURNING 1)
      SELECT count(*) AS count FROM gone`;
    for (let step = 0; step < mostSteps; step += 1) {
      const [answer] = await link.query({ text, values: [upkeepStep, ...values] });
      if (Number(answer?.['count']) < upkeepStep) return;
    }
  }

  const answers: AnswerIndex = createPostgresAnswers(answersLink, now);

  /** Work that is no part of a batch. @throws GatewayError overloaded */
  async function outsideQueue<Value>(work: () => Promise<Value>): Promise<Value> {
    if (closing !== undefined) throw storeClosed();
    try {
      await prepare();
      return await work();
    } catch (error) {
      health.healthy = false;
      throw cannotWrite(error);
    }
  }

  function askOfJobs(request: JobRequest): Promise<JobAnswer> {
    return outsideQueue(async () => {
      // What is taken without a lease would be taken for abandoned.
      if (request.kind === 'claim' && performance.now() - renewedAtMs > leaseMs / 3) await renewLease(link);
      const statement = jobStatement(request, { owner, nowMs: now() }, jobDialect);
      return readJobAnswer(request, await link.query(statement));
    });
  }

  async function shut(): Promise<void> {
    await queue.close();
    // What is still reserved may be recovered at once.
    await link.query({ text: 'DELETE FROM pinhole_owners WHERE owner = $1', values: [owner] }).catch(() => undefined);
    await Promise.all([link.close(), reports.close(), answersLink.close()]);
  }

  try {
    await maintain({ ledgerKeptMs: undefined });
  } catch (error) {
    const { cause } = error as { readonly cause?: unknown };
    if (!patient || cause instanceof OperatorError) {
      await Promise.all([link.close(), reports.close(), answersLink.close()]);
      throw cannotOpen(cause);
    }
  }

  return {
    ...askingMethods(queue),
    ...jobMethods(askOfJobs),
    ...createReader(reports),
    read: (counter, range) =>
      outsideQueue(async () => {
        const [found] = await link.query(
          range === undefined
            ? {
                name: 'pinhole-read',
                text: 'SELECT settled, held FROM pinhole_counters WHERE counter = $1',
                values: [counter],
              }
            : {
                name: 'pinhole-sum',
                text: `SELECT sum(settled) AS settled, sum(held) AS held
                         FROM pinhole_counters WHERE counter >= $1 AND counter < $2`,
                values: [range.from, endOfPrefix(range.prefix)],
              },
        );
        return { settled: Number(found?.['settled'] ?? 0), held: Number(found?.['held'] ?? 0) };
      }),
    findAnswer: (key) => outsideQueue(() => answers.findAnswer(key)),
    indexAnswer: (key, answer) => outsideQueue(() => answers.indexAnswer(key, answer)),
    forgetAnswer: (key, blob) => outsideQueue(() => answers.forgetAnswer(key, blob)),
    healthy: () => health.healthy,
    maintain,
    close() {
      closing ??= shut();
      return closing;
    },
  };
}

const dialect: Dialect = {
  ledger: 'pinhole_ledger',
  counters: 'pinhole_counters',
  parameter: (number) => `$${number}`,
  day: `to_char(to_timestamp(at_ms / 1000) AT TIME ZONE 'UTC', 'YYYY-MM-DD')`,
  month: `to_char(to_timestamp(at_ms / 1000) AT TIME ZONE 'UTC', 'YYYY-MM')`,
};

const jobDialect: JobDialect = {
  table: 'pinhole_jobs',
  reservations: 'pinhole_reservations',
  parameter: (number) => `$${number}`,
  lock: 'FOR UPDATE SKIP LOCKED',
  among: (column, parameter) => `${column} = ANY (${parameter}::text[])`,
  list: (texts) => texts,
};

const leaseHasRunOut =
  'NOT EXISTS (SELECT FROM pinhole_owners WHERE owner = pinhole_jobs.owner AND expires_at > now())';

function createReader(session: Session): Omit<BooksReader, 'close'> {
  async function query(statement: Statement): Promise<readonly Answered[]> {
    try {
      return await session.query(statement);
    } catch (error) {
      throw cannotRead(error);
    }
  }

  return {
    usage: async (asked) => usageGroups(await query(usageStatement(asked, dialect)), asked),
    rows: async (asked) => rowsPage(await query(rowsStatement(asked, dialect)), asked),
    counters: async (asked) => (await query(countersStatement(asked, dialect))).map(readCounter),
  };
}

/** The address is not shown, since it holds the password. */
function cannotOpen(error: unknown): OperatorError {
  return new OperatorError(`The state in PostgreSQL cannot be opened: ${reasonOf(error)}.`, { cause: error });
}
