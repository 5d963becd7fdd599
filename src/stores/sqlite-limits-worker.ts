/** The thread that counts requests against limits in a SQLite file of its own. It answers before the disk has it. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { workerData } from 'node:worker_threads';
import { perform, toleranceUs, type LimitAnswer, type LimitOrder, type LimitTables } from './limit-rules.ts';
import type { HeldPlace } from './shared-limiter.ts';
import { inTransaction } from './sqlite-file.ts';
import { serveOrders, type OrderHandler } from './thread-worker.ts';

export interface LimitsSettings {
  readonly file: string;
  readonly leaseUs: number;
}

/** All times in microseconds since 1970. */
export type LimitsOrder =
  | { readonly kind: 'batch'; readonly nowUs: number; readonly orders: readonly LimitOrder[] }
  | { readonly kind: 'renew'; readonly nowUs: number; readonly places: readonly HeldPlace[] }
  | { readonly kind: 'prune'; readonly nowUs: number }
  /** Find out whether the file takes anything. */
  | { readonly kind: 'probe' };

export interface LimitsAnswer {
  /** One for each order of a batch. */
  readonly answers: readonly LimitAnswer[];
  /** Whether there may be more to forget. */
  readonly more: boolean;
}

/** Rows that are forgotten at once, for which others wait some milliseconds. */
const mostForgotten = 2_000;

/** How long to wait for another process at the start, in milliseconds. */
const patienceMs = 2_000;

serveOrders(() => createHandler(workerData));

function createHandler({ file, leaseUs }: LimitsSettings): OrderHandler<LimitsOrder, LimitsAnswer> {
  const database = open(file);
  const tables = createTables(database, leaseUs);
  const forgetMoments = database.prepare(
    'DELETE FROM moments WHERE name IN (SELECT name FROM moments WHERE us < ? LIMIT ?)',
  );
  const forgetPlaces = database.prepare('DELETE FROM places WHERE expires_at_us < ?');

  const touch = database.prepare(
    `INSERT INTO moments VALUES ('', 0, 0) ON CONFLICT (name) DO UPDATE SET fraction = 1 - fraction`,
  );

  function run(order: LimitsOrder): LimitsAnswer {
    switch (order.kind) {
      case 'batch':
        tables.nowUs = order.nowUs;
        return { answers: order.orders.map((each) => perform(tables, each, order.nowUs)), more: false };
      case 'renew':
        tables.nowUs = order.nowUs;
        for (const { name, holder } of order.places) tables.occupy(name, holder);
        break;
      case 'prune': {
        forgetPlaces.run(order.nowUs - toleranceUs);
        const { changes } = forgetMoments.run(order.nowUs - toleranceUs, mostForgotten);
        return { answers: [], more: Number(changes) === mostForgotten };
      }
      case 'probe':
        touch.run();
    }
    return { answers: [], more: false };
  }

  return {
    handle: (order) => inTransaction(database, () => run(order)),
    close: () => database.close(),
  };
}

function open(file: string): DatabaseSync {
  mkdirSync(dirname(file), { recursive: true });
  const database = new DatabaseSync(file, { timeout: patienceMs });
  try {
    // With a write-ahead log and this, only checkpoints wait for the disk, and a loss of power spoils nothing.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
    // A version that wants other tables gives them other names: what is in here may be forgotten at any time.
    inTransaction(database, () =>
      database.exec(`
        CREATE TABLE IF NOT EXISTS moments (
          name          TEXT PRIMARY KEY,
          us            INTEGER NOT NULL,
          fraction      INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS places (
          name          TEXT NOT NULL,
          holder        TEXT NOT NULL,
          expires_at_us INTEGER NOT NULL,
          PRIMARY KEY (name, holder)
        ) STRICT, WITHOUT ROWID;`),
    );
    database.exec('PRAGMA busy_timeout = 0');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

interface SqliteLimitTables extends LimitTables {
  nowUs: number;
}

function createTables(database: DatabaseSync, leaseUs: number): SqliteLimitTables {
  const readMoment = database.prepare('SELECT us, fraction FROM moments WHERE name = ?');
  const writeMoment = database.prepare(
    `INSERT INTO moments VALUES (?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET us = excluded.us, fraction = excluded.fraction`,
  );
  // A lease that is longer than any can be was given before the clock was set back.
  const shortenLeases = database.prepare(
    'UPDATE places SET expires_at_us = ?2 WHERE name = ?1 AND expires_at_us > ?2 + ?3',
  );
  const countPlaces = database.prepare('SELECT count(*) AS count FROM places WHERE name = ? AND expires_at_us > ?');
  const findPlace = database.prepare('SELECT 1 FROM places WHERE name = ? AND holder = ? AND expires_at_us > ?');
  const addPlace = database.prepare(
    `INSERT INTO places VALUES (?, ?, ?)
       ON CONFLICT (name, holder) DO UPDATE SET expires_at_us = excluded.expires_at_us`,
  );
  const removePlace = database.prepare('DELETE FROM places WHERE name = ? AND holder = ?');

  return {
    nowUs: 0,
    moment(name) {
      const row = readMoment.get(name);
      return row && { us: Number(row['us']), fraction: Number(row['fraction']) };
    },
    setMoment(name, { us, fraction }) {
      writeMoment.run(name, us, fraction);
    },
    occupants(name) {
      shortenLeases.run(name, this.nowUs + leaseUs, toleranceUs);
      return Number(countPlaces.get(name, this.nowUs)?.['count']);
    },
    holds(name, holder) {
      return findPlace.get(name, holder, this.nowUs) !== undefined;
    },
    occupy(name, holder) {
      addPlace.run(name, holder, this.nowUs + leaseUs);
    },
    vacate(name, holder) {
      removePlace.run(name, holder);
    },
  };
}
