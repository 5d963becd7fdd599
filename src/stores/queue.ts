import { setImmediate } from 'node:timers/promises';
import { GatewayError } from '../errors.ts';
import { StoreMisuse } from './books.ts';
import type { KeyRequest } from './keys.ts';
import type { StoreAnswer, StoreRequest } from './requests.ts';

/** What a queue runs its requests on. */
export interface QueueBackend {
  /**
   * Runs requests in one transaction, in order. One call at a time.
   * @throws OutcomeUnknown when nobody can tell whether it has happened; any other error: nothing has happened
   */
  run(requests: readonly StoreRequest[]): Promise<readonly StoreAnswer[]>;
  /** Sees to it that these reservations are not open, whether or not they were ever written, and will not be. */
  forget(ids: readonly string[]): Promise<void>;
}

/** The connection to the books broke while they were being written. */
export class OutcomeUnknown extends Error {
  override readonly name = 'OutcomeUnknown';
}

/**
 * Gathers requests into transactions: whatever arrives while one is on its way to the disk goes into the next, so many
 * callers share the price of one write.
 */
export interface RequestQueue {
  /** @throws GatewayError overloaded when the books cannot be written to, StoreMisuse */
  ask(request: StoreRequest): Promise<StoreAnswer>;
  /** Runs what is waiting and takes nothing more. */
  close(): Promise<void>;
}

interface WaitingRequest {
  readonly request: StoreRequest;
  readonly resolve: (answer: StoreAnswer) => void;
  readonly reject: (error: Error) => void;
}

/** Whether the last thing that was tried with a store has worked. */
export interface Health {
  healthy: boolean;
}

/**
 * @param health is told of each transaction
 * @param maxBatch requests in one transaction: more would make the first of them wait long for little gain
 */
export function createQueue(backend: QueueBackend, health: Health, maxBatch: number): RequestQueue {
  const waiting: WaitingRequest[] = [];
  /** Reservations refused to their callers because the outcome was unknown, of which the books may know. */
  const orphans = new Set<string>();
  /** The same for keys: what gives them back. */
  const orphanedKeys = new Set<KeyRequest>();
  let pumping: Promise<void> | undefined;
  let closed = false;

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
      // That the books can be read says nothing about a full disk.
      if (batch.some(({ request }) => request.kind !== 'read')) health.healthy = true;
      batch.forEach(({ resolve, reject }, index) => {
        const answer = answers[index];
        if (answer === undefined) reject(new Error('The state store left a request unanswered.'));
        else if (answer.kind === 'misuse') reject(new StoreMisuse(answer.message));
        else resolve(answer);
      });
    } catch (error) {
      health.healthy = false;
      for (const { reject } of batch) reject(cannotWrite(error));
    }
  }

  async function runRequests(requests: readonly StoreRequest[]): Promise<readonly StoreAnswer[]> {
    if (orphans.size > 0) {
      await backend.forget([...orphans]);
      orphans.clear();
    }
    const returned = [...orphanedKeys];
    try {
      const answers = await backend.run([...returned, ...requests]);
      for (const request of returned) orphanedKeys.delete(request);
      return answers.slice(returned.length);
    } catch (error) {
      if (error instanceof OutcomeUnknown) requests.forEach(disown);
      throw error;
    }
  }

  /** Nobody will end what was refused to its caller. */
  function disown(request: StoreRequest): void {
    if (request.kind === 'reserve') orphans.add(request.id);
    if (request.kind !== 'claim-key') return;
    const { key, holder } = request;
    orphanedKeys.add({ kind: 'release-key', key, holder });
  }

  return {
    ask(request) {
      if (closed) return Promise.reject(storeClosed());
      const { promise, resolve, reject } = Promise.withResolvers<StoreAnswer>();
      waiting.push({ request, resolve, reject });
      pumping ??= pump();
      return promise;
    },
    async close() {
      closed = true;
      await pumping;
    },
  };
}

export function storeClosed(): Error {
  return new Error('The state store is closed.');
}

/** @param cause for the log only */
export function cannotWrite(cause: unknown): GatewayError {
  return new GatewayError('overloaded', 'The gateway cannot keep its books right now.', { cause });
}

/** @param error what a report has ended with; a RangeError is the asker's and stays */
export function cannotRead(error: unknown): Error {
  if (error instanceof RangeError) return error;
  return new GatewayError('overloaded', 'The books cannot be read right now.', { cause: error });
}
