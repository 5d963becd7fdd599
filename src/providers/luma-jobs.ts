import type { GatewayError } from '../errors.ts';
import type { UpstreamReply, WireRequest } from '../pipeline/upstream.ts';
import { invalidAnswer, keepReply, readObject, text, type Members } from './answers.ts';
import type { Asked, PollOutcome } from './provider.ts';
import { getJson } from './requests.ts';

/** What differs between the jobs of Luma's two APIs. */
export interface LumaJobs {
  /** Where a job is looked at; its id is put behind it. */
  readonly url: string;
  /** The states in which it goes on. */
  readonly running: readonly string[];
  /** What a job that has failed means. */
  failure(job: Members): GatewayError;
  /** The request that gives up the job at this address, where there is such a thing. */
  cancel?(url: string): WireRequest;
}

/** Looks at a job until it is `completed` or `failed`. */
export async function pollLumaJob(reply: UpstreamReply, { request }: Asked, jobs: LumaJobs): Promise<PollOutcome> {
  const kept = await keepReply(reply);
  const job = await readObject(kept.reply());
  const state = text(job['state']);
  if (state === 'completed') return { kind: 'done', reply: kept.reply() };
  if (state === 'failed') throw jobs.failure(job);
  if (state === undefined || !jobs.running.includes(state)) throw invalidAnswer('it names no state of a job');
  const url = request.method === 'GET' ? request.url : `${jobs.url}/${idOf(job)}`;
  return { kind: 'again', request: getJson(url), cancel: jobs.cancel?.(url) };
}

function idOf(job: Members): string {
  const id = text(job['id']);
  if (id === undefined || !/^[\w-]+$/.test(id)) throw invalidAnswer('it names no job that could be asked for');
  return id;
}
