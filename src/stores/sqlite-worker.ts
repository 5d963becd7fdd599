/**
 * The thread that owns the SQLite file. It takes batches of requests, runs each batch in one transaction and answers
 * when the disk has it. It keeps nothing in memory but the open file, so it can never be ahead of the disk.
 */
import type { DatabaseSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import type { MessagePort } from 'node:worker_threads';
import { release, reserve, settle, StoreMisuse } from './counters.ts';
import type { CounterTable } from './counters.ts';
import { inTransaction, openStateFile } from './sqlite-file.ts';
import type { CounterState, Hold, Reservation } from './store.ts';

export type StoreRequest =
  | { readonly kind: 'reserve'; readonly id: string; readonly holds: readonly Hold[] }
  | { readonly kind: 'settle'; readonly id: string; readonly amounts: readonly number[] }
  | { readonly kind: 'release'; readonly id: string }
  | { readonly kind: 'read'; readonly counter: string };

export type StoreAnswer =
  | Reservation
  | { readonly kind: 'state'; readonly state: CounterState }
  | { readonly kind: 'done' }
  | { readonly kind: 'misuse'; readonly message: string };

export interface WorkerSettings {
  /** Absolute path; its folder is made if need be. */
  readonly file: string;
  /** Whether reservations that are open in the file belong to a process that is gone. */
  readonly recover: boolean;
}

export type WorkerOrder =
  | { readonly kind: 'batch'; readonly nowMs: number; readonly requests: readonly StoreRequest[] }
  | { readonly kind: 'close' };

/** To each worker's start and to each batch, exactly one report; to `close`, the end of the thread. */
export type WorkerReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'answers'; readonly answers: readonly StoreAnswer[] }
  /** Nothing of what was asked has happened. */
  | { readonly kind: 'failed'; readonly message: string };

/** How long a closed reservation stays in the file: within it, the same id is refused. */
const closedKeptMs = 10 * 60_000;

/** The tables as the rules see them. `nowMs` is set for each batch. */
function createTable(database: DatabaseSync): CounterTable & { nowMs: number } {
  const readCounter = database.prepare('SELECT settled, held FROM counters WHERE counter = ?');
  const addHold = database.prepare(
    `INSERT INTO counters (counter, settled, held, expires_at_ms) VALUES (?, 0, ?, ?)
       ON CONFLICT (counter) DO UPDATE SET held = held + excluded.held`,
  );
  // No row only if the counter had expired and held nothing.
  const settleHold = database.prepare('UPDATE counters SET held = held - ?, settled = settled + ? WHERE counter = ?');
  const addReservation = database.prepare(
    `INSERT INTO reservations (id, state, created_at_ms) VALUES (?, 'held', ?) ON CONFLICT (id) DO NOTHING`,
  );
  const addAmount = database.prepare('INSERT INTO holds (reservation, position, counter, amount) VALUES (?, ?, ?, ?)');
  const findOpen = database.prepare(`SELECT number FROM reservations WHERE id = ? AND state = 'held'`);
  const readAmounts = database.prepare('SELECT counter, amount FROM holds WHERE reservation = ? ORDER BY position');
  const closeReservation = database.prepare('UPDATE reservations SET state = ? WHERE id = ?');

  return {
    nowMs: 0,
    read(counter) {
      const row = readCounter.get(counter);
      return { settled: Number(row?.['settled'] ?? 0), held: Number(row?.['held'] ?? 0) };
    },
    hold({ counter, amount, expiresAtMs }) {
      addHold.run(counter, amount, expiresAtMs ?? null);
    },
    settle(counter, held, settled) {
      settleHold.run(held, settled, counter);
    },
    open(id, holds) {
      const { changes, lastInsertRowid } = addReservation.run(id, this.nowMs);
      if (changes === 0) return false;
      holds.forEach(({ counter, amount }, position) => addAmount.run(lastInsertRowid, position, counter, amount));
      return true;
    },
    openHolds(id) {
      const number = findOpen.get(id)?.['number'];
      if (number === undefined) return undefined;
      return readAmounts.all(number).map((row) => ({ counter: String(row['counter']), amount: Number(row['amount']) }));
    },
    close(id, end) {
      closeReservation.run(end, id);
    },
  };
}

/** Forgets closed reservations and expired counters, at most `limit` of each. */
function createPruning(database: DatabaseSync): (nowMs: number, limit: number) => void {
  const forgetReservations = database.prepare(
    `DELETE FROM reservations WHERE number IN (
       SELECT number FROM reservations WHERE state IN ('settled', 'released') AND created_at_ms < ? LIMIT ?)`,
  );
  const forgetCounters = database.prepare(
    `DELETE FROM counters WHERE counter IN (
       SELECT counter FROM counters WHERE expires_at_ms <= ? AND held = 0 LIMIT ?)`,
  );
  return function prune(nowMs, limit) {
    forgetReservations.run(nowMs - closedKeptMs, limit);
    forgetCounters.run(nowMs, limit);
  };
}

function perform(table: CounterTable, request: StoreRequest): StoreAnswer {
  if (request.kind === 'reserve') return reserve(table, request.id, request.holds);
  if (request.kind === 'read') return { kind: 'state', state: table.read(request.counter) };
  if (request.kind === 'settle') settle(table, request.id, request.amounts);
  else release(table, request.id);
  return { kind: 'done' };
}

/** What the thread does with each batch. */
function createBatchRunner(
  database: DatabaseSync,
): (nowMs: number, requests: readonly StoreRequest[]) => StoreAnswer[] {
  const table = createTable(database);
  const prune = createPruning(database);

  function answer(request: StoreRequest): StoreAnswer {
    try {
      return perform(table, request);
    } catch (error) {
      // A misuse has changed nothing, so the rest of the batch stands. Anything else fails the whole transaction.
      if (error instanceof StoreMisuse) return { kind: 'misuse', message: error.message };
      throw error;
    }
  }

  return function runBatch(nowMs, requests) {
    table.nowMs = nowMs;
    return inTransaction(database, () => {
      const answers = requests.map(answer);
      // Twice what may be added, so that what lies there shrinks. A batch that only reads must not write.
      const writes = requests.filter(({ kind }) => kind !== 'read').length;
      if (writes > 0) prune(nowMs, 2 * writes);
      return answers;
    });
  };
}

function serve(port: MessagePort, settings: WorkerSettings): void {
  const report = (message: WorkerReport): void => port.postMessage(message);

  /** The value of some work on the file; undefined when it failed, and has been reported. */
  function attempt<Value>(work: () => Value): Value | undefined {
    try {
      return work();
    } catch (error) {
      report({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
      return undefined;
    }
  }

  const file = attempt(() => openStateFile(settings.file, settings.recover));
  if (file === undefined) {
    port.close();
    return;
  }
  const runBatch = createBatchRunner(file.database);

  port.on('message', (order: WorkerOrder) => {
    if (order.kind === 'close') {
      file.close();
      port.close();
      return;
    }
    const answers = attempt(() => runBatch(order.nowMs, order.requests));
    if (answers !== undefined) report({ kind: 'answers', answers });
  });
  report({ kind: 'ready' });
}

if (parentPort !== null) serve(parentPort, workerData);
