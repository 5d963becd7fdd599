import { randomUUID } from 'node:crypto';
import { reasonOf } from '../budget/persist.ts';
import { GatewayError } from '../errors.ts';
import type { RunJob } from '../http/job-exchange.ts';
import type { Logger } from '../log.ts';
import type { JobDesk } from '../pipeline/job.ts';
import type { Clock } from '../pipeline/stage.ts';
import type { Job } from '../stores/job-store.ts';
import type { Store } from '../stores/store.ts';
import type { Snapshot } from './compile.ts';
import { createFilling } from './filling.ts';
import { createJobDebts } from './job-debts.ts';
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
  const debts = createJobDebts(log);
  let stopped = true;
  let timer: { cancel(): void } | undefined;
  const { fill, underWay: filling } = createFilling(begin);

  /** Begins one job; false when there is none, or no room. */
  async function begin(): Promise<boolean> {
    if (stopped) return false;
    const lease = snapshots.acquire();
    const { env, catalogue } = lease.value;
    const holder = randomUUID();
    let job: Job | undefined;
    try {
      // While the state is away, each claim would be one more that may have happened.
      const hasRoom = running.size < catalogue.jobs.concurrency && !debts.isOwed(env.store);
      if (hasRoom) job = await env.store.claimJob(holder);
    } catch (error) {
      log.debug('no job could be taken', reasonOf(error));
      const { store } = env;
      debts.owe(holder, { store, write: () => store.returnJob(holder), fields: { outcome: 'queued' } });
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
        await debts.settle(holder, {
          store,
          write,
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

  async function payDebts(): Promise<void> {
    const lease = snapshots.acquire();
    await debts.pay(lease.value.env.store).finally(lease.release);
  }

  async function look(): Promise<void> {
    await payDebts();
    for (const [store, jobs] of Map.groupBy(running, ([, { store }]) => store)) {
      await lookAt(store, jobs)
        // The upkeep of the state says what is wrong with it.
        .catch((error: unknown) => log.debug('jobs could not be looked at', reasonOf(error)));
    }
  }

  async function lookAt(store: Store, jobs: readonly (readonly [string, Running])[]): Promise<void> {
    const held = new Set(await store.heldJobs(jobs.map(([holder]) => holder)));
    for (const [holder, { job, ending, progress }] of jobs) {
      if (!held.has(holder)) await letGo(job.id, store, ending);
      else if (progress !== undefined) await store.noteJobProgress(job.id, holder, progress);
    }
  }

  function lookAgain(): void {
    timer = clock.timer(lookEveryMs, () => {
      void look().finally(() => {
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
      await filling();
      while (running.size > 0) await Promise.all(Array.from(running.values(), ({ over }) => over));
      timer?.cancel();
      await payDebts();
    },
  };
}

/** Of a job that is not held any more: ends it when it was cancelled, and leaves it to whoever has it otherwise. */
async function letGo(id: string, store: Store, ending: AbortController): Promise<void> {
  const job = await store.readJob(id);
  const isElsewhere = job?.state === 'queued' || job?.state === 'running' || job?.state === 'sent';
  // Who was taken for gone too early goes on, and its end is taken: the call is paid for.
  const isAwaited = job?.state === 'failed' && job.outcome === null;
  if (isElsewhere) ending.abort(new GatewayError('overloaded', 'Another process has taken the job.'));
  else if (!isAwaited) giveUp(ending);
}

function giveUp(ending: AbortController): void {
  ending.abort(new GatewayError('client_closed_request', 'The job was cancelled.'));
}
