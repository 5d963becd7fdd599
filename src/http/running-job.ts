import { GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { JobCandidate, JobPlace, JobRequest, RunningJob } from '../pipeline/job.ts';
import type { Target } from '../pipeline/settings.ts';
import type { HeldJob } from './job-exchange.ts';

/** A running job, seen from what runs it. */
export interface TrackedJob extends RunningJob {
  /** Whether somebody else goes on with it: the gateway stops, and it is known where the job is. */
  isParked(): boolean;
}

/** The longest text that a place may take. */
const mostPlaceLength = 64 * 1024;

/**
 * Follows where a job is with its provider, and keeps it.
 * @throws GatewayError upstream_error when it was left with an entity that is not there any more
 */
export function trackJob(
  { job, holder, snapshot, signal, note }: HeldJob,
  request: JobRequest,
  log: Logger,
): TrackedJob {
  const { store } = snapshot.env;
  // Nobody but the gateway has written it.
  const before = job.place === null ? undefined : (JSON.parse(job.place) as JobPlace);
  if (before !== undefined && !snapshot.catalogue.entities.has(before.entity)) throw elsewhere(before);
  let keptText = job.place ?? undefined;
  let carried = before?.reservation;
  /** Whether the provider at which the job is has been asked after it. */
  let isResumed = false;

  async function keep(place: JobPlace | undefined): Promise<void> {
    const text = place === undefined ? undefined : plainText(place);
    if (text === keptText) return;
    try {
      const reservation = place?.reservation;
      if (text !== undefined && reservation !== undefined && reservation !== carried) {
        await store.carryReservation(reservation, job.keptUntilMs);
        carried = reservation;
      }
      await store.placeJob(job.id, holder, text);
      keptText = text;
    } catch (error) {
      // Should another process have to go on, the job has failed then; an old place would be a wrong one.
      if (keptText !== undefined) throw error;
      log.debug('where a job is could not be kept', { error });
    }
  }

  return {
    id: job.id,
    consumer: job.consumer,
    candidates: before === undefined ? request.candidates : placeFirst(before, request.candidates),
    reservation: before?.reservation,
    note,
    resume({ entity, model }: Target) {
      if (before === undefined || isResumed) return undefined;
      // Begun at another provider as well, it would be paid for twice.
      if (before.entity !== entity.id || before.model !== model) throw elsewhere(before);
      return before;
    },
    resumed() {
      isResumed = true;
    },
    keep,
    async adopt(reservation) {
      if (before === undefined) return;
      await keep({ ...before, reservation });
      if (before.reservation !== undefined) await store.release(before.reservation);
    },
    isParked: () => keptText !== undefined && isStopping(signal),
  };
}

/** Whether it is the gateway that gives up, and not whoever has made the job. */
export function isStopping({ aborted, reason }: AbortSignal): boolean {
  return aborted && reason instanceof GatewayError && reason.code === 'overloaded';
}

function placeFirst({ entity, model }: JobPlace, candidates: readonly JobCandidate[]): readonly JobCandidate[] {
  const isThere = (each: JobCandidate): boolean => each.entity === entity && each.model === model;
  return [...candidates.filter(isThere), ...candidates.filter((each) => !isThere(each))];
}

function elsewhere({ entity }: JobPlace): GatewayError {
  const message = `The job was with \`${entity}\`, which cannot be asked after it any more, and may have been billed.`;
  return new GatewayError('upstream_error', message, { retry: false });
}

/** A value as JSON; undefined when that would not be all of it, or too much. */
function plainText(value: unknown): string | undefined {
  if (!isPlain(value)) return undefined;
  const text = JSON.stringify(value);
  return text.length > mostPlaceLength ? undefined : text;
}

function isPlain(value: unknown): boolean {
  if (value === null || value === undefined || typeof value === 'string' || typeof value === 'boolean') return true;
  if (typeof value === 'number') return Number.isFinite(value);
  if (Array.isArray(value)) return value.every(isPlain);
  if (typeof value !== 'object') return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return (prototype === Object.prototype || prototype === null) && Object.values(value).every(isPlain);
}
