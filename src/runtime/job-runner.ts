import { randomUUID } from 'node:crypto';
import { persist, reasonOf } from '../budget/persist.ts';
import { GatewayError } from '../errors.ts';
import type { RunJob } from '../http/job-exchange.ts';
import type { Logger } from '../log.ts';
import type { JobDesk } from '../pipeline/job.ts';
import type { Clock } from '../pipeline/stage.ts';
import type { Job } from '../stores/job-store.ts';
import type { Store } from '../stores/store.ts';
import type { Snapshot } from './compile.ts';
import type { Lease, SnapshotHolder } from './snapshot.ts';

export interface JobRunnerOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly snapshots: Pick<SnapshotHolder<Snapshot>, 'acquire'>;
  readonly run: RunJob;
  /** Aborted when the gateway has waited long enough for what is under way. */
  readonly shutdown: AbortSignal;
  /** Called when a job is over. */
  onEnd(): void;
}

/** Runs the jobs of the state that is in force, a few at a time, for as long as the gateway takes requests. */
export interface JobRunner extends JobDesk {
  start(): void;
  /** Begins no further job. */
  stop(): void;
  /** Resolves when no job is under way. */
  idle(): Promise<void>;
}

/** Milliseconds between two looks at the queue, which others fill as well, and at what has become of the jobs under way. */
const lookEveryMs = 2_000;

interface Running {
  readonly job: Job;
  readonly store: Store;
  readonly ending: AbortController;
  progress: number | undefined;
  readonly over: Promise<void>;
}

export function createJobRunner({ clock, log, snapshots, run, shutdown, onEnd }: JobRunnerOptions): JobRunner {
  /** By holder. */
  const running = new Map<string, Running>();
  /** Holders whose claim may have happened, though nobody was told so, with what it was made in. */
  const unsure = new Map<string, Store>();
  let stopped = true;
  let timer: { cancel(): void } | undefined;
  let filling: Promise<void> | undefined;
  let wanted = false;

  /** Begins jobs until there are none, or enough. */
  function fill(): void {
    wanted = true;
    if (stopped) return;
    filling ??= fillUp().finally(() => {
      filling = undefined;
      // Somebody may have asked for it in the last moment.
      if (wanted) fill();
    });
  }

  async function fillUp(): Promise<void> {
    wanted = false;
    while (await begin());
  }

  /** Begins one job; false when there is none, or no room. */
  async function begin(): Promise<boolean> {
    if (stopped) return false;
    const lease = snapshots.acquire();
    const { env, catalogue } = lease.value;
    const holder = randomUUID();
    let job: Job | undefined;
    try {
      if (running.size < catalogue.jobs.concurrency) job = await env.store.claimJob(holder);
    } catch (error) {
      log.debug('no job could be taken', reasonOf(error));
      unsure.set(holder, env.store);
    }
    if (job === undefined) {
      lease.release();
      return false;
    }
    hold(job, holder, lease);
    return true;
  }

  function hold(job: Job, holder: string, lease: Lease<Snapshot>): void {
    const { store } = lease.value.env;
    const ending = new AbortController();
    const stop = (): void => ending.abort(new GatewayError('overloaded', 'The gateway is shutting down.'));
    shutdown.addEventListener('abort', stop, { once: true });
    // The gateway may have begun to stop while the job was being taken.
    if (stopped || shutdown.aborted) stop();
    const mine: Running = {
      job,
      store,
      ending,
      progress: undefined,
      over: conclude().catch((error: unknown) => log.error('a job could not be ended', { job: job.id, error })),
    };
    running.set(holder, mine);

    async function conclude(): Promise<void> {
      try {
        // The record of it has to be there first.
        await Promise.resolve();
        const { signal } = ending;
        const note = (progress: number): void => void (mine.progress = progress);
        const result = await run({ job, holder, snapshot: lease.value, signal, note });
        const write =
          result.kind === 'open' ? () => store.returnJob(holder) : () => store.finishJob(job.id, holder, result.end);
        await persist(write, {
          clock,
          log,
          failure: 'what has become of a job could not be written down',
          success: 'what has become of a job was written down late',
          fields: { job: job.id, outcome: result.kind === 'open' ? 'queued' : result.end.state },
        });
      } finally {
        shutdown.removeEventListener('abort', stop);
        running.delete(holder);
        lease.release();
        onEnd();
        fill();
      }
    }
  }

  async function look(): Promise<void> {
    for (const [holder, store] of unsure) {
      await store.returnJob(holder);
      unsure.delete(holder);
    }
    const byStore = Map.groupBy(running, ([, { store }]) => store);
    for (const [store, jobs] of byStore) {
      const held = new Set(await store.heldJobs(jobs.map(([holder]) => holder)));
      for (const [holder, { job, ending, progress }] of jobs) {
        if (!held.has(holder)) giveUp(ending);
        else if (progress !== undefined) await store.noteJobProgress(job.id, holder, progress);
      }
    }
  }

  function lookAgain(): void {
    timer = clock.timer(lookEveryMs, () => {
      void look()
        // The upkeep of the state says what is wrong with it.
        .catch((error: unknown) => log.debug('jobs could not be looked at', reasonOf(error)))
        .finally(() => {
          fill();
          if (!stopped || running.size > 0) lookAgain();
        });
    });
  }

  return {
    wake: fill,
    end(id) {
      for (const { job, ending } of running.values()) if (job.id === id) giveUp(ending);
    },
    start() {
      stopped = false;
      fill();
      lookAgain();
    },
    stop() {
      stopped = true;
      if (running.size === 0) timer?.cancel();
    },
    async idle() {
      await filling;
      while (running.size > 0) await Promise.all(Array.from(running.values(), ({ over }) => over));
      timer?.cancel();
    },
  };
}

function giveUp(ending: AbortController): void {
  ending.abort(new GatewayError('client_closed_request', 'The job was cancelled.'));
}
