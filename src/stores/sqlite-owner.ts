/**
 * Which processes have a state file open. Each holds a lock on a file of its own beside it, which the kernel drops with
 * the process, however that ends; so whether the owner of a reservation is gone can be told at once and for certain.
 * The locks are SQLite's own, on empty databases.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { isBusy } from './sqlite-file.ts';

/** A process's claim on a state file. */
export interface Ownership {
  /** Unique for ever. */
  readonly owner: string;
  close(): void;
}

/**
 * Claims a file for this process, beside others.
 * @param file its true path
 * @throws Error when a gateway of the first version has it, which shares with nobody
 */
export function claim(file: string): Ownership {
  const guard = new DatabaseSync(`${file}-lock`);
  try {
    try {
      // The lock of a reader, which lasts as long as the transaction. The first version takes that of a writer.
      guard.exec('BEGIN; SELECT count(*) FROM sqlite_schema;');
    } catch (error) {
      if (!isBusy(error)) throw error;
      throw new Error(`The state file ${file} is in use by an older gateway.`, { cause: error });
    }
    const { owner, lock } = lockNewFile(file);
    return {
      owner,
      close() {
        rmSync(ownerFile(file, owner), { force: true });
        lock.close();
        guard.close();
      },
    };
  } catch (error) {
    guard.close();
    throw error;
  }
}

function lockNewFile(file: string): { readonly owner: string; readonly lock: DatabaseSync } {
  for (;;) {
    const owner = randomUUID();
    const lock = tryLock(ownerFile(file, owner));
    // Somebody who looked for files of dead owners may have taken it, before the lock was there, for one of them.
    if (lock !== undefined && existsSync(ownerFile(file, owner))) return { owner, lock };
    lock?.close();
  }
}

/** Owners that left their file behind, other than this one, dead or alive. */
export function ownersBeside(file: string, self: string): readonly string[] {
  const prefix = ownerFile(basename(file), '');
  return readdirSync(dirname(file))
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(prefix.length))
    .filter((owner) => owner !== self);
}

export function isAlive(file: string, owner: string): boolean {
  const path = ownerFile(file, owner);
  if (!existsSync(path)) return false;
  const lock = tryLock(path);
  lock?.close();
  return lock === undefined;
}

/** Removes the file of a dead owner. */
export function forgetOwner(file: string, owner: string): void {
  const path = ownerFile(file, owner);
  const lock = tryLock(path);
  if (lock === undefined) return;
  // Under the lock, so that nobody can take it for a file of their own in between.
  rmSync(path, { force: true });
  lock.close();
}

function ownerFile(file: string, owner: string): string {
  return join(dirname(file), `${basename(file)}-owner-${owner}`);
}

/** Undefined when a process holds it. */
function tryLock(path: string): DatabaseSync | undefined {
  const lock = new DatabaseSync(path);
  try {
    // Without a journal, which would be one more file that a kill leaves behind.
    lock.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE;');
    return lock;
  } catch (error) {
    lock.close();
    if (isBusy(error)) return undefined;
    throw error;
  }
}
