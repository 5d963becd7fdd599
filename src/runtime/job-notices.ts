import type { Logger } from '../log.ts';
import { jobDocument } from '../pipeline/job-document.ts';
import type { JobWebhook } from '../pipeline/settings.ts';
import { ServiceFailure, type Clock, type Service, type ServiceConnector } from '../pipeline/stage.ts';
import type { WireJson } from '../pipeline/upstream.ts';
import type { Job } from '../stores/job-store.ts';
import type { Store } from '../stores/store.ts';
import type { Snapshot } from './compile.ts';
import { createFilling } from './filling.ts';
import type { SnapshotHolder } from './snapshot.ts';

export interface JobNoticesOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly services: ServiceConnector;
  readonly snapshots: Pick<SnapshotHolder<Snapshot>, 'acquire'>;
  /** A number from 0 up to but not including 1. */
  random(): number;
}

/**
 * Tells the file's webhook of jobs that are over. What is to be told, and how often it was tried, is in the state: so it is
 * told at least once, whatever becomes of this process.
 */
export interface JobNotices {
  start(): void;
  /** There may be something to tell. */
  wake(): void;
  /** Breaks off what is under way, after so many milliseconds; it is due again then. */
  close(graceMs: number): Promise<void>;
}

const lookEveryMs = 2_000;
/** The pause after the first try; each further one is four times as long, up to the longest. */
const firstPauseMs = 1_000;
const longestPauseMs = 3_600_000;
/** Milliseconds for writing down what has become of a try, before somebody else makes it again. */
const settleMs = 30_000;
const atOnce = 4;

export function createJobNotices({ clock, log, services, snapshots, random }: JobNoticesOptions): JobNotices {
  const end = new AbortController();
  const underWay = new Set<Promise<void>>();
  const connections = new Map<string, Service>();
  let timer: { cancel(): void } | undefined;
  const { fill, underWay: filling } = createFilling(begin);
  let stopped = true;

  /** Begins to tell of one job; false when there is none to tell of, or nobody to tell. */
  async function begin(): Promise<boolean> {
    if (stopped || end.signal.aborted || underWay.size >= atOnce) return false;
    const lease = snapshots.acquire();
    const { env, catalogue } = lease.value;
    const { webhook } = catalogue.jobs;
    const job =
      webhook &&
      (await env.store
        .claimJobNotice(clock.now() + webhook.timeoutMs + settleMs)
        // The upkeep of the state says what is wrong with it.
        .catch(() => undefined));
    if (webhook === undefined || job === undefined) {
      lease.release();
      return false;
    }
    const telling = tell(job, webhook, env.store)
      .catch((error: unknown) =>
        log.warn('what has become of a notice could not be written down', { job: job.id, error }),
      )
      .finally(() => {
        lease.release();
        underWay.delete(telling);
        fill();
      });
    underWay.add(telling);
    return true;
  }

  async function tell(job: Job, webhook: JobWebhook, store: Store): Promise<void> {
    const { id, noticeTries: tries } = job;
    try {
      await send(job, webhook);
      await store.settleJobNotice(id, tries, undefined);
    } catch (error) {
      if (end.signal.aborted) {
        await store.settleJobNotice(id, tries, clock.now());
        return;
      }
      const isLast = tries >= webhook.tries;
      const pauseMs = Math.min(firstPauseMs * 4 ** (tries - 1), longestPauseMs) * (0.5 + random());
      log[isLast ? 'error' : 'warn'](
        isLast ? 'nobody was told of a job' : 'nobody could be told of a job, trying again',
        { job: id, tried: tries, ...(error instanceof ServiceFailure ? { reason: error.message } : { error }) },
      );
      await store.settleJobNotice(id, tries, isLast ? undefined : clock.now() + pauseMs);
      if (!isLast) clock.timer(pauseMs, fill);
    }
  }

  async function send(job: Job, { url, headers, secret, timeoutMs }: JobWebhook): Promise<void> {
    const { origin } = new URL(url);
    const service = connections.get(origin) ?? services.connect(origin);
    connections.set(origin, service);
    const late = new AbortController();
    const timeout = clock.timer(timeoutMs, () => late.abort(new ServiceFailure('the service did not answer in time')));
    try {
      await service.tell(
        {
          url,
          headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, value.reveal()])),
          body: noticeOf(job),
          signature: secret && { secret, id: `msg_${job.id}`, timestamp: Math.floor(clock.now() / 1000) },
        },
        AbortSignal.any([late.signal, end.signal]),
      );
    } finally {
      timeout.cancel();
    }
  }

  function lookAgain(): void {
    timer = clock.timer(lookEveryMs, () => {
      fill();
      lookAgain();
    });
  }

  return {
    start() {
      stopped = false;
      fill();
      lookAgain();
    },
    wake: fill,
    async close(graceMs) {
      timer?.cancel();
      // What is over already is told of in what time there is.
      const giveUp = clock.timer(graceMs, () => end.abort(new ServiceFailure('the gateway is stopping')));
      const isBusy = (): boolean => filling() !== undefined || underWay.size > 0;
      while (isBusy()) await Promise.all([filling(), ...underWay]);
      stopped = true;
      giveUp.cancel();
      await Promise.all(Array.from(connections.values(), (service) => service.close()));
    },
  };
}

/** The job as it is told of: everything but its pictures. */
function noticeOf(job: Job): WireJson {
  const { error, progress: _progress, ...data } = jobDocument(job);
  return {
    id: `msg_${job.id}`,
    object: 'event',
    type: `image.job.${data.status}`,
    created_at: data.finished_at,
    data: { ...data, ...(error === undefined ? {} : { error: { ...error } }) },
  };
}
