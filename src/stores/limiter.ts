import type { Rate, Standing, Outlook } from '../gcra.ts';
import type { Logger } from '../log.ts';

/**
 * The contract of a limiter: what counts requests against limits. What is demanded is taken from all limits or from none,
 * in one step that no other demand can fall into, whichever process it comes from.
 */
export interface Limiter {
  /** Called when a file is loaded that has limits: begins to open what the limiter counts in. */
  prepare(): void;
  /**
   * Resolves when what `prepare` has begun is done, whether it has worked or not, and after a few seconds at the latest.
   * Never rejects.
   */
  prepared(): Promise<void>;
  /**
   * Takes what is demanded, if there is room for all of it.
   * @throws GatewayError overloaded when nobody can tell whether there is; after two seconds at the latest
   * @throws the signal's reason
   */
  take(demand: Demand, signal: AbortSignal): Promise<Verdict>;
  /** Gives places back; those that are not held are left alone. Never rejects. */
  leave(holder: string, places: readonly Place[]): Promise<void>;
  /** Whether the last thing that was tried has worked. */
  healthy(): boolean;
  /** Finishes what is under way. Later demands fail. */
  close(): Promise<void>;
}

export interface Demand {
  /** Each key once. */
  readonly rates: readonly RateDemand[];
  readonly places: readonly PlaceDemand[];
  /** Who takes the places: ASCII text, unique for ever. Whoever holds a place already keeps it, and takes no second one. */
  readonly holder: string;
}

export interface RateDemand {
  /** The identity of the limit. Two limits of the same identity have the same rate. */
  readonly limit: string;
  /** What is counted apart from others. */
  readonly key: string;
  readonly rate: Rate;
  /** Units that are taken. */
  readonly cost: number;
}

/** Something of which only so many may be under way at the same time. */
export interface Place {
  readonly limit: string;
  readonly key: string;
}

export interface PlaceDemand extends Place {
  /** How many there are. */
  readonly most: number;
}

export type Verdict =
  /** Where the rates stand now, in their order. */
  | { readonly kind: 'taken'; readonly standings: readonly Standing[] }
  /** Nothing was taken: of all rates, the one at `index` will have room last. */
  | { readonly kind: 'refused'; readonly index: number; readonly outlook: Outlook }
  /** Nothing was taken: the rates have room, but there are no more places at `index`. */
  | { readonly kind: 'full'; readonly index: number };

/** A kind of limiter: what the part before the first colon in `rate_limits:`, or in `state:`, names. */
export interface LimiterDefinition {
  readonly scheme: string;
  /** Makes the limiter, without opening anything. @param location what stands after the scheme; a path is absolute */
  create(location: string, settings: LimiterSettings): Limiter;
}

export interface LimiterSettings {
  readonly clock: LimiterClock;
  /** Hears when it can no longer be counted, and when it can again. */
  readonly log: Logger;
  /** How long a place is held of which its process is not heard any more, in milliseconds. */
  readonly leaseMs?: number | undefined;
  /** How often it is looked for what is over and may be forgotten, in milliseconds. */
  readonly pruneEveryMs?: number | undefined;
}

export interface LimiterClock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Milliseconds on a scale that only goes forward. */
  monotonic(): number;
  timer(milliseconds: number, callback: () => void): { cancel(): void };
}
