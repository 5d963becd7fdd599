import { setImmediate } from 'node:timers/promises';
import { GatewayError } from '../errors.ts';
import { StoreMisuse } from './counters.ts';
import type { StoreAnswer, StoreRequest } from './sqlite-worker.ts';
import { startWorker } from './sqlite-thread.ts';
import type { SqliteThread } from './sqlite-thread.ts';
import type { Store, StoreDefinition, StoreSettings } from './store.ts';

/** Requests in one transaction: more would make the first of them wait long for little gain. */
const maxBatch = 1000;

/**
 * Counters in one SQLite file, written by a thread of their own. Whatever arrives while one transaction is on its way
 * to the disk goes into the next, so many callers share the price of one write.
 */
export const sqliteStore: StoreDefinition = { scheme: 'sqlite', open: openSqliteStore };

interface WaitingRequest {
  readonly request: StoreRequest;
  readonly resolve: (answer: StoreAnswer) => void;
  readonly reject: (error: Error) => void;
}

async function openSqliteStore(file: string, settings: StoreSettings): Promise<Store> {
  let thread: SqliteThread = await startWorker({ file, recover: true });
  const waiting: WaitingRequest[] = [];
  /** Reservations refused to their callers because the thread died, of which the file may know. */
  const orphans = new Set<string>();
  let pumping: Promise<void> | undefined;
  let closing: Promise<void> | undefined;

  function ask(request: StoreRequest): Promise<StoreAnswer> {
    if (closing !== undefined) return Promise.reject(new Error('The state store is closed.'));
    const { promise, resolve, reject } = Promise.withResolvers<StoreAnswer>();
    waiting.push({ request, resolve, reject });
    pumping ??= pump();
    return promise;
  }

  async function pump(): Promise<void> {
    // Lets the callers that the last answers have woken, or that run in the same turn, into the batch.
    await setImmediate();
    while (waiting.length > 0) {
      await runBatch(waiting.splice(0, maxBatch));
      await setImmediate();
    }
    pumping = undefined;
  }

  async function runBatch(batch: readonly WaitingRequest[]): Promise<void> {
    try {
      const answers = await runRequests(batch.map(({ request }) => request));
      batch.forEach(({ resolve, reject }, index) => {
        const answer = answers[index];
        if (answer === undefined) reject(new Error('The state store left a request unanswered.'));
        else if (answer.kind === 'misuse') reject(new StoreMisuse(answer.message));
        else resolve(answer);
      });
    } catch (error) {
      for (const { reject } of batch) {
        reject(new GatewayError('overloaded', 'The gateway cannot keep its books right now.', { cause: error }));
      }
    }
  }

  async function runRequests(requests: readonly StoreRequest[]): Promise<readonly StoreAnswer[]> {
    const current = await liveThread();
    try {
      return await current.run(settings.now(), requests);
    } catch (error) {
      if (!current.alive) {
        for (const request of requests) if (request.kind === 'reserve') orphans.add(request.id);
      }
      throw error;
    }
  }

  /** The thread, started again if it died: the reservations in the file are then still this process's own. */
  async function liveThread(): Promise<SqliteThread> {
    if (!thread.alive) thread = await startWorker({ file, recover: false });
    if (orphans.size > 0) {
      await thread.run(
        settings.now(),
        Array.from(orphans, (id) => ({ kind: 'release', id })),
      );
      orphans.clear();
    }
    return thread;
  }

  async function shut(): Promise<void> {
    await pumping;
    await thread.close();
  }

  return {
    async reserve(id, holds) {
      const answer = await ask({ kind: 'reserve', id, holds });
      if (answer.kind === 'held' || answer.kind === 'refused') return answer;
      throw mixedUp(answer);
    },
    async settle(id, amounts) {
      await ask({ kind: 'settle', id, amounts });
    },
    async release(id) {
      await ask({ kind: 'release', id });
    },
    async read(counter) {
      const answer = await ask({ kind: 'read', counter });
      if (answer.kind === 'state') return answer.state;
      throw mixedUp(answer);
    },
    close() {
      closing ??= shut();
      return closing;
    },
  };
}

function mixedUp(answer: StoreAnswer): Error {
  return new Error(`The state store gave the answer ${answer.kind} to another question.`);
}
