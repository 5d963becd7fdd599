import { errorObject, GatewayError } from '../errors.ts';
import type { Job } from '../stores/job-store.ts';
import type { JobError, JobOutcome } from './job.ts';

/** What is told of a job, but for its result. Moments are seconds since 1970, as OpenAI has them. */
export interface JobDocument {
  readonly id: string;
  readonly object: 'image.job';
  readonly status: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';
  readonly created_at: number;
  readonly started_at: number | null;
  readonly finished_at: number | null;
  /** From 0 to 1; absent where nobody knows. */
  readonly progress?: number;
  /** Of a job that has failed. */
  readonly error?: JobError;
}

export function jobDocument(job: Job): JobDocument {
  const { id, state, progress, createdAtMs, startedAtMs, finishedAtMs } = job;
  return {
    id,
    object: 'image.job',
    status: state === 'sent' ? 'running' : state,
    created_at: seconds(createdAtMs),
    started_at: startedAtMs === null ? null : seconds(startedAtMs),
    finished_at: finishedAtMs === null ? null : seconds(finishedAtMs),
    ...(progress === null || !isHeld(job) ? {} : { progress }),
    ...(state === 'failed' ? { error: errorOf(job) } : {}),
  };
}

/** An error as it is kept. */
export function jobError(error: GatewayError): JobError {
  return { ...errorObject(error), status: error.status, retry: error.retry };
}

/** Undefined when there is none. */
export function outcomeOf({ outcome }: Job): JobOutcome | undefined {
  // Nobody but the gateway has written it.
  return outcome === null ? undefined : (JSON.parse(outcome) as JobOutcome);
}

function errorOf(job: Job): JobError {
  const outcome = outcomeOf(job);
  return outcome !== undefined && 'error' in outcome ? outcome.error : jobError(lost());
}

/** Of a job that nobody has ended. */
function lost(): GatewayError {
  const message =
    'The gateway was cut off while the call was with the provider, which may have made the picture and billed it. ' +
    'It is not made again by itself.';
  return new GatewayError('upstream_error', message, { retry: false });
}

const isHeld = ({ state }: Job): boolean => state === 'running' || state === 'sent';

const seconds = (milliseconds: number): number => Math.floor(milliseconds / 1000);
