import { mkdirSync, realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

export interface StateFile {
  readonly database: DatabaseSync;
  /** Also lets go of the lock. */
  close(): void;
}

/** Each entry takes the file from the version of its index to the next. Never change one that was released. */
const migrations = [
  `CREATE TABLE counters (
     counter       TEXT PRIMARY KEY,
     settled       INTEGER NOT NULL CHECK (settled >= 0),
     held          INTEGER NOT NULL CHECK (held >= 0),
     expires_at_ms INTEGER
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX counters_expiring ON counters (expires_at_ms) WHERE expires_at_ms IS NOT NULL;

   CREATE TABLE reservations (
     number        INTEGER PRIMARY KEY,
     id            TEXT NOT NULL UNIQUE,
     state         TEXT NOT NULL CHECK (state IN ('held', 'settled', 'released', 'estimated')),
     created_at_ms INTEGER NOT NULL
   ) STRICT;
   CREATE INDEX reservations_closed ON reservations (created_at_ms) WHERE state IN ('settled', 'released');

   CREATE TABLE holds (
     reservation   INTEGER NOT NULL REFERENCES reservations (number) ON DELETE CASCADE,
     position      INTEGER NOT NULL,
     counter       TEXT NOT NULL,
     amount        INTEGER NOT NULL,
     PRIMARY KEY (reservation, position)
   ) STRICT, WITHOUT ROWID;`,
];

/** Reservations of a process that was killed: their calls may have been served, so they count as used. */
const recovery = `
  UPDATE counters SET settled = settled + open.amount, held = held - open.amount
    FROM (SELECT counter, sum(amount) AS amount
            FROM holds JOIN reservations ON reservations.number = holds.reservation
           WHERE reservations.state = 'held' GROUP BY counter) AS open
   WHERE counters.counter = open.counter;
  UPDATE reservations SET state = 'estimated' WHERE state = 'held';`;

/**
 * Opens the file for this process alone, creating or migrating it.
 * @param recover whether reservations that are open in the file belong to a process that is gone
 * @throws Error when another gateway has the file, a newer one wrote it, or it cannot be written to
 */
export function openStateFile(file: string, recover: boolean): StateFile {
  mkdirSync(dirname(file), { recursive: true });
  // Milliseconds to wait for a backup or another tool that has the file for a moment.
  const database = new DatabaseSync(file, { timeout: 1000 });
  try {
    const lock = lockFile(realpathSync(file));
    try {
      prepareDatabase(database, recover);
    } catch (error) {
      lock.close();
      throw error;
    }
    return {
      database,
      close() {
        database.close();
        lock.close();
      },
    };
  } catch (error) {
    database.close();
    throw error;
  }
}

/**
 * One process writes, others may read. The lock is one of SQLite's own, on an empty file beside the database: the
 * kernel drops it with the process, however that ends. A lock on the database itself would shut out readers as well.
 */
function lockFile(file: string): DatabaseSync {
  const lock = new DatabaseSync(`${file}-lock`);
  try {
    lock.exec('BEGIN EXCLUSIVE');
    return lock;
  } catch (error) {
    lock.close();
    if (!isBusy(error)) throw error;
    throw new Error(`The state file ${file} is in use by another gateway.`, { cause: error });
  }
}

/** `errcode` is SQLite's result code, 5 is SQLITE_BUSY: https://www.sqlite.org/rescode.html#busy */
function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && error.errcode === 5;
}

function prepareDatabase(database: DatabaseSync, recover: boolean): void {
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
  if (pragma(database, 'journal_mode') !== 'wal') {
    throw new Error('The state file is on a file system that SQLite cannot keep a write-ahead log on.');
  }
  const version = Number(pragma(database, 'user_version'));
  if (version > migrations.length) {
    throw new Error(`The state file has version ${version}, this gateway knows up to ${migrations.length}.`);
  }
  inTransaction(database, () => {
    for (const [index, migration] of migrations.entries()) {
      if (index >= version) database.exec(`${migration} PRAGMA user_version = ${index + 1};`);
    }
    if (recover) database.exec(recovery);
  });
}

function pragma(database: DatabaseSync, name: string): unknown {
  return database.prepare(`PRAGMA ${name}`).get()?.[name];
}

/** Runs work in one transaction: when this returns, the disk has it; when it throws, nothing has happened. */
export function inTransaction<Value>(database: DatabaseSync, work: () => Value): Value {
  database.exec('BEGIN');
  try {
    const value = work();
    database.exec('COMMIT');
    return value;
  } catch (error) {
    // SQLite rolls back by itself after some errors of the disk, and refuses to do it twice.
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
