import { existsSync } from 'node:fs';
import { OperatorError } from '../errors.ts';
import { askingMethods } from './ask.ts';
import { jobMethods, type JobAnswer, type JobRequest } from './job-requests.ts';
import { cannotWrite, createQueue, storeClosed, type Health } from './queue.ts';
import { truePath } from './sqlite-file.ts';
import { claim } from './sqlite-owner.ts';
import { createSqliteReader } from './sqlite-reader.ts';
import type { WorkerAnswer, WorkerOrder, WorkerSettings } from './sqlite-worker.ts';
import type { Store, StoreDefinition, StoreSettings, Upkeep, UpkeepOptions } from './store.ts';
import { startThread, type OrderThread } from './thread.ts';

/** Requests in one transaction. */
const maxBatch = 1000;

/** Reservations or rows that one step of the upkeep deals with: some milliseconds, for which others wait. */
const upkeepStep = 500;

/** Steps of one upkeep, so that a large ledger is not pruned all at once. */
const mostSteps = 100;

/**
 * Books in one SQLite file, written by a thread of their own. Several processes on one machine may share the file; each
 * waits for the others' transactions.
 */
export const sqliteStore: StoreDefinition = {
  scheme: 'sqlite',
  open: openSqliteStore,
  async read(location) {
    if (!existsSync(location)) throw new OperatorError(`There is no state file ${location}.`);
    const reader = createSqliteReader(truePath(location));
    await reader.open();
    return reader;
  },
};

type StoreThread = OrderThread<WorkerOrder, WorkerAnswer>;

async function openSqliteStore(location: string, settings: StoreSettings): Promise<Store> {
  const file = openable(() => truePath(location));
  const ownership = openable(() => claim(file));
  let thread = start();
  try {
    await thread;
  } catch (error) {
    ownership.close();
    throw error;
  }
  const reader = createSqliteReader(file);
  const health: Health = { healthy: true };
  let closing: Promise<void> | undefined;

  function start(): Promise<StoreThread> {
    const workerSettings: WorkerSettings = { file, owner: ownership.owner };
    return startThread('sqlite-worker', workerSettings);
  }

  /** The thread, started again if it died: the reservations in the file are then still this process's own. */
  async function liveThread(): Promise<StoreThread> {
    const last = thread;
    const current = await last.catch(() => undefined);
    if (current?.alive === true) return current;
    // Two may have waited for the same dead one.
    if (thread === last) thread = start();
    return thread;
  }

  const queue = createQueue(
    {
      async run(requests) {
        const current = await liveThread();
        const answer = await current.call({ kind: 'batch', nowMs: settings.now(), requests });
        if (answer.kind === 'answers') return answer.answers;
        throw new Error('The state file gave an answer to another question.');
      },
      async forget(ids) {
        // The thread that may have written them is gone, and with it whatever was under way.
        const requests = ids.map((id) => ({ kind: 'release', id, outcome: undefined }) as const);
        await (await liveThread()).call({ kind: 'batch', nowMs: settings.now(), requests });
      },
    },
    health,
    maxBatch,
  );

  /** Repeats a step until there is nothing more to do, and gives what all steps have done together. */
  async function repeat(order: WorkerOrder): Promise<number> {
    let total = 0;
    for (let step = 0; step < mostSteps; step += 1) {
      const answer = await (await liveThread()).call(order);
      if (answer.kind !== 'count') throw new Error('The state file gave an answer to another question.');
      total += answer.count;
      if (!answer.more) break;
    }
    return total;
  }

  async function maintain({ ledgerKeptMs }: UpkeepOptions): Promise<Upkeep> {
    if (closing !== undefined) throw storeClosed();
    try {
      const nowMs = settings.now();
      // While all is well the disk is left alone; what there is to do will show whether it works.
      if (!health.healthy) await repeat({ kind: 'probe' });
      const estimated = await repeat({ kind: 'sweep', nowMs, limit: upkeepStep });
      await repeat({ kind: 'prune', nowMs, ledgerKeptMs, limit: upkeepStep });
      health.healthy = true;
      return { estimated };
    } catch (error) {
      health.healthy = false;
      throw cannotWrite(error);
    }
  }

  async function askOfJobs(request: JobRequest): Promise<JobAnswer> {
    if (closing !== undefined) throw storeClosed();
    try {
      const answer = await (await liveThread()).call({ kind: 'job', nowMs: settings.now(), request });
      if (answer.kind === 'job') return answer.answer;
      throw new Error('The state file gave an answer to another question.');
    } catch (error) {
      health.healthy = false;
      throw cannotWrite(error);
    }
  }

  async function shut(): Promise<void> {
    await queue.close();
    const current = await thread.catch(() => undefined);
    await Promise.all([current?.close(), reader.close()]);
    ownership.close();
  }

  // What an earlier process left open is dealt with before anybody asks; if the disk is full, later.
  await maintain({ ledgerKeptMs: undefined }).catch(() => undefined);

  return {
    ...askingMethods(queue),
    ...jobMethods(askOfJobs),
    usage: reader.usage,
    rows: reader.rows,
    counters: reader.counters,
    healthy: () => health.healthy,
    maintain,
    close() {
      closing ??= shut();
      return closing;
    },
  };
}

/** @throws OperatorError in place of what went wrong with the file */
function openable<Value>(open: () => Value): Value {
  try {
    return open();
  } catch (error) {
    throw new OperatorError(error instanceof Error ? error.message : String(error));
  }
}
