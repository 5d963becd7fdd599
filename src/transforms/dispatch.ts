import schema from '../../schemas/stages/dispatch.schema.json' with { type: 'json' };
import { bytesSource, collect } from '../body/byte-source.ts';
import { isEventStream } from '../body/event-stream.ts';
import type { DispatchConfig } from '../generated/stages/dispatch.ts';
import { GatewayError } from '../errors.ts';
import type { ExchangeView } from '../pipeline/exchange.ts';
import type { Visit } from '../pipeline/health.ts';
import { defineStage, type StageEnv } from '../pipeline/stage.ts';
import type { AnsweredPart, PartOutcome, PendingPart, SettledPart, UpstreamPart } from '../pipeline/upstream.ts';
import { keepVisit, timeForTry } from './try-terms.ts';
import { createJobRunner, endFailed, type JobRunner } from './upstream-job.ts';

/**
 * Sends the wire requests, follows the jobs that some providers make of them, and is the only stage that talks to a
 * provider. One deadline, the entity's `timeout`, holds from the first byte sent to the last byte of the answer read:
 * header and body timeouts alone would miss a slow drip.
 */
export const dispatch = defineStage({
  name: 'dispatch',
  schema,
  reads: ['target', 'upstream'],
  writes: ['reply'],
  optional: ['call'],
  create(config: DispatchConfig, env) {
    const runner = createJobRunner(config, env);

    return async function dispatch(exchange) {
      const { target, upstream, call, route } = exchange;
      if (call?.stream === true) exchange.keepAlive(config.ping_interval);
      const preparing = exchange.readyToSend();
      if (preparing !== undefined) await preparing;
      const timeoutMs = Math.min(target.entity.timeoutMs, timeForTry(exchange, env.clock));
      const deadline = startDeadline(exchange.signal, timeoutMs, env.clock);
      exchange.defer(deadline.clear);
      const [only] = upstream;
      if (upstream.length === 1 && only !== undefined) {
        const { answered, visit } = await runner.run(exchange, target, only, deadline.signal, exchange.job);
        keepVisit(exchange, visit);
        // Whatever was not read by then would hold its connection.
        exchange.defer(() => answered.reply.body.cancel());
        return { reply: [answered] };
      }
      const takesOneByOne = call?.stream === true && route.fanout !== 'all_or_nothing';
      const send = takesOneByOne ? sendForStream : sendAll;
      return { reply: await send(exchange, runner, deadline) };
    };
  },
});

type View = ExchangeView<'target' | 'upstream'>;

/**
 * The requests of a call that was fanned out, all at the same time. Their answers are read whole, so that none is lost
 * when the time is up for another.
 * @throws GatewayError the first failure, when the route wants all or nothing, or when there is nothing
 */
async function sendAll(exchange: View, runner: JobRunner, deadline: Deadline): Promise<readonly PartOutcome[]> {
  const { upstream, route, signal } = exchange;
  const isAllOrNothing = route.fanout === 'all_or_nothing';
  const visits: Visit[] = [];
  const sending = upstream.map(async (part): Promise<SettledPart> => {
    const keep = (visit: Visit): void => void visits.push(visit);
    const outcome = await sendPart(part, exchange, runner, { signal: deadline.signal, keepsStreams: false, keep });
    // Requests of the same call that are still under way are of no use any more.
    if (outcome.kind === 'failed' && isAllOrNothing) deadline.abort(outcome.error);
    return outcome;
  });
  const settled = await Promise.allSettled(sending);
  const failed = settled.some((each) => each.status === 'rejected' || each.value.kind === 'failed');
  // What becomes of the call because of another part is not their doing.
  if (failed && isAllOrNothing) for (const visit of visits) visit.end('answered');
  for (const visit of visits) keepVisit(exchange, visit);
  signal.throwIfAborted();
  const outcomes = settled.map((each) => {
    if (each.status === 'rejected') throw each.reason;
    return each.value;
  });
  const failure = outcomes.find((outcome) => outcome.kind === 'failed');
  const succeeded = outcomes.some((outcome) => outcome.kind === 'answered');
  if (failure !== undefined && (!succeeded || isAllOrNothing)) throw failure.error;
  return outcomes;
}

/**
 * As `sendAll`, for a caller who takes the pictures one by one: resolves with the first answer, while the others may be under way.
 * @throws GatewayError the first failure, when there is nothing
 */
async function sendForStream(exchange: View, runner: JobRunner, deadline: Deadline): Promise<readonly PartOutcome[]> {
  const { upstream, signal } = exchange;
  const keep = (visit: Visit): void => keepVisit(exchange, visit);
  const sending = upstream.map((part) =>
    sendPart(part, exchange, runner, { signal: deadline.signal, keepsStreams: true, keep }),
  );
  exchange.defer(async () => {
    deadline.abort(new Error('Nobody waits for this answer any more.'));
    for (const each of await Promise.allSettled(sending)) {
      if (each.status === 'fulfilled' && each.value.kind === 'answered') each.value.reply.body.cancel();
    }
  });
  const answered = sending.map(async (each) => {
    const outcome = await each;
    if (outcome.kind === 'failed') throw outcome.error;
  });
  try {
    await Promise.any(answered);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof AggregateError ? error.errors[0] : error;
  }
  return sending.map((outcome): PendingPart => ({ kind: 'pending', outcome }));
}

interface PartOptions {
  readonly signal: AbortSignal;
  /** Whether an answer in events is left for whoever reads it. */
  readonly keepsStreams: boolean;
  /** Takes the visit of an answer whose worth is yet to be seen. */
  keep(visit: Visit): void;
}

/** @throws whatever is no failure of the provider */
async function sendPart(
  part: UpstreamPart,
  exchange: View,
  runner: JobRunner,
  { signal, keepsStreams, keep }: PartOptions,
): Promise<SettledPart> {
  try {
    const { answered, visit } = await runner.run(exchange, exchange.target, part, signal);
    if (keepsStreams && isEventStream(answered.reply.headers)) {
      keep(visit);
      return answered;
    }
    const bytes = await readReply(answered, visit, signal);
    keep(visit);
    return { ...answered, reply: { ...answered.reply, body: bytesSource(bytes) } };
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    return { kind: 'failed', call: part.call, error };
  }
}

async function readReply({ reply }: AnsweredPart, visit: Visit, signal: AbortSignal): Promise<Uint8Array> {
  try {
    const bytes = await collect(reply.body);
    // Other parts of the call may be waiting for the place.
    visit.leave();
    return bytes;
  } catch (error) {
    reply.body.cancel();
    throw endFailed(visit, error, signal);
  }
}

interface Deadline {
  readonly signal: AbortSignal;
  abort(reason: unknown): void;
  clear(): void;
}

/** A signal that follows the exchange's, and is aborted as well when the time is up. */
function startDeadline(parent: AbortSignal, timeoutMs: number, clock: StageEnv['clock']): Deadline {
  const controller = new AbortController();
  const follow = (): void => controller.abort(parent.reason);
  if (parent.aborted) follow();
  parent.addEventListener('abort', follow, { once: true });
  const timer = clock.timer(timeoutMs, () =>
    controller.abort(
      new GatewayError('upstream_timeout', `The provider did not answer within ${timeoutMs / 1000} seconds.`),
    ),
  );
  return {
    signal: controller.signal,
    abort: (reason) => controller.abort(reason),
    clear() {
      timer.cancel();
      parent.removeEventListener('abort', follow);
    },
  };
}
