/** A dispatch stage with a clock that stands still and a connection pool that answers when the test says so. */
import { bytesSource, collect } from '../../../src/body/byte-source.ts';
import type { GatewayError } from '../../../src/errors.ts';
import type { RunningJob } from '../../../src/pipeline/job.ts';
import type { Entity, Route } from '../../../src/pipeline/settings.ts';
import type { Clock } from '../../../src/pipeline/stage.ts';
import type { PartOutcome, SendOptions, UpstreamReply, WireRequest } from '../../../src/pipeline/upstream.ts';
import { faultFrom } from '../../../src/providers/faults.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { dispatch } from '../../../src/transforms/dispatch.ts';
import {
  filledBy,
  makeEntity,
  makeExchange,
  makePart,
  makeRoute,
  makeStageEnv,
  makeTarget,
  type TestExchange,
} from '../../fixtures/exchange.ts';

export interface Bench {
  nowMs: number;
  /** Timers and pauses that are running, each with its milliseconds; calling one ends it. */
  readonly timers: ReadonlyMap<() => void, number>;
  /** What was given to the connection pool, each with the way to answer it. */
  readonly sent: readonly Sending[];
  /** Begins to dispatch these requests to an entity. */
  start(
    given?: Partial<Entity>,
    upstream?: readonly WireRequest[],
    signal?: AbortSignal,
    route?: Partial<Route>,
    job?: RunningJob,
  ): Running;
  /** Answers every request so far. */
  answerAll(make: () => UpstreamReply): void;
}

export interface Sending extends SendOptions, PromiseWithResolvers<UpstreamReply> {
  readonly request: WireRequest;
}

export interface Running {
  readonly exchange: TestExchange;
  /** The answers, and the failures of parts of which others were answered. */
  readonly replies: Promise<readonly (UpstreamReply | GatewayError)[]>;
}

export function createBench(): Bench {
  const timers = new Map<() => void, number>();
  const sent: Sending[] = [];
  const clock: Clock = {
    now: () => bench.nowMs,
    monotonic: () => bench.nowMs,
    sleep: (milliseconds, signal) =>
      new Promise((resolve, reject) => {
        timers.set(resolve, milliseconds);
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      }),
    timer(milliseconds, callback) {
      timers.set(callback, milliseconds);
      return { cancel: () => void timers.delete(callback) };
    },
  };
  /** Gives up when the signal does, as the real one. */
  const client: Entity['client'] = {
    send(request, options) {
      const sending: Sending = { request, ...options, ...Promise.withResolvers<UpstreamReply>() };
      const giveUp = (): void => sending.reject(options.signal.reason);
      if (options.signal.aborted) giveUp();
      options.signal.addEventListener('abort', giveUp);
      sent.push(sending);
      return sending.promise;
    },
  };
  const handle = dispatch.create(
    { max_reply_bytes: 5000, poll_interval: 500, poll_interval_max: 3000, ping_interval: 15_000 },
    makeStageEnv({ clock, random: () => 0.5 }),
  );
  const bench: Bench = {
    nowMs: 1_000_500,
    timers,
    sent,
    start(given = {}, requests = [makeRequest()], signal = new AbortController().signal, route = {}, job) {
      const entity = makeEntity({ provider, client, timeoutMs: 180_000, ...given });
      const upstream = requests.map((request) => makePart(request));
      const exchange = makeExchange(
        { target: makeTarget({ entity }), upstream },
        { signal, route: makeRoute(route), job },
      );
      const replies = filledBy(handle(exchange)).then(({ reply }) => reply.map(replyOrFailure));
      // What is rejected before the test looks is not unhandled.
      replies.catch(() => {});
      return { exchange, replies };
    },
    answerAll(make) {
      for (const sending of sent) {
        sending.onSent();
        sending.resolve(make());
      }
    },
  };
  return bench;
}

function replyOrFailure(outcome: PartOutcome): UpstreamReply | GatewayError {
  if (outcome.kind === 'pending') throw new Error('This test did not expect a part that is still under way.');
  return outcome.kind === 'answered' ? outcome.reply : outcome.error;
}

/** Sends the token as `x-token`, and takes the body of a refusal for its words. */
export const provider: Provider = {
  ...makeEntity().provider,
  authorise: (token) => (token === undefined ? {} : { 'x-token': token.reveal() }),
  async fault(reply) {
    const message = Buffer.from(await collect(reply.body)).toString();
    return faultFrom(reply, { message, code: undefined, param: undefined, refusal: false });
  },
};

export function makeRequest(path = 'a'): WireRequest {
  return { method: 'POST', url: `https://provider.test/${path}`, headers: { accept: '*/*' }, body: { kind: 'none' } };
}

export interface TestReply extends UpstreamReply {
  /** How often it was given up. */
  cancelled: number;
  /** Whether it was read to its end. */
  taken: boolean;
}

export function makeReply(status: number, text = ''): TestReply {
  const made: TestReply = {
    status,
    headers: {},
    cancelled: 0,
    taken: false,
    body: {
      length: text.length,
      cancel: () => void (made.cancelled += 1),
      async *[Symbol.asyncIterator]() {
        yield* bytesSource(Buffer.from(text));
        made.taken = true;
      },
    },
  };
  return made;
}
