import { once } from 'node:events';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { OperatorError } from '../errors.ts';
import { OutcomeUnknown } from './queue.ts';

/** What a thread says: `ready` or `failed` at its start, then one answer to each order, in their order. */
export type ThreadReport<Answer> =
  | { readonly kind: 'ready' }
  | { readonly kind: 'answer'; readonly answer: Answer }
  /** Nothing of what was asked has happened. */
  | { readonly kind: 'failed'; readonly message: string };

/** A thread that works off orders, seen from the thread that serves requests. */
export interface OrderThread<Order, Answer> {
  /** False once the thread has ended, for whatever reason. */
  readonly alive: boolean;
  /** @throws OutcomeUnknown when the thread died over it, Error when it said that it failed and nothing has happened */
  call(order: Order): Promise<Answer>;
  /** Resolves when the thread has done what it was asked and has ended. */
  close(): Promise<void>;
}

/** What `close` sends. */
export const endOfOrders = null;

/**
 * Starts the worker in a neighbouring file.
 * @param name of the file, without extension
 * @throws OperatorError when the worker says that it cannot start
 */
export async function startThread<Order, Answer>(
  name: string,
  workerData: unknown,
): Promise<OrderThread<Order, Answer>> {
  // The sources run as they are and compiled: the neighbour has the same extension as this file.
  const url = new URL(`./${name}${extname(new URL(import.meta.url).pathname)}`, import.meta.url);
  const worker = new Worker(url, { name, workerData });
  const expected: PromiseWithResolvers<ThreadReport<Answer>>[] = [];
  let alive = true;
  /** Whether somebody waits for its end. */
  let closing = false;
  let failure: unknown;

  worker.on('message', (report: ThreadReport<Answer>) => expected.shift()?.resolve(report));
  worker.on('error', (error) => {
    failure = error;
  });
  worker.on('exit', () => {
    alive = false;
    for (const { reject } of expected.splice(0)) reject(gone());
  });

  const gone = (): Error => new OutcomeUnknown(`The thread ${name} has ended.`, { cause: failure });

  /** The thread keeps the process alive for as long as somebody waits for it, and no longer. */
  async function nextReport(): Promise<ThreadReport<Answer>> {
    const waiting = Promise.withResolvers<ThreadReport<Answer>>();
    expected.push(waiting);
    worker.ref();
    try {
      return await waiting.promise;
    } finally {
      if (expected.length === 0 && !closing) worker.unref();
    }
  }

  async function ended(): Promise<void> {
    if (!alive) return;
    closing = true;
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
    async call(order) {
      if (!alive) throw gone();
      worker.postMessage(order);
      const report = await nextReport();
      if (report.kind === 'answer') return report.answer;
      throw new Error(report.kind === 'failed' ? report.message : `The thread ${name} is out of step.`);
    },
    async close() {
      if (!alive) return;
      worker.postMessage(endOfOrders);
      await ended();
    },
  };
}
