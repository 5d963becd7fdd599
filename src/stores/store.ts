import type { AnswerIndex } from './answer-index.ts';
import type { JobStore } from './job-store.ts';
import type { KeyStore } from './key-store.ts';
import type { BooksReader, OpenRow, RecordedRow, RowOutcome } from './ledger.ts';

/**
 * The contract of a state store: counters that never lie, and a ledger of requests. A reservation is taken on all its
 * counters or on none; once taken it is settled or released exactly once, and until then it counts as used. Whatever
 * happens to a counter happens to the row in the same transaction. All amounts are whole numbers, in units that are the
 * caller's business. Every method that writes throws GatewayError overloaded when the store cannot be written to.
 */
export interface Store extends BooksReader, KeyStore, AnswerIndex, JobStore {
  /**
   * Takes a reservation on all counters together, if each has room for it. The list may be empty: then only the row is
   * kept.
   * @param id the reservation's identity, unique for ever
   */
  reserve(id: string, holds: readonly Hold[], terms: ReservationTerms): Promise<Reservation>;

  /**
   * Turns a reservation into use. `amounts` are the real amounts in the order of the holds; they may be more or less
   * than was held. Settling or releasing a reservation that is not open does nothing.
   */
  settle(id: string, amounts: readonly number[], outcome?: RowOutcome): Promise<void>;

  /** Gives a reservation back. Whatever the outcome says, its row has no images and no cost. */
  release(id: string, outcome?: RowOutcome): Promise<void>;

  /**
   * Writes the row of a request that is over, and for which nothing was reserved.
   * @param id unique for ever; with an id that was used in the last ten minutes nothing is written, so a write whose fate
   *   is not known can be repeated
   */
  record(id: string, row: RecordedRow): Promise<void>;

  /** What a counter says, or with a range, all counters of that together; zeros if it was never touched. */
  read(counter: string, range?: CounterRange): Promise<CounterState>;

  /** Takes what is settled off a counter; what is held stays. Gives what it said before. */
  reset(counter: string): Promise<CounterState>;

  /**
   * What has to be done every few seconds, by every process that has the store open: says that this process is alive,
   * settles what nobody else will settle any more, forgets what nobody needs any more, and tries whether a store that
   * failed works again.
   */
  maintain(options: UpkeepOptions): Promise<Upkeep>;

  /** Whether the last thing that was tried has worked. */
  healthy(): boolean;

  /** Finishes what is under way and closes. Later calls fail. What is still reserved is left to be recovered. */
  close(): Promise<void>;
}

export interface Hold {
  /** Identity of the counter, its window and its unit included; at most 1000 characters. */
  readonly counter: string;
  readonly amount: number;
  /** The most that settled and held amounts may come to; undefined: count only, never refuse. */
  readonly limit: number | undefined;
  /** Counters that the limit holds for together, this one among them; undefined: for this one alone. */
  readonly range?: CounterRange | undefined;
  /** When the counter may be forgotten, in milliseconds since 1970; undefined: never. */
  readonly expiresAtMs: number | undefined;
}

/**
 * Counters whose names begin with `prefix` and do not come before `from`, compared by code points. Reservations whose
 * ranges have a prefix in common are checked one after the other, whichever of the counters they hold.
 */
export interface CounterRange {
  readonly prefix: string;
  /** Begins with `prefix`. */
  readonly from: string;
}

/** What goes with a reservation. */
export interface ReservationTerms {
  /** Until when it will have been settled, in milliseconds since 1970. After that it is settled at the amounts held. */
  readonly heldUntilMs: number;
  /** The request's row in the ledger; undefined: the reservation is not for a request that is to be told of. */
  readonly row?: OpenRow | undefined;
}

export type Reservation =
  | { readonly kind: 'held' }
  /**
   * Nothing was taken, and there is no row: this counter, the first of the list without room, was in the way. The state
   * is that of its whole range, if it has one.
   */
  | { readonly kind: 'refused'; readonly counter: string; readonly state: CounterState };

export interface CounterState {
  readonly settled: number;
  readonly held: number;
}

export interface UpkeepOptions {
  /** How long rows are kept after their request came, in milliseconds; undefined: for ever. */
  readonly ledgerKeptMs: number | undefined;
}

export interface Upkeep {
  /** Reservations that were settled at the amounts held: their time was up, or their process is gone. */
  readonly estimated: number;
}

/** A kind of store: what the part before the colon in `state:` names. */
export interface StoreDefinition {
  readonly scheme: string;
  /**
   * Opens the store, creating or migrating what is there. Reservations whose process is gone are settled at the amounts
   * held, since the call may have been served: at once if that can be told for certain, otherwise when that process has
   * not been heard of for some time.
   * @param location what stands after the scheme; a path is absolute
   * @throws OperatorError when it cannot be opened
   */
  open(location: string, settings: StoreSettings): Promise<Store>;
  /**
   * Opens what other processes keep, for reading only; nothing is created, migrated or recovered.
   * @throws OperatorError when there is nothing to read
   */
  read(location: string): Promise<BooksReader>;
}

export interface StoreSettings {
  /** Milliseconds since 1970. */
  now(): number;
  /** Whether a server that cannot be reached is waited for in the background, rather than a reason to fail. */
  readonly patient?: boolean | undefined;
  /** How long a process may be silent before others take it to be gone, in milliseconds. */
  readonly leaseMs?: number | undefined;
}
