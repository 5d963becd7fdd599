import { OperatorError } from '../errors.ts';
import { askingMethods } from './ask.ts';
import { comesAfter, estimate, isInRange, StoreMisuse, type Books, type HeldAmount } from './books.ts';
import { createMemoryJobs, type MemoryJobs } from './memory-jobs.ts';
import { jobMethods } from './job-requests.ts';
import type { KeyRow } from './keys.ts';
import type { Counter, CountersQuery } from './ledger.ts';
import { createMemoryAnswers } from './memory-answers.ts';
import { createMemoryLedger, type MemoryLedger } from './memory-ledger.ts';
import { storeClosed } from './queue.ts';
import { perform, type StoreAnswer, type StoreRequest } from './requests.ts';
import type { CounterState, Store, StoreDefinition } from './store.ts';

/** Rows that are kept at most, and ids that are remembered of what is over. */
const mostRows = 10_000;

const untouched: CounterState = { settled: 0, held: 0 };

/**
 * Books that end with the process: for tests, and for gateways whose budgets may start again with them. The ledger holds
 * the last 10,000 requests.
 */
export const memoryStore: StoreDefinition = {
  scheme: 'memory',
  async open(_location, settings): Promise<Store> {
    const tables = createTables(settings.now);
    let closed = false;

    // Everything within one turn of the event loop: that is what makes it atomic.
    const run = async <Value>(work: () => Value): Promise<Value> => {
      if (closed) throw storeClosed();
      return work();
    };
    const ask = (request: StoreRequest): Promise<StoreAnswer> =>
      run(() => {
        const answer = perform(tables.books, request);
        if (answer.kind === 'misuse') throw new StoreMisuse(answer.message);
        return answer;
      });

    return {
      ...askingMethods({ ask }),
      ...jobMethods((request) => run(() => tables.jobs.perform(request))),
      maintain: ({ ledgerKeptMs }) =>
        run(() => {
          const estimated = tables.expired().filter((id) => estimate(tables.books, id)).length;
          tables.forget(ledgerKeptMs);
          return { estimated };
        }),
      usage: (query) => run(() => tables.ledger.usage(query)),
      rows: (query) => run(() => tables.ledger.rows(query)),
      counters: (query) => run(() => tables.counters(query)),
      healthy: () => true,
      async close() {
        closed = true;
      },
    };
  },
  read() {
    return Promise.reject(
      new OperatorError('The state is in the memory of the gateway, where nobody else can read it.'),
    );
  },
};

interface MemoryCounter {
  settled: number;
  held: number;
  readonly expiresAtMs: number | undefined;
}

interface MemoryReservation {
  readonly holds: readonly HeldAmount[];
  readonly heldUntilMs: number;
  readonly row: number | undefined;
}

interface MemoryTables {
  readonly books: Books;
  readonly jobs: MemoryJobs;
  readonly ledger: MemoryLedger;
  counters(query: CountersQuery): readonly Counter[];
  /** Open reservations whose time is up. */
  expired(): readonly string[];
  /** Forgets what is over. */
  forget(ledgerKeptMs: number | undefined): void;
}

function createTables(now: () => number): MemoryTables {
  const counters = new Map<string, MemoryCounter>();
  const open = new Map<string, MemoryReservation>();
  /** Ids of what is over, oldest first. */
  const over = new Set<string>();
  const ledger = createMemoryLedger(mostRows);
  const keys = new Map<string, KeyRow>();
  const answers = createMemoryAnswers(now);
  const jobs = createMemoryJobs(now);

  const isTaken = (id: string): boolean => open.has(id) || over.has(id);

  function remember(id: string): void {
    over.add(id);
    const [oldest] = over;
    if (over.size > mostRows && oldest !== undefined) over.delete(oldest);
  }

  const books: Books = {
    read(counter) {
      const { settled, held } = counters.get(counter) ?? untouched;
      return { settled, held };
    },
    sum(range) {
      const state = { settled: 0, held: 0 };
      for (const [counter, { settled, held }] of counters) {
        if (!isInRange(counter, range)) continue;
        state.settled += settled;
        state.held += held;
      }
      return state;
    },
    hold({ counter, amount, expiresAtMs }) {
      const entry = counters.get(counter);
      if (entry === undefined) counters.set(counter, { settled: 0, held: amount, expiresAtMs });
      else entry.held += amount;
    },
    settle({ counter, amount, expiresAtMs }, settled) {
      const entry = counters.get(counter);
      if (entry === undefined) counters.set(counter, { settled, held: 0, expiresAtMs });
      else Object.assign(entry, { settled: entry.settled + settled, held: entry.held - amount });
    },
    reset(counter) {
      const entry = counters.get(counter);
      if (entry !== undefined) entry.settled = 0;
    },
    open(id, holds, { heldUntilMs, row }) {
      if (isTaken(id)) return false;
      const number =
        row && ledger.add({ ...row, savedNanoUsd: null, state: 'reserved', status: null, latencyMs: null });
      open.set(id, { holds, heldUntilMs, row: number });
      return true;
    },
    openHolds: (id) => open.get(id)?.holds,
    close(id, end, completion) {
      const row = open.get(id)?.row;
      if (row !== undefined) ledger.complete(row, end, completion);
      open.delete(id);
      remember(id);
    },
    record(id, row) {
      if (isTaken(id)) return false;
      remember(id);
      ledger.add(row);
      return true;
    },
    keys: {
      nowMs: now,
      get: (key) => keys.get(key),
      put: (key, row) => void keys.set(key, row),
      remove: (key) => void keys.delete(key),
    },
    answers,
  };

  return {
    books,
    jobs,
    ledger,
    counters({ prefix = '', after, limit }) {
      return Array.from(counters, ([counter, { settled, held, expiresAtMs }]) => ({
        counter,
        settled,
        held,
        expiresAtMs,
      }))
        .filter(({ counter, settled, held }) => counter.startsWith(prefix) && (settled > 0 || held > 0))
        .filter(({ counter }) => after === undefined || comesAfter(counter, after))
        .toSorted((left, right) => (comesAfter(left.counter, right.counter) ? 1 : -1))
        .slice(0, limit);
    },
    expired() {
      const nowMs = now();
      return Array.from(open).flatMap(([id, { heldUntilMs }]) => (heldUntilMs <= nowMs ? [id] : []));
    },
    forget(ledgerKeptMs) {
      const nowMs = now();
      for (const [counter, { settled, held, expiresAtMs }] of counters) {
        const isExpired = settled === 0 || (expiresAtMs !== undefined && expiresAtMs <= nowMs);
        if (held === 0 && isExpired) counters.delete(counter);
      }
      for (const [key, { state, heldUntilMs, keptUntilMs }] of keys) {
        const isHeld = (state === 'claimed' || state === 'sent') && heldUntilMs > nowMs;
        if (!isHeld && keptUntilMs <= nowMs) keys.delete(key);
      }
      answers.forget(nowMs);
      jobs.forget();
      if (ledgerKeptMs !== undefined) ledger.forget(nowMs - ledgerKeptMs);
    },
  };
}
