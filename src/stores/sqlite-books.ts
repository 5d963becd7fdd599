/** The tables of the SQLite file, as the rules see them. All of it runs within a transaction of the caller's. */
import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { endOfPrefix, estimate, type Books, type RowCompletion } from './books.ts';
import { carried } from './job-sql.ts';
import { ledgerColumns, ledgerMembers } from './ledger-columns.ts';
import type { LedgerRow } from './ledger.ts';
import { createSqliteAnswers } from './sqlite-answers.ts';
import { createSqliteKeys } from './sqlite-keys.ts';

export interface SqliteBooks extends Books {
  /** Milliseconds since 1970, for what is written next. */
  nowMs: number;
}

/** @param owner of the reservations that are made */
export function createSqliteBooks(database: DatabaseSync, owner: string): SqliteBooks {
  const readCounter = database.prepare('SELECT settled, held FROM counters WHERE counter = ?');
  // Each counter is bounded, but their sum may be more than a number holds exactly.
  const sumCounters = database.prepare(
    `SELECT min(coalesce(sum(settled), 0), ${Number.MAX_SAFE_INTEGER}) AS settled,
            min(coalesce(sum(held), 0), ${Number.MAX_SAFE_INTEGER}) AS held
       FROM counters WHERE counter >= ? AND counter < ?`,
  );
  const addHold = database.prepare(
    `INSERT INTO counters (counter, settled, held, expires_at_ms) VALUES (?, 0, ?, ?)
       ON CONFLICT (counter) DO UPDATE SET held = held + excluded.held`,
  );
  const settleHold = database.prepare(
    `INSERT INTO counters (counter, settled, held, expires_at_ms) VALUES (?1, ?2, 0, ?4)
       ON CONFLICT (counter) DO UPDATE SET held = held - ?3, settled = settled + ?2`,
  );
  const resetCounter = database.prepare('UPDATE counters SET settled = 0 WHERE counter = ?');
  const addReservation = database.prepare(
    `INSERT INTO reservations (id, state, changed_at_ms, owner, held_until_ms) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT (id) DO NOTHING`,
  );
  const linkRow = database.prepare('UPDATE reservations SET ledger_number = ? WHERE number = ?');
  const addAmount = database.prepare(
    'INSERT INTO holds (reservation, position, counter, amount, expires_at_ms) VALUES (?, ?, ?, ?, ?)',
  );
  const findOpen = database.prepare(`SELECT number FROM reservations WHERE id = ? AND state = 'held'`);
  const readAmounts = database.prepare(
    'SELECT counter, amount, expires_at_ms FROM holds WHERE reservation = ? ORDER BY position',
  );
  const closeReservation = database.prepare(
    'UPDATE reservations SET state = ?, changed_at_ms = ? WHERE id = ? RETURNING ledger_number',
  );
  const addRow = database.prepare(
    `INSERT INTO ledger (${ledgerMembers.map((member) => ledgerColumns[member]).join(', ')})
       VALUES (${ledgerMembers.map(() => '?').join(', ')})`,
  );

  function insertRow(row: LedgerRow): number | bigint {
    return addRow.run(...ledgerMembers.map((member) => row[member])).lastInsertRowid;
  }

  /** By what they set: there are only a few kinds. */
  const completions = new Map<string, StatementSync>();

  function completeRow(number: SQLInputValue, completion: RowCompletion & Pick<LedgerRow, 'state'>): void {
    const values: Partial<LedgerRow> = completion;
    const changed = ledgerMembers.filter((member) => member in values);
    const set = changed.map((member) => `${ledgerColumns[member]} = ?`).join(', ');
    const statement = completions.get(set) ?? database.prepare(`UPDATE ledger SET ${set} WHERE number = ?`);
    completions.set(set, statement);
    statement.run(...changed.map((member) => values[member] ?? null), number);
  }

  const books: SqliteBooks = {
    nowMs: 0,
    read(counter) {
      const row = readCounter.get(counter);
      return { settled: Number(row?.['settled'] ?? 0), held: Number(row?.['held'] ?? 0) };
    },
    sum({ prefix, from }) {
      const row = sumCounters.get(from, endOfPrefix(prefix));
      return { settled: Number(row?.['settled']), held: Number(row?.['held']) };
    },
    hold({ counter, amount, expiresAtMs }) {
      addHold.run(counter, amount, expiresAtMs ?? null);
    },
    settle({ counter, amount, expiresAtMs }, settled) {
      settleHold.run(counter, settled, amount, expiresAtMs ?? null);
    },
    reset(counter) {
      resetCounter.run(counter);
    },
    open(id, holds, { heldUntilMs, row }) {
      const added = addReservation.run(id, 'held', this.nowMs, owner, heldUntilMs);
      if (added.changes === 0) return false;
      const number = added.lastInsertRowid;
      holds.forEach(({ counter, amount, expiresAtMs }, position) =>
        addAmount.run(number, position, counter, amount, expiresAtMs ?? null),
      );
      if (row !== undefined) {
        linkRow.run(
          insertRow({ ...row, savedNanoUsd: null, state: 'reserved', status: null, latencyMs: null }),
          number,
        );
      }
      return true;
    },
    openHolds(id) {
      const number = findOpen.get(id)?.['number'];
      if (number === undefined) return undefined;
      return readAmounts.all(number).map((row) => ({
        counter: String(row['counter']),
        amount: Number(row['amount']),
        expiresAtMs: row['expires_at_ms'] === null ? undefined : Number(row['expires_at_ms']),
      }));
    },
    close(id, end, completion) {
      const number = closeReservation.get(end, this.nowMs, id)?.['ledger_number'] ?? null;
      if (number !== null) completeRow(number, { ...completion, state: end });
    },
    record(id, row) {
      if (addReservation.run(id, 'settled', this.nowMs, owner, 0).changes === 0) return false;
      insertRow(row);
      return true;
    },
    keys: createSqliteKeys(database, owner, () => books.nowMs),
    answers: createSqliteAnswers(database, () => books.nowMs),
  };
  return books;
}

/** How long the id of what is over stays taken, in milliseconds. */
const closedKeptMs = 10 * 60_000;

export interface SqliteSweeper {
  /** Owners of open reservations. */
  owners(): readonly string[];
  /** Settles at the amounts held what is past its time, and gives their number. */
  estimateExpired(nowMs: number, limit: number): number;
  /** The same for what an owner has open; that of files of the first version has none. */
  estimateOwned(owner: string | null, limit: number): number;
  /** Forgets what is over, and gives the most rows that one table had to lose: with `limit` of them there may be more. */
  prune(nowMs: number, ledgerKeptMs: number | undefined, limit: number): number;
}

export function createSqliteSweeper(database: DatabaseSync, books: Books): SqliteSweeper {
  const findOwners = database.prepare(
    `SELECT DISTINCT owner FROM reservations WHERE state = 'held' AND owner NOT NULL AND owner <> '${carried}'`,
  );
  const findExpired = database.prepare(
    `SELECT id FROM reservations WHERE state = 'held' AND held_until_ms <= ? LIMIT ?`,
  );
  const findOwned = database.prepare(`SELECT id FROM reservations WHERE state = 'held' AND owner IS ? LIMIT ?`);
  const forgetReservations = database.prepare(
    `DELETE FROM reservations WHERE number IN (
       SELECT number FROM reservations WHERE state <> 'held' AND changed_at_ms < ? LIMIT ?)`,
  );
  const forgetExpired = database.prepare(
    `DELETE FROM counters WHERE counter IN (
       SELECT counter FROM counters WHERE expires_at_ms <= ? AND held = 0 LIMIT ?)`,
  );
  const forgetAtZero = database.prepare(
    `DELETE FROM counters WHERE counter IN (
       SELECT counter FROM counters WHERE settled = 0 AND held = 0 LIMIT ?)`,
  );
  const forgetRows = database.prepare(
    `DELETE FROM ledger WHERE number IN (
       SELECT number FROM ledger WHERE at_ms < ? AND state <> 'reserved' ORDER BY at_ms LIMIT ?)`,
  );

  const estimateAll = (found: readonly Record<string, unknown>[]): number =>
    found.filter((row) => estimate(books, String(row['id']))).length;

  return {
    owners: () => findOwners.all().map((row) => String(row['owner'])),
    estimateExpired: (nowMs, limit) => estimateAll(findExpired.all(nowMs, limit)),
    estimateOwned: (owner, limit) => estimateAll(findOwned.all(owner, limit)),
    prune(nowMs, ledgerKeptMs, limit) {
      return Math.max(
        Number(forgetReservations.run(nowMs - closedKeptMs, limit).changes),
        Number(forgetExpired.run(nowMs, limit).changes),
        Number(forgetAtZero.run(limit).changes),
        ledgerKeptMs === undefined ? 0 : Number(forgetRows.run(nowMs - ledgerKeptMs, limit).changes),
      );
    },
  };
}
