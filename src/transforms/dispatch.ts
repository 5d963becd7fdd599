import schema from '../../schemas/stages/dispatch.schema.json' with { type: 'json' };
import type { DispatchConfig } from '../generated/stages/dispatch.ts';
import { GatewayError } from '../errors.ts';
import type { Attempt, ExchangeView } from '../pipeline/exchange.ts';
import type { Target } from '../pipeline/settings.ts';
import { defineStage, type StageEnv } from '../pipeline/stage.ts';
import type { UpstreamReply, WireRequest } from '../pipeline/upstream.ts';
import { withoutTokens } from '../scrub.ts';

/**
 * Sends the wire requests, and is the only stage that talks to a provider. One deadline, the entity's `timeout`, holds
 * from the first byte sent to the last byte of the answer read: header and body timeouts alone would miss a slow drip.
 */
export const dispatch = defineStage({
  name: 'dispatch',
  schema,
  reads: ['target', 'upstream'],
  writes: ['reply'],
  create(config: DispatchConfig, env) {
    const { max_reply_bytes: maxReplyBytes } = config;

    return async function dispatch(exchange) {
      const { target, upstream } = exchange;
      const deadline = startDeadline(exchange.signal, target.entity.timeoutMs, env.clock);
      exchange.defer(deadline.clear);
      try {
        const sending = upstream.map((request) =>
          send(exchange, target, request, { signal: deadline.signal, maxReplyBytes, env }),
        );
        const reply = await Promise.all(sending);
        // Whatever was not read by then would hold its connection.
        exchange.defer(() => reply.forEach(({ body }) => body.cancel()));
        return { reply };
      } catch (error) {
        // Requests of the same call that are still under way are of no use any more.
        deadline.abort(error);
        throw error;
      }
    };
  },
});

interface SendingOptions {
  readonly signal: AbortSignal;
  readonly maxReplyBytes: number;
  readonly env: StageEnv;
}

async function send(
  exchange: ExchangeView<'target' | 'upstream'>,
  target: Target,
  request: WireRequest,
  { signal, maxReplyBytes, env }: SendingOptions,
): Promise<UpstreamReply> {
  const { entity } = target;
  const { provider } = entity;
  const attempt = startAttempt(exchange.attempts, target, env.clock.now());
  try {
    const headers = { ...request.headers, ...provider.authorise(entity.tokens.next()) };
    const onSent = (): void => void (attempt.sent = true);
    const reply =
      provider.answer === undefined
        ? await entity.client.send({ ...request, headers }, { signal, maxReplyBytes, onSent })
        : await answerLocally(provider.answer.bind(provider), request, { signal, onSent, env });
    attempt.status = reply.status;
    if (reply.status >= 200 && reply.status < 300) return reply;
    attempt.images = 0;
    const fault = await provider.fault(reply);
    reply.body.cancel();
    throw withoutTokens(fault, entity.tokens.all);
  } catch (error) {
    attempt.endedAtMs = env.clock.now();
    // The signal's reason says who gave up, and why; the error seen here is only the consequence.
    throw signal.aborted && signal.reason instanceof GatewayError ? signal.reason : error;
  }
}

function answerLocally(
  answer: NonNullable<Target['entity']['provider']['answer']>,
  request: WireRequest,
  { signal, onSent, env }: { signal: AbortSignal; onSent(): void; env: StageEnv },
): Promise<UpstreamReply> {
  onSent();
  return answer(request, {
    signal,
    sleep: (milliseconds) => env.clock.sleep(milliseconds, signal),
    nowSeconds: Math.floor(env.clock.now() / 1000),
  });
}

function startAttempt(attempts: Attempt[], { entity, model }: Target, startedAtMs: number): Attempt {
  const attempt: Attempt = {
    entity: entity.id,
    provider: entity.providerNames[0] ?? '',
    model,
    startedAtMs,
    sent: false,
    status: undefined,
    images: undefined,
    usage: undefined,
    endedAtMs: undefined,
  };
  attempts.push(attempt);
  return attempt;
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
