import { mkdirSync, realpathSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { migrations } from './sqlite-schema.ts';

/** How long to wait for another process that writes, in milliseconds. */
const patienceMs = 5_000;

/** How long to wait before asking for the file again, in milliseconds: a transaction takes about so long. */
const pauseMs = 0.5;

/**
 * Opens the file for reading and writing, creating or migrating it. Several processes may have it open.
 * @throws Error when a newer gateway wrote it, or it cannot be written to
 */
export function openStateFile(file: string): DatabaseSync {
  mkdirSync(dirname(file), { recursive: true });
  const database = new DatabaseSync(file, { timeout: patienceMs });
  try {
    database.exec('PRAGMA journal_mode = WAL');
    setSync(database, 'NORMAL');
    if (pragma(database, 'journal_mode') !== 'wal') {
      throw new Error('The state file is on a file system that SQLite cannot keep a write-ahead log on.');
    }
    // From here on `beginWriting` does the waiting.
    database.exec('PRAGMA busy_timeout = 0');
    migrate(database);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function migrate(database: DatabaseSync): void {
  inTransaction(database, () => {
    const version = Number(pragma(database, 'user_version'));
    if (version > migrations.length) {
      throw new Error(`The state file has version ${version}, this gateway knows up to ${migrations.length}.`);
    }
    for (const [index, migration] of migrations.entries()) {
      if (index >= version) database.exec(`${migration} PRAGMA user_version = ${index + 1};`);
    }
  });
}

/**
 * Opens the file for reading only, while others may write it.
 * @throws Error when it is not there, or not of a version that can be read
 */
export function openForReading(file: string): DatabaseSync {
  const database = new DatabaseSync(file, { readOnly: true, timeout: patienceMs });
  try {
    const version = Number(pragma(database, 'user_version'));
    if (version !== migrations.length) {
      throw new Error(
        version < migrations.length
          ? `The state file is of an older gateway (version ${version}); starting this one brings it up to date.`
          : `The state file has version ${version}, this gateway knows up to ${migrations.length}.`,
      );
    }
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function pragma(database: DatabaseSync, name: string): unknown {
  return database.prepare(`PRAGMA ${name}`).get()?.[name];
}

/** `errcode` is SQLite's extended result code, with SQLITE_BUSY in its last byte: https://www.sqlite.org/rescode.html#busy */
export function isBusy(error: unknown): boolean {
  return error instanceof Error && 'errcode' in error && (Number(error.errcode) & 0xff) === 5;
}

/** The file's one true path, whatever links lead to it: what is named after it must have one name. */
export function truePath(file: string): string {
  mkdirSync(dirname(file), { recursive: true });
  try {
    return realpathSync(file);
  } catch {
    // Not there yet.
    return file;
  }
}

/**
 * When a transaction is over: `FULL`, when the disk has it; `NORMAL`, when the system has it.
 * https://www.sqlite.org/pragma.html#pragma_synchronous
 */
export function setSync(database: DatabaseSync, synchronous: 'FULL' | 'NORMAL'): void {
  database.exec(`PRAGMA synchronous = ${synchronous}`);
}

/** Resolves when the disk has everything that was written ahead. */
export async function syncLog(file: string): Promise<void> {
  await using log = await open(`${file}-wal`, 'r+');
  await log.datasync();
}

/**
 * Runs work that writes in one transaction: when this returns, the disk has it (see `setSync`); when it throws, nothing has
 * happened.
 */
export function inTransaction<Value>(database: DatabaseSync, work: () => Value): Value {
  beginWriting(database);
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

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/**
 * Waits for other writers itself: SQLite's own waiting sleeps for up to 100 ms at a time, which is many transactions.
 * The lock is taken at the start, since SQLite refuses to let a reader become a writer when another one was faster.
 */
function beginWriting(database: DatabaseSync): void {
  const deadlineMs = performance.now() + patienceMs;
  for (;;) {
    try {
      database.exec('BEGIN IMMEDIATE');
      return;
    } catch (error) {
      if (!isBusy(error) || performance.now() > deadlineMs) throw error;
      Atomics.wait(sleeper, 0, 0, pauseMs);
    }
  }
}
