import { once } from 'node:events';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { OperatorError } from '../errors.ts';
import type { StoreAnswer, StoreRequest, WorkerOrder, WorkerReport, WorkerSettings } from './sqlite-worker.ts';

/** The thread that writes the file, seen from the thread that serves requests. */
export interface SqliteThread {
  /** False once the thread has ended, for whatever reason. */
  readonly alive: boolean;
  /**
   * Runs requests in one transaction. One batch at a time.
   * @throws Error when the file could not be written to and nothing has happened; or, with `alive` false, when the
   *   thread died and what has happened is not known
   */
  run(nowMs: number, requests: readonly StoreRequest[]): Promise<readonly StoreAnswer[]>;
  /** Resolves when the file is closed and the thread has ended. */
  close(): Promise<void>;
}

// The sources run as they are and compiled: the neighbour has the same extension as this file.
const workerUrl = new URL(`./sqlite-worker${extname(new URL(import.meta.url).pathname)}`, import.meta.url);

/** @throws Error when the file cannot be opened */
export async function startWorker(settings: WorkerSettings): Promise<SqliteThread> {
  const worker = new Worker(workerUrl, { name: 'state', workerData: settings });
  let alive = true;
  let failure: unknown;
  let expected: PromiseWithResolvers<WorkerReport> | undefined;

  worker.on('message', (report: WorkerReport) => expected?.resolve(report));
  worker.on('error', (error) => {
    failure = error;
  });
  worker.on('exit', () => {
    alive = false;
    expected?.reject(new Error('The thread that keeps the books has ended.', { cause: failure }));
  });

  /** The thread keeps the process alive for as long as somebody waits for it, and no longer. */
  async function nextReport(): Promise<WorkerReport> {
    expected = Promise.withResolvers();
    worker.ref();
    try {
      return await expected.promise;
    } finally {
      expected = undefined;
      worker.unref();
    }
  }

  const send = (order: WorkerOrder): void => worker.postMessage(order);

  async function ended(): Promise<void> {
    if (!alive) return;
    worker.ref();
    await once(worker, 'exit');
  }

  const opened = await nextReport();
  if (opened.kind === 'failed') {
    await ended();
    throw new OperatorError(opened.message);
  }

  return {
    get alive() {
      return alive;
    },
    async run(nowMs, requests) {
      if (!alive) throw new Error('The thread that keeps the books has ended.', { cause: failure });
      send({ kind: 'batch', nowMs, requests });
      const report = await nextReport();
      if (report.kind === 'answers') return report.answers;
      throw new Error(report.kind === 'failed' ? report.message : 'The thread that keeps the books is out of step.');
    },
    async close() {
      if (!alive) return;
      send({ kind: 'close' });
      await ended();
    },
  };
}
