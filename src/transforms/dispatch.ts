import schema from '../../schemas/stages/dispatch.schema.json' with { type: 'json' };
import { bytesSource, collect } from '../body/byte-source.ts';
import type { DispatchConfig } from '../generated/stages/dispatch.ts';
import { GatewayError } from '../errors.ts';
import type { ExchangeView } from '../pipeline/exchange.ts';
import { defineStage, type StageEnv } from '../pipeline/stage.ts';
import type { AnsweredPart, PartOutcome, UpstreamPart } from '../pipeline/upstream.ts';
import { timeForTry } from './try-terms.ts';
import { createJobRunner, type JobRunner } from './upstream-job.ts';

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
  create(config: DispatchConfig, env) {
    const runner = createJobRunner(config, env);

    return async function dispatch(exchange) {
      const { target, upstream } = exchange;
      const preparing = exchange.readyToSend();
      if (preparing !== undefined) await preparing;
      const timeoutMs = Math.min(target.entity.timeoutMs, timeForTry(exchange, env.clock));
      const deadline = startDeadline(exchange.signal, timeoutMs, env.clock);
      exchange.defer(deadline.clear);
      const [only] = upstream;
      if (upstream.length === 1 && only !== undefined) {
        const answered = await runner.run(exchange, target, only, deadline.signal);
        // Whatever was not read by then would hold its connection.
        exchange.defer(() => answered.reply.body.cancel());
        return { reply: [answered] };
      }
      return { reply: await sendAll(exchange, runner, deadline) };
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
  const { target, upstream, route, signal } = exchange;
  const sendOne = async (part: UpstreamPart): Promise<AnsweredPart> => {
    try {
      const answered = await runner.run(exchange, target, part, deadline.signal);
      const bytes = await readReply(answered, deadline.signal);
      return { ...answered, reply: { ...answered.reply, body: bytesSource(bytes) } };
    } catch (error) {
      // Requests of the same call that are still under way are of no use any more.
      if (route.fanout === 'all_or_nothing') deadline.abort(error);
      throw error;
    }
  };
  const settled = await Promise.allSettled(upstream.map(sendOne));
  signal.throwIfAborted();
  const outcomes = settled.map((outcome, index): PartOutcome => {
    if (outcome.status === 'fulfilled') return outcome.value;
    const error: unknown = outcome.reason;
    const part = upstream[index];
    if (!(error instanceof GatewayError) || part === undefined) throw error;
    return { kind: 'failed', call: part.call, error };
  });
  const failure = outcomes.find((outcome) => outcome.kind === 'failed');
  const succeeded = outcomes.some((outcome) => outcome.kind === 'answered');
  if (failure !== undefined && (!succeeded || route.fanout === 'all_or_nothing')) throw failure.error;
  return outcomes;
}

async function readReply({ reply }: AnsweredPart, signal: AbortSignal): Promise<Uint8Array> {
  try {
    return await collect(reply.body);
  } catch (error) {
    reply.body.cancel();
    throw signal.aborted && signal.reason instanceof GatewayError ? signal.reason : error;
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
