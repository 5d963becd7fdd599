import { OperatorError } from '../errors.ts';
import { sqlState, type Link, type Session } from './postgres-link.ts';

/** Each entry takes the tables from the version of its index to the next. Never change one that was released. */
const migrations: readonly string[] = [
  // Amounts on one counter change with every request, so pages keep room for new versions of their rows, and no index
  // is on a column that changes. Names are compared byte by byte: locks are taken in their order, whatever the locale.
  `CREATE TABLE pinhole_counters (
     counter       text COLLATE "C" PRIMARY KEY,
     settled       bigint NOT NULL CHECK (settled >= 0),
     held          bigint NOT NULL CHECK (held >= 0),
     expires_at_ms bigint
   ) WITH (fillfactor = 50);
   CREATE INDEX pinhole_counters_expiring ON pinhole_counters (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

   CREATE TABLE pinhole_owners (
     owner         text PRIMARY KEY,
     expires_at    timestamptz NOT NULL
   );

   CREATE TABLE pinhole_reservations (
     id            text COLLATE "C" PRIMARY KEY,
     state         text NOT NULL CHECK (state IN ('held', 'settled', 'released', 'estimated')),
     owner         text,
     changed_at_ms bigint NOT NULL,
     held_until_ms bigint NOT NULL,
     counters      text[] NOT NULL,
     amounts       bigint[] NOT NULL,
     expiries_ms   bigint[] NOT NULL,
     ledger_number bigint
   );
   CREATE INDEX pinhole_reservations_open ON pinhole_reservations (held_until_ms) WHERE state = 'held';
   CREATE INDEX pinhole_reservations_closed ON pinhole_reservations (changed_at_ms) WHERE state <> 'held';

   CREATE SEQUENCE pinhole_ledger_number;
   CREATE TABLE pinhole_ledger (
     number        bigint PRIMARY KEY,
     request_id    text NOT NULL,
     at_ms         bigint NOT NULL,
     consumer      text,
     user_id       text,
     team          text,
     session       text,
     end_user      text,
     route         text,
     alias         text,
     entity        text,
     provider      text,
     model         text,
     operation     text,
     images        bigint NOT NULL,
     size          text,
     quality       text,
     input_tokens  bigint,
     output_tokens bigint,
     cost_nano_usd bigint,
     state         text NOT NULL CHECK (state IN ('reserved', 'settled', 'estimated', 'released', 'recorded')),
     status        bigint,
     latency_ms    bigint,
     attempts      bigint NOT NULL
   ) WITH (fillfactor = 85);
   CREATE INDEX pinhole_ledger_by_time ON pinhole_ledger (at_ms, number);`,

  // What rate limits have counted. It may be lost when the server crashes, so no commit waits for the disk. A row of the
  // first table is also the lock of the places of its name.
  `CREATE UNLOGGED TABLE pinhole_limits (
     name          text COLLATE "C" PRIMARY KEY,
     us            bigint NOT NULL,
     fraction      bigint NOT NULL
   ) WITH (fillfactor = 50);
   CREATE UNLOGGED TABLE pinhole_places (
     name          text COLLATE "C" NOT NULL,
     holder        text COLLATE "C" NOT NULL,
     expires_at_us bigint NOT NULL,
     PRIMARY KEY (name, holder)
   );`,

  // A key is `free` within the transaction that first locks it, and never after.
  `CREATE TABLE pinhole_idempotency_keys (
     key           text COLLATE "C" PRIMARY KEY,
     holder        text NOT NULL,
     owner         text,
     fingerprint   text NOT NULL,
     state         text NOT NULL CHECK (state IN ('free', 'claimed', 'sent', 'lost', 'done')),
     held_until_ms bigint NOT NULL,
     kept_until_ms bigint NOT NULL,
     answer        text
   ) WITH (fillfactor = 70);
   CREATE INDEX pinhole_idempotency_keys_held ON pinhole_idempotency_keys (owner) WHERE state IN ('claimed', 'sent');
   CREATE INDEX pinhole_idempotency_keys_kept ON pinhole_idempotency_keys (kept_until_ms);`,

  `ALTER TABLE pinhole_ledger ADD COLUMN saved_nano_usd bigint;

   CREATE TABLE pinhole_kept_answers (
     key           text COLLATE "C" PRIMARY KEY,
     space         text COLLATE "C" NOT NULL,
     blob          text NOT NULL,
     bytes         bigint NOT NULL,
     about         text NOT NULL,
     made_at_ms    bigint NOT NULL,
     used_at_ms    bigint NOT NULL,
     expires_at_ms bigint NOT NULL
   ) WITH (fillfactor = 70);
   CREATE INDEX pinhole_kept_answers_used ON pinhole_kept_answers (space, used_at_ms) INCLUDE (bytes);
   CREATE INDEX pinhole_kept_answers_expiring ON pinhole_kept_answers (expires_at_ms);`,
  `CREATE TABLE pinhole_jobs (
     id             text COLLATE "C" PRIMARY KEY,
     consumer       text,
     state          text NOT NULL CHECK (state IN ('queued', 'running', 'sent', 'succeeded', 'failed', 'cancelled')),
     holder         text,
     owner          text,
     claims         integer NOT NULL,
     request        text NOT NULL,
     outcome        text,
     place          text,
     progress       double precision,
     created_at_ms  bigint NOT NULL,
     started_at_ms  bigint,
     finished_at_ms bigint,
     kept_until_ms  bigint NOT NULL,
     notify         integer NOT NULL,
     notice_due_ms  bigint,
     notice_tries   integer NOT NULL
   ) WITH (fillfactor = 70);
   CREATE INDEX pinhole_jobs_waiting ON pinhole_jobs (created_at_ms, id) WHERE state = 'queued';
   CREATE INDEX pinhole_jobs_held ON pinhole_jobs (owner) WHERE state IN ('running', 'sent');
   CREATE INDEX pinhole_jobs_kept ON pinhole_jobs (kept_until_ms) WHERE state IN ('succeeded', 'failed', 'cancelled');
   CREATE INDEX pinhole_jobs_noticed ON pinhole_jobs (notice_due_ms) WHERE notice_due_ms IS NOT NULL;`,
];

/** Any number that nobody else on the database is likely to lock. */
const migrationLock = 7_310_579_123;

/**
 * Brings the tables up to date, one process at a time.
 * @throws OperatorError when a newer gateway made them
 */
export async function migrate(link: Link): Promise<void> {
  if ((await versionOf(link)) === migrations.length) return;
  await link.transaction(async (session) => {
    await session.query({ text: 'SET LOCAL statement_timeout = 0' });
    await session.query({ text: 'SELECT pg_advisory_xact_lock($1)', values: [migrationLock] });
    await session.query({ text: 'CREATE TABLE IF NOT EXISTS pinhole_schema (version integer NOT NULL)' });
    // Somebody may have been faster.
    const [found] = await session.query({ text: 'SELECT version FROM pinhole_schema' });
    const version = checked(Number(found?.['version'] ?? 0));
    for (const migration of migrations.slice(version)) await session.query({ text: migration });
    await session.query({ text: 'DELETE FROM pinhole_schema' });
    await session.query({ text: 'INSERT INTO pinhole_schema VALUES ($1)', values: [migrations.length] });
  });
}

/** @throws OperatorError when there are no tables, or not those that this gateway knows */
export async function checkReadable(session: Session): Promise<void> {
  const version = await versionOf(session);
  if (version === 0) throw new OperatorError('No gateway has kept its state in this database yet.');
  if (version < migrations.length) {
    throw new OperatorError(
      `The state is of an older gateway (version ${version}); starting this one brings it up to date.`,
    );
  }
}

/** 0: there are no tables. @throws OperatorError when a newer gateway made them */
async function versionOf(session: Session): Promise<number> {
  try {
    const [found] = await session.query({ text: 'SELECT version FROM pinhole_schema' });
    return checked(Number(found?.['version'] ?? 0));
  } catch (error) {
    const undefinedTable = '42P01';
    if (sqlState(error) === undefinedTable) return 0;
    throw error;
  }
}

function checked(version: number): number {
  if (version <= migrations.length) return version;
  throw new OperatorError(`The state has version ${version}, this gateway knows up to ${migrations.length}.`);
}
