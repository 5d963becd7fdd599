import { setImmediate } from 'node:timers/promises';

/** Gathers orders into transactions: whatever arrives while one is under way goes into the next. */
export interface Batches<Order, Answer> {
  /**
   * An order whose signal is aborted before its turn comes is never run. One that is being run is waited for, since
   * somebody has to hear what has come of it.
   * @throws what `run` throws, the signal's reason
   */
  ask(order: Order, signal: AbortSignal): Promise<Answer>;
  /** Resolves when nothing is under way any more. */
  idle(): Promise<void>;
}

interface Waiting<Order, Answer> {
  readonly order: Order;
  readonly signal: AbortSignal;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
}

/** @param run answers the orders of a batch in their order; one batch at a time */
export function createBatches<Order, Answer>(
  run: (orders: readonly Order[]) => Promise<readonly Answer[]>,
  maxBatch: number,
): Batches<Order, Answer> {
  const waiting: Waiting<Order, Answer>[] = [];
  let pumping: Promise<void> | undefined;

  async function pump(): Promise<void> {
    // Lets those that come in the same turn into the batch.
    await setImmediate();
    while (waiting.length > 0) {
      const next = waiting.splice(0, maxBatch);
      const batch = next.filter(({ signal }) => !signal.aborted);
      for (const { signal, reject } of next) if (signal.aborted) reject(signal.reason);
      if (batch.length > 0) await runBatch(batch);
    }
    pumping = undefined;
  }

  async function runBatch(batch: readonly Waiting<Order, Answer>[]): Promise<void> {
    try {
      const answers = await run(batch.map(({ order }) => order));
      if (answers.length !== batch.length) throw new Error('Some orders were left without an answer.');
      answers.forEach((answer, index) => batch[index]?.resolve(answer));
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  }

  return {
    ask(order, signal) {
      const { promise, resolve, reject } = Promise.withResolvers<Answer>();
      waiting.push({ order, signal, resolve, reject });
      pumping ??= pump();
      return promise;
    },
    async idle() {
      await pumping;
    },
  };
}
