import type { GatewayError } from '../errors.ts';
import type { Secret } from '../secret.ts';

/**
 * What is known of an entity from the calls that went to it: who may be sent there, and with which token. It outlives
 * reloads for as long as the entity's connection and its `health` read the same. Implemented in `runtime/entity-health.ts`.
 */
export interface EntityHealth {
  /** How one of its models stands, for a choice between candidates. */
  standing(model: string): Standing;
  /**
   * Lets a request in, at once or after a wait for a place. Each visit has to be ended.
   * @param call what the request belongs to: a call of several requests is let in with all of them
   * @throws GatewayError no_healthy_target, rate_limit_exceeded when all places are taken; the signal's reason
   */
  enter(model: string, call: object, options: EnterOptions): Visit | Promise<Visit>;
  /** For `/api/status`. */
  report(): HealthReport;
}

export interface EnterOptions {
  readonly signal: AbortSignal;
  /** Whether nobody else can be tried, so that it is let in although it is out of service, where the file has that. */
  readonly isLast: boolean;
}

export type Standing =
  | { readonly kind: 'ready' }
  /** All tokens are to be passed over; it can be tried, but somebody else should be before. */
  | { readonly kind: 'resting'; readonly forMs: number }
  /** Out of service. */
  | { readonly kind: 'open'; readonly forMs: number };

/** One request to an entity. */
export interface Visit {
  /** The credential; undefined when the entity needs none. */
  readonly token: Secret | undefined;
  /** Gives the place back: the answer has been read. What the answer is worth may be said later. */
  leave(): void;
  /** Says what has become of it, once; further calls do nothing. `abandoned`: it says nothing about the provider. */
  end(outcome: 'answered' | 'abandoned' | GatewayError): void;
}

/** In the form in which it is shown. */
export interface HealthReport {
  readonly state: 'closed' | 'half_open' | 'open';
  readonly in_flight: number;
  readonly queued: number;
  /** Those with failures. Without a `model`: the entity as a whole. */
  readonly targets: readonly {
    readonly model?: string;
    readonly state: 'closed' | 'half_open' | 'open';
    /** Failures in a row. */
    readonly failures: number;
    readonly open_for_ms?: number;
  }[];
  /** Those that are passed over. Without a `model`: for all of them. */
  readonly resting_tokens: readonly {
    /** Its place in the list, from 1. */
    readonly token: number;
    readonly model?: string;
    readonly for_ms: number;
  }[];
}
