import { createBatches } from './limit-batches.ts';
import type { LimitAnswer, LimitOrder } from './limit-rules.ts';
import type { LimiterDefinition } from './limiter.ts';
import { createSharedLimiter, type BackendContext, type LimitBackend } from './shared-limiter.ts';
import type { LimitsAnswer, LimitsOrder, LimitsSettings } from './sqlite-limits-worker.ts';
import { truePath } from './sqlite-file.ts';
import { startThread, type OrderThread } from './thread.ts';

/** Demands in one transaction. */
const maxBatch = 1000;

/**
 * Counts in a file of its own beside the state file, for all processes that share that. What is counted need not survive a loss of
 * power, so nobody waits for the disk, and requests that are refused do not hold up the books.
 */
export const sqliteLimiter: LimiterDefinition = {
  scheme: 'sqlite',
  create: (location, settings) =>
    createSharedLimiter((context) => createBackend(location, context, settings.clock.now), settings),
};

type LimitsThread = OrderThread<LimitsOrder, LimitsAnswer>;

function createBackend(location: string, { leaseMs }: BackendContext, now: () => number): LimitBackend {
  let thread: Promise<LimitsThread> | undefined;

  const call = async (order: LimitsOrder): Promise<LimitsAnswer> => {
    if (thread === undefined) throw new Error('The file of the rate limits is not open.');
    return (await thread).call(order);
  };
  const nowUs = (): number => now() * 1000;
  const batches = createBatches<LimitOrder, LimitAnswer>(
    async (orders) => (await call({ kind: 'batch', nowUs: nowUs(), orders })).answers,
    maxBatch,
  );

  /** Starts the thread, or another one in the place of one that died. */
  async function open(): Promise<void> {
    const current = await thread?.catch(() => undefined);
    if (current?.alive === true) return;
    const settings: LimitsSettings = { file: `${truePath(location)}-limits`, leaseUs: leaseMs * 1000 };
    thread = startThread('sqlite-limits-worker', settings);
    await thread;
  }

  return {
    async probe() {
      await open();
      await call({ kind: 'probe' });
    },
    async take(demand, signal) {
      const answer = await batches.ask({ kind: 'take', demand }, signal);
      if (answer.kind === 'left') throw new Error('The file of the rate limits gave an answer to another question.');
      return answer;
    },
    async leave(holder, names, signal) {
      await batches.ask({ kind: 'leave', holder, names }, signal);
    },
    async renew(places) {
      await call({ kind: 'renew', nowUs: nowUs(), places });
    },
    async prune(signal) {
      while (!signal.aborted && (await call({ kind: 'prune', nowUs: nowUs() })).more);
    },
    async close() {
      await batches.idle();
      const current = await thread?.catch(() => undefined);
      await current?.close();
    },
  };
}
