/**
 * The thread that writes the SQLite file. It runs each order in one transaction and answers as soon as the system has it;
 * the disk has it some milliseconds later, with whatever else has come by then. So the process may die at any moment and
 * nothing is lost, while a machine that dies may forget the last moment before. It keeps nothing in memory but the open file.
 */
import { workerData } from 'node:worker_threads';
import type { JobAnswer, JobRequest } from './job-requests.ts';
import { perform, type StoreAnswer, type StoreRequest } from './requests.ts';
import { createSqliteAnswerSweeper } from './sqlite-answers.ts';
import { createSqliteBooks, createSqliteSweeper } from './sqlite-books.ts';
import { inTransaction, openStateFile, setSync, syncLog } from './sqlite-file.ts';
import { createSqliteJobs } from './sqlite-jobs.ts';
import { createSqliteKeySweeper } from './sqlite-keys.ts';
import { migrations } from './sqlite-schema.ts';
import { forgetOwner, isAlive, ownersBeside } from './sqlite-owner.ts';
import { serveOrders, type OrderHandler } from './thread-worker.ts';

export interface WorkerSettings {
  /** The file's true path; its folder is made if need be. */
  readonly file: string;
  /** Who has the file open through this thread. */
  readonly owner: string;
}

export type WorkerOrder =
  | { readonly kind: 'batch'; readonly nowMs: number; readonly requests: readonly StoreRequest[] }
  | { readonly kind: 'job'; readonly nowMs: number; readonly request: JobRequest }
  /** Settle what nobody will settle any more, at most `limit` for each reason. */
  | { readonly kind: 'sweep'; readonly nowMs: number; readonly limit: number }
  /** Forget what is over, at most `limit` of each kind. */
  | {
      readonly kind: 'prune';
      readonly nowMs: number;
      readonly ledgerKeptMs: number | undefined;
      readonly limit: number;
    }
  /** Find out whether the disk takes anything. */
  | { readonly kind: 'probe' };

export type WorkerAnswer =
  | { readonly kind: 'answers'; readonly answers: readonly StoreAnswer[] }
  | { readonly kind: 'job'; readonly answer: JobAnswer }
  /** How many were settled or forgotten; `more`: there may be others. */
  | { readonly kind: 'count'; readonly count: number; readonly more: boolean };

/** Milliseconds after a transaction at which the disk is told to have it. */
const syncAfterMs = 10;

/** What even a machine that dies may not forget: that a call was sent which must not be sent again, and what was promised. */
const unforgettable: ReadonlySet<StoreRequest['kind']> = new Set(['send-key']);
const unforgettableOfJobs: ReadonlySet<JobRequest['kind']> = new Set(['create', 'send']);

serveOrders(() => createHandler(workerData));

function createHandler({ file, owner: self }: WorkerSettings): OrderHandler<WorkerOrder, WorkerAnswer> {
  const database = openStateFile(file);
  const books = createSqliteBooks(database, self);
  const sweeper = createSqliteSweeper(database, books);
  const keys = createSqliteKeySweeper(database);
  const pruneAnswers = createSqliteAnswerSweeper(database);
  const jobs = createSqliteJobs(database, self);

  function sweep(limit: number, nowMs: number): WorkerAnswer {
    const others = new Set([...ownersBeside(file, self), ...sweeper.owners(), ...keys.owners(), ...jobs.owners()]);
    const dead = [...others].filter((owner) => owner !== self && !isAlive(file, owner));
    const expired = inTransaction(database, () => sweeper.estimateExpired(nowMs, limit));
    // Files of the first version name no owner.
    const owned = [null, ...dead].map((owner) => inTransaction(database, () => sweeper.estimateOwned(owner, limit)));
    const keysOwned = dead.map((owner) => inTransaction(database, () => keys.abandon(owner, limit)));
    const jobsOwned = dead.map((owner) => inTransaction(database, () => jobs.abandon(owner, nowMs, limit)));
    const counts = [expired, ...owned];
    const count = counts.reduce((sum, each) => sum + each, 0);
    dead.forEach((owner, index) => {
      const rest = [owned[index + 1], keysOwned[index], jobsOwned[index]];
      if (!rest.includes(limit)) forgetOwner(file, owner);
    });
    return { kind: 'count', count, more: [...counts, ...keysOwned, ...jobsOwned].includes(limit) };
  }

  let syncing: NodeJS.Timeout | undefined;
  /** Whether the disk may lack what was written before. */
  let mustSync = false;

  /** Runs work in a transaction that the disk has a little later, so that nobody waits for it. */
  function inHaste<Value>(work: () => Value): Value {
    const value = inTransaction(database, work);
    syncing ??= setTimeout(() => {
      syncing = undefined;
      // Where that fails, the next transaction goes to the disk by itself, and says what is wrong.
      syncLog(file).catch(() => (mustSync = true));
    }, syncAfterMs);
    return value;
  }

  /** Runs work in a transaction that the disk has at once, and with it all that was written before. */
  function durably<Value>(work: () => Value): Value {
    setSync(database, 'FULL');
    try {
      const value = inTransaction(database, work);
      mustSync = false;
      return value;
    } finally {
      setSync(database, 'NORMAL');
    }
  }

  return {
    handle(order) {
      if (order.kind === 'batch') {
        const run = (): StoreAnswer[] => order.requests.map((request) => perform(books, request));
        books.nowMs = order.nowMs;
        if (order.requests.every(({ kind }) => kind === 'read')) return { kind: 'answers', answers: run() };
        const mayBeForgotten = !order.requests.some(({ kind }) => unforgettable.has(kind));
        return { kind: 'answers', answers: mayBeForgotten && !mustSync ? inHaste(run) : durably(run) };
      }
      if (order.kind === 'job') {
        const { request, nowMs } = order;
        // Every few seconds somebody asks whether there is anything to do; while there is not, the disk is left alone.
        const seen = jobs.look(request, nowMs);
        if (seen !== undefined) return { kind: 'job', answer: seen };
        const run = (): JobAnswer => jobs.perform(request, nowMs);
        return { kind: 'job', answer: unforgettableOfJobs.has(request.kind) ? durably(run) : inHaste(run) };
      }
      if (order.kind === 'sweep') {
        books.nowMs = order.nowMs;
        return sweep(order.limit, order.nowMs);
      }
      if (order.kind === 'prune') {
        const { nowMs, ledgerKeptMs, limit } = order;
        const most = inTransaction(database, () =>
          Math.max(
            sweeper.prune(nowMs, ledgerKeptMs, limit),
            keys.prune(nowMs, limit),
            pruneAnswers(nowMs, limit),
            jobs.prune(nowMs, limit),
          ),
        );
        return { kind: 'count', count: most, more: most >= limit };
      }
      // Something that changes a page, and nothing else.
      inTransaction(database, () => database.exec(`PRAGMA user_version = ${migrations.length}`));
      return { kind: 'count', count: 0, more: false };
    },
    close() {
      clearTimeout(syncing);
      database.close();
    },
  };
}
