/** What is asked of a store's table of jobs, as plain data, so that it can be sent to a thread. */
import type { Job, JobCounts, JobEnd, JobStore, NewJob } from './job-store.ts';

export type JobRequest =
  | ({ readonly kind: 'create'; readonly id: string } & NewJob)
  | { readonly kind: 'claim'; readonly holder: string }
  | { readonly kind: 'send'; readonly id: string; readonly holder: string }
  | { readonly kind: 'return'; readonly holder: string }
  | { readonly kind: 'place'; readonly id: string; readonly holder: string; readonly place: string | undefined }
  /** @param id that of a reservation */
  | { readonly kind: 'carry'; readonly id: string; readonly heldUntilMs: number }
  | { readonly kind: 'progress'; readonly id: string; readonly holder: string; readonly progress: number }
  | { readonly kind: 'held'; readonly holders: readonly string[] }
  | ({ readonly kind: 'finish'; readonly id: string; readonly holder: string } & JobEnd)
  | { readonly kind: 'cancel'; readonly id: string; readonly keptUntilMs: number }
  | { readonly kind: 'read'; readonly id: string }
  | { readonly kind: 'count' }
  | { readonly kind: 'claim-notice'; readonly againAtMs: number }
  | {
      readonly kind: 'settle-notice';
      readonly id: string;
      readonly tries: number;
      readonly againAtMs: number | undefined;
    };

export interface JobAnswer {
  /** Of `create` and `send`: whether it has happened. */
  readonly happened: boolean;
  readonly job: Job | undefined;
  readonly holders: readonly string[];
  readonly counts: JobCounts;
}

/** How often a job is taken at most: one that ends its process each time is not to end all that come after. */
export const mostClaims = 5;

export const noCounts: JobCounts = { queued: 0, running: 0 };

/** @param ask throws GatewayError overloaded */
export function jobMethods(ask: (request: JobRequest) => Promise<JobAnswer>): JobStore {
  return {
    createJob: async (id, job) => (await ask({ ...job, kind: 'create', id })).happened,
    claimJob: async (holder) => (await ask({ kind: 'claim', holder })).job,
    sendJob: async (id, holder) => (await ask({ kind: 'send', id, holder })).happened,
    async returnJob(holder) {
      await ask({ kind: 'return', holder });
    },
    async placeJob(id, holder, place) {
      await ask({ kind: 'place', id, holder, place });
    },
    async carryReservation(id, heldUntilMs) {
      await ask({ kind: 'carry', id, heldUntilMs });
    },
    async noteJobProgress(id, holder, progress) {
      await ask({ kind: 'progress', id, holder, progress });
    },
    async heldJobs(holders) {
      return holders.length === 0 ? [] : (await ask({ kind: 'held', holders })).holders;
    },
    async finishJob(id, holder, end) {
      await ask({ ...end, kind: 'finish', id, holder });
    },
    cancelJob: async (id, keptUntilMs) => (await ask({ kind: 'cancel', id, keptUntilMs })).job,
    readJob: async (id) => (await ask({ kind: 'read', id })).job,
    countJobs: async () => (await ask({ kind: 'count' })).counts,
    claimJobNotice: async (againAtMs) => (await ask({ kind: 'claim-notice', againAtMs })).job,
    async settleJobNotice(id, tries, againAtMs) {
      await ask({ kind: 'settle-notice', id, tries, againAtMs });
    },
  };
}
