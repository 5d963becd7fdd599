/**
 * The contract of a state store: counters that never lie. A reservation is taken on all its counters or on none; once
 * taken it is settled or released exactly once, and until then it counts as used. All amounts are whole numbers.
 */
export interface Store {
  /**
   * Takes a reservation on all counters together, if each has room for it.
   * @param id the reservation's identity, unique for ever
   * @throws GatewayError overloaded when the store cannot be written to
   */
  reserve(id: string, holds: readonly Hold[]): Promise<Reservation>;

  /**
   * Turns a reservation into use. `amounts` are the real amounts in the order of the holds; they may be more or less
   * than was held. Settling or releasing a reservation that is not open does nothing.
   */
  settle(id: string, amounts: readonly number[]): Promise<void>;

  /** Gives a reservation back. */
  release(id: string): Promise<void>;

  /** What a counter says; zeros if it was never touched. */
  read(counter: string): Promise<CounterState>;

  /** Finishes what is under way and closes. Later calls fail. */
  close(): Promise<void>;
}

export interface Hold {
  /** Identity of the counter, its window included. */
  readonly counter: string;
  readonly amount: number;
  /** The most that settled and held amounts may come to; undefined: count only, never refuse. */
  readonly limit: number | undefined;
  /** When the counter may be forgotten, in milliseconds since 1970; undefined: never. */
  readonly expiresAtMs: number | undefined;
}

export type Reservation =
  | { readonly kind: 'held' }
  /** Nothing was taken: this counter, the first of the list without room, was in the way. */
  | { readonly kind: 'refused'; readonly counter: string; readonly state: CounterState };

export interface CounterState {
  readonly settled: number;
  readonly held: number;
}

/** A kind of store: what the part before the colon in `state:` names. */
export interface StoreDefinition {
  readonly scheme: string;
  /**
   * Opens the store, creating or migrating what is there. Reservations that an earlier process left open are settled
   * at the amount held: the call may have been served.
   * @param location what stands after the scheme; a path is absolute
   */
  open(location: string, settings: StoreSettings): Promise<Store>;
}

export interface StoreSettings {
  /** Milliseconds since 1970. */
  now(): number;
}
