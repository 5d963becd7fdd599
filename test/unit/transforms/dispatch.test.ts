import { getEventListeners } from 'node:events';
import { beforeEach, describe, expect, it } from 'vitest';
import { bytesSource, collect } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import type { Entity } from '../../../src/pipeline/settings.ts';
import type { Clock } from '../../../src/pipeline/stage.ts';
import type { SendOptions, UpstreamReply, WireRequest } from '../../../src/pipeline/upstream.ts';
import type { LocalContext, Provider } from '../../../src/providers/provider.ts';
import { faultFrom } from '../../../src/providers/faults.ts';
import { createTokenRing } from '../../../src/runtime/token-ring.ts';
import { dispatch } from '../../../src/transforms/dispatch.ts';
import {
  filledBy,
  makeEntity,
  makeExchange,
  makeStageEnv,
  makeTarget,
  type TestExchange,
} from '../../fixtures/exchange.ts';

let nowMs: number;
/** Timers that are running, each with the way to end it. */
let timers: Map<() => void, number>;
/** What was given to the connection pool, each with the way to answer it. */
let sent: Sending[];

interface Sending extends SendOptions, PromiseWithResolvers<UpstreamReply> {
  readonly request: WireRequest;
}

beforeEach(() => {
  nowMs = 1_000_500;
  timers = new Map();
  sent = [];
});

const clock: Clock = {
  now: () => nowMs,
  monotonic: () => nowMs,
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

const provider: Provider = {
  ...makeEntity().provider,
  authorise: (token) => (token === undefined ? {} : { 'x-token': token.reveal() }),
  async fault(reply) {
    const message = Buffer.from(await collect(reply.body)).toString();
    return faultFrom(reply, { message, code: undefined, param: undefined, refusal: false });
  },
};

/** Answers when the test says so, and gives up when the signal does, as the real one. */
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

function request(path = 'a'): WireRequest {
  return { method: 'POST', url: `https://provider.test/${path}`, headers: { accept: '*/*' }, body: { kind: 'none' } };
}

interface Reply extends UpstreamReply {
  /** How often it was given up. */
  cancelled: number;
}

function reply(status: number, text = ''): Reply {
  const made: Reply = {
    status,
    headers: {},
    cancelled: 0,
    body: { ...bytesSource(Buffer.from(text)), cancel: () => void (made.cancelled += 1) },
  };
  return made;
}

interface Running {
  readonly exchange: TestExchange;
  readonly replies: Promise<readonly UpstreamReply[]>;
}

const handle = (): ReturnType<typeof dispatch.create> =>
  dispatch.create({ max_reply_bytes: 5000 }, makeStageEnv({ clock }));

function start(
  given: Partial<Entity> = {},
  upstream: readonly WireRequest[] = [request()],
  signal = new AbortController().signal,
): Running {
  const entity = makeEntity({ provider, client, timeoutMs: 180_000, ...given });
  const exchange = makeExchange({ target: makeTarget({ entity }), upstream }, { signal });
  const replies = filledBy(handle()(exchange)).then((filled) => filled.reply);
  // What is rejected before the test looks is not unhandled.
  replies.catch(() => {});
  return { exchange, replies };
}

/** The requests under way, all answered with this. */
function answerAll(make: () => UpstreamReply): void {
  for (const sending of sent) {
    sending.onSent();
    sending.resolve(make());
  }
}

describe('dispatch', () => {
  it('sends the request as it is, with the credential, and keeps a record of it', async () => {
    const { exchange, replies } = start({ tokens: createTokenRing('sk-1') });
    const [sending] = sent;
    expect(sending?.request).toEqual({ ...request(), headers: { accept: '*/*', 'x-token': 'sk-1' } });
    expect(sending?.maxReplyBytes).toBe(5000);
    const attempt = { entity: 'main', provider: 'openai', model: 'gpt-image-2', startedAtMs: nowMs };
    expect(exchange.attempts).toMatchObject([{ ...attempt, sent: false, status: undefined, endedAtMs: undefined }]);
    sending?.onSent();
    expect(exchange.attempts).toMatchObject([{ sent: true, status: undefined }]);
    const answer = reply(200);
    sending?.resolve(answer);
    expect(await replies).toEqual([answer]);
    expect(exchange.attempts).toMatchObject([{ sent: true, status: 200, images: undefined, usage: undefined }]);
  });

  it('takes the tokens in turn, from request to request and from call to call', async () => {
    const tokens = createTokenRing('sk-1, sk-2,sk-3');
    for (let call = 0; call < 2; call += 1) {
      const { replies } = start({ tokens }, [request('a'), request('b')]);
      answerAll(() => reply(200));
      await replies;
    }
    expect(sent.map(({ request }) => request.headers['x-token'])).toEqual(['sk-1', 'sk-2', 'sk-3', 'sk-1']);
  });

  it('sends without a credential where the entity needs none', async () => {
    const { replies } = start();
    answerAll(() => reply(200));
    await replies;
    expect(sent[0]?.request.headers).toEqual({ accept: '*/*' });
  });

  it('sends the parts of a call at the same time, and gives the answers in their order', async () => {
    const { exchange, replies } = start({}, [request('a'), request('b'), request('c')]);
    expect(sent.map(({ request }) => request.url.at(-1))).toEqual(['a', 'b', 'c']);
    const answers = [reply(200), reply(201), reply(202)];
    for (const [index, sending] of [...sent.entries()].toReversed()) sending.resolve(answers[index] ?? reply(500));
    expect(await replies).toEqual(answers);
    expect(exchange.attempts.map(({ status }) => status)).toEqual([200, 201, 202]);
  });

  it('gives up what was not read of the answers when the exchange is over', async () => {
    const { exchange, replies } = start({}, [request('a'), request('b')]);
    const answers = [reply(200), reply(200)];
    for (const [index, sending] of sent.entries()) sending.resolve(answers[index] ?? reply(500));
    await replies;
    expect(answers.map(({ cancelled }) => cancelled)).toEqual([0, 0]);
    await exchange.finish();
    expect(answers.map(({ cancelled }) => cancelled)).toEqual([1, 1]);
  });

  describe('has a deadline, which', () => {
    const timeout = { code: 'upstream_timeout', status: 504, retry: false };
    const timeIsUp = (): void => {
      expect([...timers.values()]).toEqual([2500]);
      for (const end of timers.keys()) end();
    };

    it('ends the wait for the answer', async () => {
      const { exchange, replies } = start({ timeoutMs: 2500 });
      nowMs += 2500;
      timeIsUp();
      await expect(replies).rejects.toMatchObject(timeout);
      await expect(replies).rejects.toThrow('within 2.5 seconds');
      expect(exchange.attempts).toMatchObject([{ status: undefined, endedAtMs: nowMs }]);
    });

    it('covers the reading of the answer', async () => {
      const { replies } = start({ timeoutMs: 2500 });
      answerAll(() => reply(200));
      await replies;
      expect(sent[0]?.signal.aborted).toBe(false);
      timeIsUp();
      expect(sent[0]?.signal.reason).toMatchObject(timeout);
    });

    it('covers the reading of a refusal', async () => {
      const reading = Promise.withResolvers<void>();
      const stuck: Provider = {
        ...provider,
        fault() {
          reading.resolve();
          return new Promise((_resolve, reject) => {
            sent[0]?.signal.addEventListener('abort', () => reject(new Error('the body broke off')));
          });
        },
      };
      const { replies } = start({ timeoutMs: 2500, provider: stuck });
      answerAll(() => reply(500));
      await reading.promise;
      timeIsUp();
      await expect(replies).rejects.toMatchObject(timeout);
    });

    it('is for all parts of a call together', async () => {
      const { replies } = start({ timeoutMs: 2500 }, [request('a'), request('b')]);
      sent[0]?.resolve(reply(200));
      timeIsUp();
      await expect(replies).rejects.toMatchObject(timeout);
    });

    it('is over with the exchange', async () => {
      const controller = new AbortController();
      const { exchange, replies } = start({ timeoutMs: 2500 }, [request()], controller.signal);
      answerAll(() => reply(200));
      await replies;
      await exchange.finish();
      expect(timers.size).toBe(0);
      expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
    });
  });

  describe('when the client leaves', () => {
    const left = new GatewayError('client_closed_request', 'The client went away.');

    it('gives up what is under way', async () => {
      const controller = new AbortController();
      const { exchange, replies } = start({}, [request('a'), request('b')], controller.signal);
      nowMs += 10;
      controller.abort(left);
      await expect(replies).rejects.toBe(left);
      expect(sent.map(({ signal }) => signal.aborted)).toEqual([true, true]);
      expect(exchange.attempts.map(({ endedAtMs }) => endedAtMs)).toEqual([nowMs, nowMs]);
    });

    it('gives up the answer that is being read', async () => {
      const controller = new AbortController();
      const { replies } = start({}, [request()], controller.signal);
      answerAll(() => reply(200));
      await replies;
      controller.abort(left);
      expect(sent[0]?.signal.reason).toBe(left);
    });

    it('does not even begin if that was before', async () => {
      const { replies } = start({}, [request()], AbortSignal.abort(left));
      await expect(replies).rejects.toBe(left);
    });
  });

  describe('when the provider refuses', () => {
    it.each([
      [400, 'invalid_value', 400],
      [401, 'upstream_auth_failed', 502],
      [404, 'model_not_found', 404],
      [429, 'rate_limit_exceeded', 429],
      [500, 'upstream_error', 502],
      [302, 'upstream_invalid_response', 502],
      [199, 'upstream_invalid_response', 502],
    ])('with %i, says what that means: %s', async (status, code, publicStatus) => {
      const { exchange, replies } = start();
      const answer = reply(status, 'no');
      nowMs += 10;
      answerAll(() => answer);
      await expect(replies).rejects.toMatchObject({ code, status: publicStatus });
      expect(answer.cancelled).toBe(1);
      expect(exchange.attempts).toMatchObject([{ sent: true, status, images: 0, endedAtMs: nowMs }]);
    });

    it('does not repeat the tokens of the entity, in whichever form', async () => {
      const [token, other] = ['sk-first/of:all', 'sk-second'];
      const base64 = Buffer.from(token).toString('base64');
      const words = `${token} is wrong, ${encodeURIComponent(token)} and ${base64} and ${other} too`;
      const { replies } = start({ tokens: createTokenRing(`${token},${other}`) });
      answerAll(() => reply(400, words));
      const error = await replies.catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'invalid_value' });
      expect(String(error)).toContain('[redacted] is wrong, [redacted] and [redacted]');
      for (const secret of [token, encodeURIComponent(token), base64, other])
        expect(String(error)).not.toContain(secret);
    });

    it('does not repeat them in the cause either, which goes to the log', async () => {
      const { replies } = start({ tokens: createTokenRing('sk-first') });
      answerAll(() => reply(401, 'Incorrect API key provided: sk-first.'));
      const error = await replies.catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ cause: { message: 'Incorrect API key provided: [redacted].' } });
    });

    it('one part of a call, gives up the others', async () => {
      const { exchange, replies } = start({}, [request('a'), request('b'), request('c')]);
      sent[0]?.resolve(reply(200));
      sent[2]?.resolve(reply(500));
      await expect(replies).rejects.toMatchObject({ code: 'upstream_error' });
      await expect(sent[1]?.promise).rejects.toMatchObject({ code: 'upstream_error' });
      expect(exchange.attempts.map(({ status, images }) => [status, images])).toEqual([
        [200, undefined],
        [undefined, undefined],
        [500, 0],
      ]);
    });
  });

  it('passes on that the provider cannot be reached, and that nothing was sent', async () => {
    const { exchange, replies } = start();
    const error = new GatewayError('upstream_unreachable', 'The provider could not be reached.');
    sent[0]?.reject(error);
    await expect(replies).rejects.toBe(error);
    expect(exchange.attempts).toMatchObject([{ sent: false, status: undefined, images: undefined, endedAtMs: nowMs }]);
  });

  describe('with a provider that needs no network', () => {
    function local(answer: (request: WireRequest, context: LocalContext) => Promise<UpstreamReply>): Provider {
      return { ...provider, answer };
    }

    it('asks it, and nobody else', async () => {
      const made = reply(200);
      const { exchange, replies } = start({
        provider: local(async (asked, context) => {
          expect(asked).toEqual(request());
          expect(context.nowSeconds).toBe(1000);
          await context.sleep(700);
          return made;
        }),
      });
      expect(exchange.attempts).toMatchObject([{ sent: true, status: undefined }]);
      expect([...timers.values()]).toEqual([180_000, 700]);
      [...timers.keys()].at(-1)?.();
      expect(await replies).toEqual([made]);
      expect(sent).toEqual([]);
    });

    it('ends its wait at the deadline, and when the client leaves', async () => {
      const waiting = local(async (_request, context) => {
        await context.sleep(700);
        return reply(200);
      });
      const late = start({ provider: waiting });
      [...timers.keys()][0]?.();
      await expect(late.replies).rejects.toMatchObject({ code: 'upstream_timeout' });

      const controller = new AbortController();
      const left = start({ provider: waiting }, [request()], controller.signal);
      controller.abort(new GatewayError('client_closed_request', 'The client went away.'));
      await expect(left.replies).rejects.toMatchObject({ code: 'client_closed_request' });
    });

    it('understands its refusals', async () => {
      const { replies } = start({ provider: local(() => Promise.resolve(reply(429))) });
      await expect(replies).rejects.toMatchObject({ code: 'rate_limit_exceeded' });
    });
  });
});
