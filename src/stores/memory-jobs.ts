import { noCounts, type JobAnswer, type JobRequest } from './job-requests.ts';
import type { Job } from './job-store.ts';

/** Jobs that end with the process, and so never outlive their holders. */
export interface MemoryJobs {
  perform(request: JobRequest): JobAnswer;
  /** Forgets what is over and need not be known any more. */
  forget(): void;
}

interface MemoryJob extends Job {
  readonly holder: string | null;
  readonly notify: boolean;
  readonly noticeDueMs: number | null;
}

const ends: ReadonlySet<Job['state']> = new Set(['succeeded', 'failed', 'cancelled']);
const isOver = ({ state }: Job): boolean => ends.has(state);
const isHeld = ({ state }: Job): boolean => state === 'running' || state === 'sent';

export function createMemoryJobs(now: () => number): MemoryJobs {
  /** In the order of their creation. */
  const jobs = new Map<string, MemoryJob>();

  const all = (): readonly MemoryJob[] => [...jobs.values()];
  const queued = (): readonly MemoryJob[] => all().filter(({ state }) => state === 'queued');

  function change(job: MemoryJob | undefined, members: Partial<MemoryJob>): JobAnswer {
    if (job === undefined) return answerOf(undefined);
    const changed = { ...job, ...members };
    jobs.set(job.id, changed);
    return answerOf(changed);
  }

  function heldBy(id: string, holder: string): MemoryJob | undefined {
    const job = jobs.get(id);
    return job !== undefined && job.holder === holder && isHeld(job) ? job : undefined;
  }

  const dueAt = ({ notify }: MemoryJob): number | null => (notify ? now() : null);

  function perform(request: JobRequest): JobAnswer {
    switch (request.kind) {
      case 'create': {
        if (queued().length >= request.mostQueued) return answerOf(undefined);
        const { id, consumer, request: text, keptUntilMs, notify } = request;
        return change({ ...unborn, id, consumer, request: text, keptUntilMs, notify, createdAtMs: now() }, {});
      }
      case 'claim': {
        const [next] = queued();
        return change(next, { state: 'running', holder: request.holder, startedAtMs: next?.startedAtMs ?? now() });
      }
      case 'send':
        return change(heldBy(request.id, request.holder), { state: 'sent' });
      case 'return':
        return change(
          all().find((job) => isHeld(job) && job.holder === request.holder),
          { state: 'queued', holder: null, progress: null },
        );
      case 'place':
        return change(heldBy(request.id, request.holder), { place: request.place ?? null });
      case 'carry':
        // Nothing here outlives its process.
        return answerOf(undefined);
      case 'progress':
        return change(heldBy(request.id, request.holder), { progress: request.progress });
      case 'held': {
        const asked = new Set(request.holders);
        const holders = all().flatMap((job) => (isHeld(job) && job.holder !== null ? [job.holder] : []));
        return { ...answerOf(undefined), holders: holders.filter((holder) => asked.has(holder)) };
      }
      case 'finish': {
        const job = heldBy(request.id, request.holder);
        const { state, outcome, keptUntilMs } = request;
        return change(job, {
          state,
          outcome,
          keptUntilMs,
          finishedAtMs: now(),
          noticeDueMs: job === undefined ? null : dueAt(job),
        });
      }
      case 'cancel': {
        const job = jobs.get(request.id);
        if (job === undefined || isOver(job)) return answerOf(job);
        const { keptUntilMs } = request;
        return change(job, {
          state: 'cancelled',
          holder: null,
          keptUntilMs,
          finishedAtMs: now(),
          noticeDueMs: dueAt(job),
        });
      }
      case 'read':
        return answerOf(jobs.get(request.id));
      case 'count':
        return {
          ...answerOf(undefined),
          counts: { queued: queued().length, running: all().filter(isHeld).length },
        };
      case 'claim-notice': {
        const due = all().filter(({ noticeDueMs }) => noticeDueMs !== null && noticeDueMs <= now());
        const [next] = due.toSorted((one, other) => Number(one.noticeDueMs) - Number(other.noticeDueMs));
        return change(next, { noticeDueMs: request.againAtMs, noticeTries: (next?.noticeTries ?? 0) + 1 });
      }
      case 'settle-notice': {
        const job = jobs.get(request.id);
        return change(job?.noticeTries === request.tries ? job : undefined, { noticeDueMs: request.againAtMs ?? null });
      }
    }
  }

  return {
    perform,
    forget() {
      const nowMs = now();
      for (const job of all()) if (isOver(job) && job.keptUntilMs <= nowMs) jobs.delete(job.id);
    },
  };
}

const unborn: MemoryJob = {
  id: '',
  consumer: null,
  state: 'queued',
  request: '',
  outcome: null,
  place: null,
  progress: null,
  createdAtMs: 0,
  startedAtMs: null,
  finishedAtMs: null,
  keptUntilMs: 0,
  noticeTries: 0,
  holder: null,
  notify: false,
  noticeDueMs: null,
};

function answerOf(job: MemoryJob | undefined): JobAnswer {
  return { happened: job !== undefined, job: job && shown(job), holders: [], counts: noCounts };
}

function shown({ holder: _holder, notify: _notify, noticeDueMs: _due, ...job }: MemoryJob): Job {
  return job;
}
