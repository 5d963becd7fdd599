/** A job's call: the request that was kept is made again as an exchange of its own, for which nobody waits. */
import type { Blob } from '../blobs/blob-store.ts';
import { readToEnd } from '../body/byte-source.ts';
import { recordCall } from '../budget/record.ts';
import { GatewayError, toGatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { ExchangeEnd } from '../pipeline/exchange.ts';
import { jobError } from '../pipeline/job-document.ts';
import type { JobOutcome, JobRequest } from '../pipeline/job.ts';
import type { BodyResponse } from '../pipeline/response.ts';
import { runStages } from '../pipeline/run.ts';
import type { Clock } from '../pipeline/stage.ts';
import type { CompiledRoute, Snapshot } from '../runtime/compile.ts';
import type { Job, JobEnd } from '../stores/job-store.ts';
import { createAnswerRecording, type AnswerRecording } from '../transforms/answer-recording.ts';
import { keepAnswer, withDeadline } from '../transforms/kept-answer.ts';
import { errorResponse } from './reply.ts';
import { openRequest, replayed } from './job-request.ts';
import { openExchange, splitTarget, type OpenExchange } from './exchange.ts';
import { endUnbegun, isStopping, trackJob } from './running-job.ts';
import { bodyOf } from './answer-body.ts';
import { answerHeaders } from './answer-headers.ts';
import { accessFields, errorOf, failedEnd } from './exchange-end.ts';

/** A job that is somebody's to run. */
export interface HeldJob {
  readonly job: Job;
  /** By whom the store knows who has it. */
  readonly holder: string;
  /** What is in force for it, to its end. */
  readonly snapshot: Snapshot;
  /** Aborted when the job is cancelled or lost, and when the gateway stops waiting; its reason is a GatewayError. */
  readonly signal: AbortSignal;
  /** Takes how far it is, from 0 to 1. */
  note(progress: number): void;
}

export type JobResult =
  | { readonly kind: 'over'; readonly end: JobEnd }
  /** Nothing was sent, and not because of the job, or it is known where it is: somebody else may go on with it. */
  | { readonly kind: 'open' };

/** Runs a job. Never rejects: whatever goes wrong is its end. */
export type RunJob = (held: HeldJob) => Promise<JobResult>;

export function createJobExchange({ clock, log }: { readonly clock: Clock; readonly log: Logger }): RunJob {
  return async function runJob(held) {
    const { job, snapshot } = held;
    // Nobody but the gateway has written it.
    const request = JSON.parse(job.request) as JobRequest;
    const jobLog = log.child({ request_id: request.requestId, route: request.route, job: job.id });
    const found = snapshot.routes.find(({ route }) => route.id === request.route);
    try {
      if (found === undefined)
        throw new GatewayError('route_not_found', 'The route of this job is not there any more.');
      const body = await openRequest(request, snapshot.env.answers, held.signal);
      try {
        return await serve(held, request, found, { body, log: jobLog, clock });
      } finally {
        await body.close();
      }
    } catch (error) {
      if (isStopping(held.signal)) return { kind: 'open' };
      const fault = toGatewayError(held.signal.aborted ? held.signal.reason : error);
      jobLog[fault.code === 'internal_error' ? 'error' : 'warn']('a job could not be begun', { error });
      await endUnbegun(held, jobLog, clock);
      await snapshot.env.answers.remove(request.body).catch(() => undefined);
      return failed(fault, held, clock);
    }
  };
}

interface Surroundings {
  readonly body: Blob;
  readonly log: Logger;
  readonly clock: Clock;
}

async function serve(
  held: HeldJob,
  request: JobRequest,
  compiled: CompiledRoute,
  { body, log, clock }: Surroundings,
): Promise<JobResult> {
  const { job, holder, snapshot } = held;
  const { jobs } = snapshot.catalogue;
  const { env } = snapshot;
  const startedAtMs = clock.monotonic();
  const { path } = request;
  const tracked = trackJob(held, request, { log, clock });
  const deadline = startDeadline(held.signal, jobs.timeoutMs, clock);
  const opened = openExchange({
    id: request.requestId,
    startedAtMs: clock.now(),
    route: { ...compiled.route, timeoutMs: jobs.timeoutMs },
    ...replayed(request, body),
    signal: deadline.signal,
    log,
    keepAlive: () => undefined,
    outliveClient: () => undefined,
    job: tracked,
  });
  const { exchange } = opened;
  // Registered first, so that it runs when all stages are done.
  exchange.defer((end) => (tracked.isSettledElsewhere() ? undefined : recordCall(exchange, end, env)));
  let unsent: unknown;
  exchange.beforeSending(async () => {
    try {
      if (await env.store.sendJob(job.id, holder)) return;
    } catch (error) {
      unsent = error;
      throw error;
    }
    throw new GatewayError('client_closed_request', 'The job is somebody else’s by now.');
  });
  const recording = createAnswerRecording({
    ...env.spool,
    maxBytes: jobs.maxAnswerBytes,
    error: (error) => error,
  });
  try {
    const answered = await answer(opened, compiled, recording, { snapshot, startedAtMs, clock });
    const wasSent = exchange.attempts.some(({ sent }) => sent);
    const mayGoBack = tracked.isParked() || (!wasSent && (isStopping(held.signal) || unsent !== undefined));
    const { end, outcome } = mayGoBack ? answered : await kept(answered, recording, held, clock);
    if (!mayGoBack) await tracked.end();
    await opened.finish(end);
    if (!mayGoBack) await env.answers.remove(request.body).catch(() => undefined);
    const state = 'error' in outcome ? 'failed' : 'succeeded';
    log.info('job', {
      state: mayGoBack ? 'queued' : end.kind === 'aborted' ? 'cancelled' : state,
      path: splitTarget(path).path,
      status: end.status,
      duration_ms: Math.round(clock.monotonic() - startedAtMs),
      waited_ms: Math.max(0, (job.startedAtMs ?? 0) - job.createdAtMs),
      ...accessFields(exchange, end),
    });
    if (mayGoBack) return { kind: 'open' };
    return { kind: 'over', end: { state, outcome: JSON.stringify(outcome), keptUntilMs: clock.now() + jobs.keptMs } };
  } finally {
    deadline.cancel();
    await recording.discard();
  }
}

interface Answered {
  readonly end: ExchangeEnd;
  /** Of an answer: what is to be kept of it is in the recording. */
  readonly outcome: JobOutcome;
}

/** Runs the stages that are the job's to run, and reads their answer to its end. */
async function answer(
  { exchange, recorder }: OpenExchange,
  { stages }: CompiledRoute,
  recording: AnswerRecording,
  {
    snapshot,
    startedAtMs,
    clock,
  }: { readonly snapshot: Snapshot; readonly startedAtMs: number; readonly clock: Clock },
): Promise<Answered> {
  const made = stages.findIndex(({ keepsBody }) => keepsBody !== undefined);
  const due = stages.filter(({ writes }, index) => index > made || writes.length > 0);
  try {
    await runStages(due, exchange, clock.monotonic);
    const { response } = exchange;
    if (response === undefined || response.kind === 'taken') {
      throw new GatewayError('internal_error', 'The pipeline gave no answer that could be kept.');
    }
    const pinger = { everyMs: undefined, hasBegun: false };
    const body: BodyResponse =
      response.kind === 'body' ? response : await bodyOf(exchange, { snapshot, startedAtMs, pinger, clock });
    const headers = answerHeaders(exchange);
    const written = recording.answer(recorder()?.answer(body, headers) ?? body, headers);
    if (!(written.body instanceof Uint8Array)) await readToEnd(written.body);
    const failure = written.failure?.();
    if (failure !== undefined) throw toGatewayError(failure);
    if (written.status >= 400)
      throw new GatewayError('upstream_error', `The call was answered with status ${written.status}.`, {
        status: written.status,
      });
    const end = { kind: 'answered', status: written.status, error: undefined } as const;
    return { end, outcome: { status: written.status, headers: {}, body: { text: '' } } };
  } catch (thrown) {
    const fault = errorOf(exchange, thrown);
    const error = onceOnly(
      recorder()?.error(fault) ?? fault,
      exchange.attempts.some(({ sent }) => sent),
    );
    // Others may wait for the same answer.
    recorder()?.answer(errorResponse(error), answerHeaders(exchange));
    return { end: failedEnd(exchange, error, thrown), outcome: { error: jobError(error) } };
  }
}

/** A gateway that stops does not know what has become of what it has sent, so that a caller must not be told to try again. */
function onceOnly(error: GatewayError, wasSent: boolean): GatewayError {
  if (!wasSent || error.code !== 'overloaded' || !error.retry) return error;
  const message = `${error.message} The call was with the provider, which may have made the picture and billed it.`;
  return new GatewayError(error.code, message, { retry: false, cause: error.cause });
}

/** Keeps the answer that was recorded. */
async function kept(
  answered: Answered,
  recording: AnswerRecording,
  { snapshot }: HeldJob,
  clock: Clock,
): Promise<Answered> {
  if ('error' in answered.outcome) return answered;
  const { env, catalogue } = snapshot;
  const keptUntilMs = clock.now() + catalogue.jobs.keptMs;
  try {
    const recorded = await recording.finish();
    if (recorded.kind === 'nothing') throw new Error('there was no answer');
    if (recorded.kind === 'unkept') throw recorded.cause;
    const outcome = await withDeadline(env, (signal) => keepAnswer(recorded, env.answers, { keptUntilMs, signal }));
    return { ...answered, outcome };
  } catch (cause) {
    const message = 'The picture was made, but its answer could not be kept.';
    const error = new GatewayError('overloaded', message, { retry: false, cause });
    return { end: { kind: 'failed', status: error.status, error }, outcome: { error: jobError(error) } };
  }
}

function failed(error: GatewayError, { snapshot }: HeldJob, clock: Clock): JobResult {
  const outcome: JobOutcome = { error: jobError(error) };
  const keptUntilMs = clock.now() + snapshot.catalogue.jobs.keptMs;
  return { kind: 'over', end: { state: 'failed', outcome: JSON.stringify(outcome), keptUntilMs } };
}

function startDeadline(
  parent: AbortSignal,
  timeoutMs: number,
  clock: Clock,
): { readonly signal: AbortSignal; cancel(): void } {
  const late = new AbortController();
  const timer = clock.timer(timeoutMs, () =>
    late.abort(new GatewayError('upstream_timeout', `The job took longer than ${timeoutMs / 1000} seconds.`)),
  );
  return { signal: AbortSignal.any([parent, late.signal]), cancel: timer.cancel };
}
