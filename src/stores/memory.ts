import { release, reserve, settle } from './counters.ts';
import type { CounterTable, HeldAmount } from './counters.ts';
import type { Store, StoreDefinition } from './store.ts';

/** Counters examined for expiry with each reservation: enough to outrun the one or few that it may add. */
const sweptPerReservation = 8;

const untouched = { settled: 0, held: 0 };

/** Counters that end with the process: for tests, and for gateways whose budgets may start again with them. */
export const memoryStore: StoreDefinition = {
  scheme: 'memory',
  async open(_location, settings): Promise<Store> {
    const { table, sweep } = createTable();
    let closed = false;

    // Everything within one turn of the event loop: that is what makes it atomic.
    const run = async <Value>(work: () => Value): Promise<Value> => {
      if (closed) throw new Error('The state store is closed.');
      return work();
    };

    return {
      reserve: (id, holds) =>
        run(() => {
          sweep(settings.now());
          return reserve(table, id, holds);
        }),
      settle: (id, amounts) => run(() => settle(table, id, amounts)),
      release: (id) => run(() => release(table, id)),
      read: (counter) => run(() => table.read(counter)),
      async close() {
        closed = true;
      },
    };
  },
};

interface MemoryCounter {
  settled: number;
  held: number;
  readonly expiresAtMs: number | undefined;
}

function createTable(): { readonly table: CounterTable; readonly sweep: (nowMs: number) => void } {
  const counters = new Map<string, MemoryCounter>();
  const reservations = new Map<string, readonly HeldAmount[]>();
  let cursor = counters.entries();

  const table: CounterTable = {
    read(counter) {
      const { settled, held } = counters.get(counter) ?? untouched;
      return { settled, held };
    },
    hold({ counter, amount, expiresAtMs }) {
      const entry = counters.get(counter);
      if (entry === undefined) counters.set(counter, { settled: 0, held: amount, expiresAtMs });
      else entry.held += amount;
    },
    settle(counter, held, settled) {
      const entry = counters.get(counter);
      // Gone only if it had expired and held nothing.
      if (entry === undefined) return;
      entry.held -= held;
      entry.settled += settled;
    },
    open(id, holds) {
      if (reservations.has(id)) return false;
      reservations.set(
        id,
        holds.map(({ counter, amount }) => ({ counter, amount })),
      );
      return true;
    },
    openHolds: (id) => reservations.get(id),
    close(id) {
      reservations.delete(id);
    },
  };

  /** Forgets some expired counters. The cursor goes round and round, so each is looked at again and again. */
  function sweep(nowMs: number): void {
    for (let step = 0; step < sweptPerReservation; step += 1) {
      const next = cursor.next();
      if (next.done === true) {
        cursor = counters.entries();
        return;
      }
      const [name, { held, expiresAtMs }] = next.value;
      if (held === 0 && expiresAtMs !== undefined && expiresAtMs <= nowMs) counters.delete(name);
    }
  }

  return { table, sweep };
}
