/** One request to a provider, and the job that it may become: sent, asked after, and called off when nobody waits for it. */
import { bytesSource, collect } from '../body/byte-source.ts';
import type { DispatchConfig } from '../generated/stages/dispatch.ts';
import { priceQuestion } from '../budget/price-question.ts';
import { GatewayError } from '../errors.ts';
import type { Attempt, Exchange } from '../pipeline/exchange.ts';
import type { Visit } from '../pipeline/health.ts';
import type { JobPlace, RunningJob } from '../pipeline/job.ts';
import type { Target } from '../pipeline/settings.ts';
import type { StageEnv } from '../pipeline/stage.ts';
import type { AnsweredPart, UpstreamPart, UpstreamReply, WireRequest } from '../pipeline/upstream.ts';
import type { AskAgain } from '../providers/provider.ts';
import { withoutTokens } from '../scrub.ts';
import type { Secret } from '../secret.ts';
import { termsOfTry } from './try-terms.ts';
import { createCredentials, type Credentials } from './credentials.ts';

export interface JobRunner {
  /**
   * Sends a part of a call and waits for its last answer, whose body is then yet to be read.
   * @param signal ends everything, and calls the job off
   * @param job as which the call runs, when this is all of it: what is asked after can then be left to another process
   */
  run(
    exchange: Exchange,
    target: Target,
    part: UpstreamPart,
    signal: AbortSignal,
    job?: RunningJob,
  ): Promise<AnsweredJob>;
}

export interface AnsweredJob {
  readonly answered: AnsweredPart;
  /** To be ended when it is known what the answer is worth. */
  readonly visit: Visit;
}

/** Looks at a job that may fail one after the other before the job is given up. */
const maxPassingFailures = 5;
/** Some providers know a job only a moment after they have taken it. */
const unknownAtFirstMs = 10_000;
/** The longest pause that a provider may ask for. */
const longestPauseMs = 30_000;
/** Milliseconds for calling a job off. */
const cancelMs = 5_000;

export function createJobRunner(config: DispatchConfig, env: StageEnv): JobRunner {
  const credentials = createCredentials(env);
  const { max_reply_bytes: maxReplyBytes } = config;

  return {
    async run(exchange, target, part, signal, job) {
      const { entity } = target;
      const resumed = job?.resume(target);
      const { provider } = entity;
      const entered = entity.health.enter(target.model, exchange, {
        signal,
        isLast: termsOfTry(exchange).isLast,
      });
      const visit = entered instanceof Promise ? await entered : entered;
      const attempt = startAttempt(exchange.attempts, target, part, env);
      const place = exchange.attempts.length - 1;
      const line = createLine(target, visit.token, { credentials, env, maxReplyBytes });
      const left: { cancel: WireRequest | undefined } = { cancel: resumed?.cancel };
      // With several tokens it is not known which of them another process would take, and with several tries, what for.
      const mayBeLeft = job !== undefined && entity.tokens.all.length <= 1 && exchange.attempts.length === 1;
      try {
        let reply = await (resumed === undefined ? submit(line, part.request, attempt, signal) : goOn(resumed));
        if (provider.poll !== undefined)
          reply = await follow(reply, resumed ?? { request: part.request, state: undefined });
        attempt.answeredAtMs = env.clock.now();
        return { answered: { kind: 'answered', call: part.call, attempt: place, reply }, visit };
      } catch (error) {
        attempt.endedAtMs = env.clock.now();
        // A job of which it is not known how it ended may go on for nobody.
        const isLeft = job?.isParked() === true;
        if (left.cancel !== undefined && attempt.images === undefined && !isLeft) callOff(left.cancel);
        const failure = endFailed(visit, error, signal);
        // What comes next is another try.
        if (mayBeLeft && !isLeft) await job.keep(undefined);
        throw failure;
      }

      /** Asks after a job that another process has begun. */
      function goOn({ request }: JobPlace): Promise<UpstreamReply> {
        job?.resumed();
        Object.assign(attempt, { sent: true, status: 200 });
        return askPatiently(line, { kind: 'again', request }, attempt, createPauses(config, env), signal);
      }

      /** Asks on until the pictures are there. */
      async function follow(
        first: UpstreamReply,
        from: { readonly request: WireRequest; readonly state: unknown },
      ): Promise<UpstreamReply> {
        let asked = from;
        let reply = first;
        const pauses = createPauses(config, env);
        for (;;) {
          const outcome = await look(reply, asked);
          if (outcome.kind === 'done') return outcome.reply;
          if ('cancel' in outcome) left.cancel = outcome.cancel;
          if (outcome.progress !== undefined) job?.note(outcome.progress);
          asked = { request: outcome.request, state: outcome.state };
          if (mayBeLeft) await keepPlace(outcome);
          reply =
            outcome.now === true && outcome.isMade !== true
              ? await submit(line, outcome.request, attempt, signal)
              : await askPatiently(line, outcome, attempt, pauses, signal);
        }
      }

      /** A step that must not be made twice is not gone back before, and what only fetches pictures is not gone on to. */
      async function keepPlace({ request, state, now = false, isMade = false }: AskAgain): Promise<void> {
        if (isMade) return;
        const { id: entityId } = entity;
        const [reservation] = exchange.ledgerIds;
        const { cancel } = left;
        const place = { entity: entityId, model: target.model, request, state, cancel, reservation };
        await job?.keep(now ? undefined : place);
      }

      async function look(reply: UpstreamReply, asked: { request: WireRequest; state: unknown }) {
        // Read before the provider looks: a connection that breaks is not a job that fails.
        const body = bytesSource(await collect(reply.body));
        try {
          const outcome = await provider.poll?.({ ...reply, body }, { call: part.call, ...asked });
          return outcome ?? { kind: 'done' as const, reply: { ...reply, body } };
        } catch (error) {
          if (!(error instanceof GatewayError)) throw error;
          // An answer that makes no sense tells nothing about a job that was begun.
          if (error.code !== 'upstream_invalid_response') attempt.images = 0;
          throw withoutTokens(error, line.secrets());
        }
      }

      function callOff(request: WireRequest): void {
        const calledOff = line
          .send(request, { signal: AbortSignal.timeout(cancelMs), onSent() {} })
          .then(({ body }) => body.cancel())
          .catch((error: unknown) => exchange.log.debug('a job could not be called off', { error }));
        // The gateway does not stop before it has been tried.
        exchange.defer(() => calledOff);
      }
    },
  };
}

/** Ends the visit of a request that has failed. Returns what to say about it. */
export function endFailed(visit: Visit, error: unknown, { aborted, reason }: AbortSignal): unknown {
  // The signal's reason says who gave up, and why; the error seen here is only the consequence.
  const failure: unknown = aborted && reason instanceof GatewayError ? reason : error;
  // Whoever gave up, it says nothing about the provider, unless time was up.
  const isTheirs = failure instanceof GatewayError && (!aborted || failure.code === 'upstream_timeout');
  visit.end(isTheirs ? failure : 'abandoned');
  return failure;
}

/** Sends a request whose refusal is the call's failure. @throws GatewayError the provider's fault */
async function submit(line: Line, request: WireRequest, attempt: Attempt, signal: AbortSignal): Promise<UpstreamReply> {
  const reply = await line.send(request, { signal, onSent: () => void (attempt.sent = true) });
  attempt.status = reply.status;
  if (isSuccess(reply)) return reply;
  attempt.images = 0;
  throw await line.fault(reply);
}

/** Asks how far a job is, or for what it has made, and puts up with failures that pass: the job itself is paid for. */
async function askPatiently(
  line: Line,
  { request, now = false, isMade = false }: AskAgain,
  attempt: Attempt,
  pauses: Pauses,
  signal: AbortSignal,
): Promise<UpstreamReply> {
  for (let failures = 1; ; failures += 1) {
    if (!now || failures > 1) await pauses.wait(signal);
    const outcome = await line
      .send(request, { signal, onSent() {} })
      .then(async (reply) => ({ ...reply, body: bytesSource(await collect(reply.body)) }))
      .catch((error: unknown) => error);
    signal.throwIfAborted();
    if (!isReply(outcome)) {
      if (!(outcome instanceof GatewayError) || outcome.code === 'upstream_auth_failed') throw outcome;
      if (failures === maxPassingFailures) throw lost(outcome);
      continue;
    }
    if (isSuccess(outcome)) return outcome;
    const fault = await line.fault(outcome);
    const passes =
      outcome.status === 429 ||
      outcome.status >= 500 ||
      (outcome.status === 404 && pauses.elapsedMs() < unknownAtFirstMs);
    if (passes && failures < maxPassingFailures) {
      pauses.atLeast(fault.retryAfterMs ?? 0);
      continue;
    }
    if (fault.code === 'upstream_auth_failed') throw fault;
    if (!isMade || passes) throw lost(fault);
    // A job that has failed may say so by the status of what it should have made.
    attempt.status = outcome.status;
    attempt.images = 0;
    throw fault;
  }
}

/** Sent again, the call would be paid for twice. */
function lost({ message, cause }: GatewayError): GatewayError {
  return new GatewayError('upstream_error', 'The provider does not say what has become of the picture.', {
    retry: false,
    cause: cause ?? new Error(message),
  });
}

function isReply(value: unknown): value is UpstreamReply {
  return typeof value === 'object' && value !== null && 'status' in value && 'body' in value;
}

function isSuccess({ status }: UpstreamReply): boolean {
  return status >= 200 && status < 300;
}

interface Pauses {
  wait(signal: AbortSignal): Promise<void>;
  /** The next wait is not shorter than this. */
  atLeast(milliseconds: number): void;
  /** Milliseconds since the job was taken. */
  elapsedMs(): number;
}

/** Ever longer pauses with some chance in them, so that jobs that began together are not asked after together. */
function createPauses({ poll_interval: first, poll_interval_max: longest }: DispatchConfig, env: StageEnv): Pauses {
  const startedAtMs = env.clock.monotonic();
  let nextMs = first;
  let leastMs = 0;
  return {
    async wait(signal) {
      const pauseMs = Math.max(nextMs * (0.8 + 0.4 * env.random()), Math.min(leastMs, longestPauseMs));
      nextMs = Math.min(nextMs * 1.5, longest);
      leastMs = 0;
      await env.clock.sleep(pauseMs, signal);
    },
    atLeast(milliseconds) {
      leastMs = milliseconds;
    },
    elapsedMs: () => env.clock.monotonic() - startedAtMs,
  };
}

/** The way to a provider for one part of a call: always with the same credential. */
interface Line {
  send(request: WireRequest, options: { readonly signal: AbortSignal; onSent(): void }): Promise<UpstreamReply>;
  /** What an answer with another status than 2xx means, without our credentials in its words. */
  fault(reply: UpstreamReply): Promise<GatewayError>;
  /** All that must not be shown. */
  secrets(): readonly Secret[];
}

function createLine(
  { entity }: Target,
  token: Secret | undefined,
  {
    credentials,
    env,
    maxReplyBytes,
  }: { readonly credentials: Credentials; readonly env: StageEnv; readonly maxReplyBytes: number },
): Line {
  const { provider, client, tokens } = entity;
  const { answer, sign } = provider;
  const traded: Secret[] = [];
  const secrets = (): readonly Secret[] => [...tokens.all, ...traded];

  return {
    async send(request, { signal, onSent }) {
      if (answer !== undefined) {
        onSent();
        return answer(request, {
          signal,
          sleep: (milliseconds) => env.clock.sleep(milliseconds, signal),
          nowSeconds: Math.floor(env.clock.now() / 1000),
        });
      }
      const valid = provider.exchange === undefined ? token : await credentials.valid(entity, token, signal);
      if (valid !== undefined && valid !== token) traded.push(valid);
      const headers = { ...request.headers, ...provider.authorise(valid) };
      const reply = await client.send(
        { ...request, headers },
        {
          signal,
          maxReplyBytes,
          onSent,
          ...(sign === undefined
            ? {}
            : { sign: (bodySha256) => sign({ ...request, headers, bodySha256, nowMs: env.clock.now() }, valid) }),
        },
      );
      if (reply.status === 401) credentials.forget(entity, token);
      return reply;
    },
    async fault(reply) {
      const fault = await provider.fault(reply);
      reply.body.cancel();
      return withoutTokens(fault, secrets());
    },
    secrets,
  };
}

function startAttempt(attempts: Attempt[], target: Target, { call }: UpstreamPart, env: StageEnv): Attempt {
  const { entity, model } = target;
  const question = priceQuestion(target, call);
  const most = env.catalogue.prices.estimate(question);
  const attempt: Attempt = {
    entity: entity.id,
    provider: entity.providerNames[0] ?? '',
    model,
    startedAtMs: env.clock.now(),
    sent: false,
    status: undefined,
    question,
    mostNanoUsd: most.kind === 'priced' ? most.nanoUsd : undefined,
    images: undefined,
    usage: undefined,
    costNanoUsd: undefined,
    endedAtMs: undefined,
  };
  attempts.push(attempt);
  return attempt;
}
