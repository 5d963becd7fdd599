/** Where the suites of the stores open them, and what they ask of them. */
import type { BooksReader } from '../../src/stores/ledger.ts';
import type { Hold, ReservationTerms, Store, StoreSettings } from '../../src/stores/store.ts';

/** Somewhere to keep books. */
export interface StorePlace {
  /** Opens what is there, which is nothing at first. */
  open(settings?: Partial<StoreSettings>): Promise<Store>;
}

/** A place that several processes may open at once. */
export interface SharedPlace extends StorePlace {
  /** What `state:` would say. */
  readonly address: string;
  read(): Promise<BooksReader>;
}

/** Terms that do not end while a test runs. */
export function terms(given: Partial<ReservationTerms> = {}): ReservationTerms {
  return { heldUntilMs: Date.parse('2100-01-01'), ...given };
}

/** A hold on a counter that is never forgotten. */
export function hold(counter: string, amount: number, limit?: number): Hold {
  return { counter, amount, limit, expiresAtMs: undefined };
}

/** A hold on a counter that shares its limit with all those of its prefix, from one of them on. */
export function holdInRange(counter: string, amount: number, limit: number, from: string): Hold {
  const prefix = counter.slice(0, counter.lastIndexOf('/') + 1);
  return { ...hold(counter, amount, limit), range: { prefix, from: prefix + from } };
}

/** `count` promises that are under way at the same time. */
export function many<Value>(count: number, start: (index: number) => Promise<Value>): Promise<Value>[] {
  return Array.from({ length: count }, (_, index) => start(index));
}
