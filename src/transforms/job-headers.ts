import type { Job } from '../stores/job-store.ts';

/** Seconds after which it is worth asking after a job again: the older it is, the longer it may still take. */
const shortestSeconds = 1;
const longestSeconds = 10;

/** What goes with what is told of a job. It changes, and is for its owner alone. */
export function jobHeaders({ state, createdAtMs }: Job, nowMs: number): Record<string, string> {
  const isUnderWay = state === 'queued' || state === 'running' || state === 'sent';
  const seconds = Math.ceil((nowMs - createdAtMs) / 10_000);
  return {
    'cache-control': 'private, no-store',
    ...(isUnderWay ? { 'retry-after': String(Math.min(Math.max(seconds, shortestSeconds), longestSeconds)) } : {}),
  };
}
