import type { JobPlace } from '../pipeline/job.ts';
import type { Job, JobStore } from '../stores/job-store.ts';

/** Where a job was left with a provider; undefined: nowhere. */
export function placeOf({ place }: Job): JobPlace | undefined {
  // Nobody but the gateway has written it.
  return place === null ? undefined : (JSON.parse(place) as JobPlace);
}

/**
 * Has a job charged at its estimate that was left with a provider, and is over without having been gone on with: the picture
 * may have been made.
 * @throws GatewayError overloaded
 */
export async function chargeLeft(job: Job, store: JobStore, nowMs: number): Promise<void> {
  const { reservation } = placeOf(job) ?? {};
  if (reservation !== undefined) await store.carryReservation(reservation, nowMs);
}
