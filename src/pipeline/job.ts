/** Jobs: calls for whose answer nobody waits. They are kept as requests, and run like these. */
import type { Target } from './settings.ts';
import type { WireRequest } from './upstream.ts';

/** A request as it is kept for a job, as JSON: enough to make it again in another process, and no credential. */
export interface JobRequest {
  readonly requestId: string;
  /** The id of the route. */
  readonly route: string;
  readonly method: string;
  /** The path as it came, and the query. */
  readonly path: string;
  readonly parameters: Readonly<Record<string, string>>;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly remoteAddress: string;
  /** Whether it came over TLS. */
  readonly secure: boolean;
  /** The name of its body among the kept answers. */
  readonly body: string;
  /** What it was resolved to when it came, best first. */
  readonly candidates: readonly JobCandidate[];
}

export interface JobCandidate {
  readonly entity: string;
  readonly model: string;
  readonly alias?: string | undefined;
}

/** The job as which an exchange runs. */
export interface RunningJob {
  readonly id: string;
  /** The id of the consumer whose it is; null: nobody's. */
  readonly consumer: string | null;
  readonly candidates: readonly JobCandidate[];
  /** What an earlier process has reserved for it, and has left open; undefined: nothing. */
  readonly reservation: string | undefined;
  /** Says how far it is, from 0 to 1, as far as a provider tells. */
  note(progress: number): void;
  /**
   * Where an earlier process has left it with this target's provider; undefined: it has to be begun, or is gone on with already.
   * @throws GatewayError upstream_error when it was left with another one, and has not been gone on with there
   */
  resume(target: Target): JobPlace | undefined;
  /** Says that the provider is asked after what was left with it. */
  resumed(): void;
  /**
   * Keeps where it is, for a process that may have to go on from there; undefined: nobody could any more.
   * @throws GatewayError overloaded when what was kept before is not true any more
   */
  keep(place: JobPlace | undefined): Promise<void>;
  /** Has a new reservation take the place of the one that an earlier process has left open. @throws GatewayError overloaded */
  adopt(reservation: string): Promise<void>;
  /** Whether the gateway stops, and another process goes on with it: then nothing ends with the exchange. */
  isParked(): boolean;
}

/** Where a job is with its provider. It is kept as JSON, and one that is more than that cannot be kept. */
export interface JobPlace {
  readonly entity: string;
  readonly model: string;
  /** The next question. */
  readonly request: WireRequest;
  /** What the provider wants to have with its answer. */
  readonly state: unknown;
  readonly cancel: WireRequest | undefined;
  /** The reservation of its call; undefined: there is none. */
  readonly reservation: string | undefined;
}

/** How a job has ended, as JSON, for those who ask. */
export type JobOutcome =
  | {
      readonly status: number;
      readonly headers: Readonly<Record<string, string>>;
      /** A text, or the name of what is kept. */
      readonly body: { readonly text: string } | { readonly blob: string };
    }
  | { readonly error: JobError };

/** OpenAI's error object, and what a caller who had waited would have seen in the head of the answer. */
export interface JobError {
  readonly message: string;
  readonly type: string;
  readonly param: string | null;
  readonly code: string;
  readonly status: number;
  readonly retry: boolean;
}

/** What stages tell whoever runs the jobs. Implemented in `runtime/job-runner.ts`. */
export interface JobDesk {
  /** There is a job in the queue. */
  wake(): void;
  /** Ends a job that was cancelled, if it runs in this process. */
  end(id: string): void;
}

/** Candidates in the order in which a job had them; those that it did not have come last. */
export function inOrderOf(candidates: readonly JobCandidate[], resolved: readonly Target[]): readonly Target[] {
  const place = ({ entity, model, alias }: Target): number => {
    const found = candidates.findIndex(
      (each) => each.entity === entity.id && each.model === model && each.alias === alias,
    );
    return found < 0 ? candidates.length : found;
  };
  return resolved.toSorted((one, other) => place(one) - place(other));
}
