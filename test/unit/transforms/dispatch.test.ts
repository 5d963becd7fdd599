import { getEventListeners } from 'node:events';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { createTokenRing } from '../../../src/runtime/token-ring.ts';
import { createBench, makeReply, makeRequest, provider, type Bench } from './dispatch-bench.ts';

let bench: Bench;

beforeEach(() => {
  bench = createBench();
});

describe('dispatch', () => {
  it('sends the request as it is, with the credential, and keeps a record of it', async () => {
    const { exchange, replies } = bench.start({ tokens: createTokenRing('sk-1', () => 0) });
    const [sending] = bench.sent;
    expect(sending?.request).toEqual({ ...makeRequest(), headers: { accept: '*/*', 'x-token': 'sk-1' } });
    expect(sending?.maxReplyBytes).toBe(5000);
    const attempt = { entity: 'main', provider: 'openai', model: 'gpt-image-2', startedAtMs: bench.nowMs };
    expect(exchange.attempts).toMatchObject([{ ...attempt, sent: false, status: undefined, endedAtMs: undefined }]);
    sending?.onSent();
    expect(exchange.attempts).toMatchObject([{ sent: true, status: undefined }]);
    const answer = makeReply(200);
    sending?.resolve(answer);
    expect(await replies).toEqual([answer]);
    expect(exchange.attempts).toMatchObject([{ sent: true, status: 200, images: undefined, usage: undefined }]);
  });

  it('takes the tokens in turn, from request to request and from call to call', async () => {
    const tokens = createTokenRing('sk-1, sk-2,sk-3', () => 0);
    for (let call = 0; call < 2; call += 1) {
      const { replies } = bench.start({ tokens }, [makeRequest('a'), makeRequest('b')]);
      bench.answerAll(() => makeReply(200));
      await replies;
    }
    expect(bench.sent.map(({ request }) => request.headers['x-token'])).toEqual(['sk-1', 'sk-2', 'sk-3', 'sk-1']);
  });

  it('sends without a credential where the entity needs none', async () => {
    const { replies } = bench.start();
    bench.answerAll(() => makeReply(200));
    await replies;
    expect(bench.sent[0]?.request.headers).toEqual({ accept: '*/*' });
  });

  it('sends the parts of a call at the same time, and gives the answers in their order', async () => {
    const { exchange, replies } = bench.start({}, [makeRequest('a'), makeRequest('b'), makeRequest('c')]);
    expect(bench.sent.map(({ request }) => request.url.at(-1))).toEqual(['a', 'b', 'c']);
    const answers = [makeReply(200, 'a'), makeReply(201, 'b'), makeReply(202, 'c')];
    for (const [index, sending] of [...bench.sent.entries()].toReversed())
      sending.resolve(answers[index] ?? makeReply(500));
    const texts = (await replies).map(async (reply) =>
      'body' in reply ? Buffer.from(await collect(reply.body)).toString() : '',
    );
    expect(await Promise.all(texts)).toEqual(['a', 'b', 'c']);
    expect(exchange.attempts.map(({ status }) => status)).toEqual([200, 201, 202]);
  });

  it('gives up what was not read of the answers when the exchange is over', async () => {
    const { exchange, replies } = bench.start();
    const answer = makeReply(200);
    bench.answerAll(() => answer);
    await replies;
    expect(answer.cancelled).toBe(0);
    await exchange.finish();
    expect(answer.cancelled).toBe(1);
  });

  describe('has a deadline, which', () => {
    const timeout = { code: 'upstream_timeout', status: 504, retry: false };
    const timeIsUp = (): void => {
      expect([...bench.timers.values()]).toEqual([2500]);
      for (const end of bench.timers.keys()) end();
    };

    it('ends the wait for the answer', async () => {
      const { exchange, replies } = bench.start({ timeoutMs: 2500 });
      bench.nowMs += 2500;
      timeIsUp();
      await expect(replies).rejects.toMatchObject(timeout);
      await expect(replies).rejects.toThrow('within 2.5 seconds');
      expect(exchange.attempts).toMatchObject([{ status: undefined, endedAtMs: bench.nowMs }]);
    });

    it('covers the reading of the answer', async () => {
      const { replies } = bench.start({ timeoutMs: 2500 });
      bench.answerAll(() => makeReply(200));
      await replies;
      expect(bench.sent[0]?.signal.aborted).toBe(false);
      timeIsUp();
      expect(bench.sent[0]?.signal.reason).toMatchObject(timeout);
    });

    it('covers the reading of a refusal', async () => {
      const reading = Promise.withResolvers<void>();
      const stuck: Provider = {
        ...provider,
        fault() {
          reading.resolve();
          return new Promise((_resolve, reject) => {
            bench.sent[0]?.signal.addEventListener('abort', () => reject(new Error('the body broke off')));
          });
        },
      };
      const { replies } = bench.start({ timeoutMs: 2500, provider: stuck });
      bench.answerAll(() => makeReply(500));
      await reading.promise;
      timeIsUp();
      await expect(replies).rejects.toMatchObject(timeout);
    });

    it('is for all parts of a call together, and spoils none that has answered', async () => {
      const { replies } = bench.start({ timeoutMs: 2500 }, [makeRequest('a'), makeRequest('b')]);
      const read = makeReply(200, 'a picture');
      bench.sent[0]?.resolve(read);
      await vi.waitFor(() => expect(read.taken).toBe(true));
      timeIsUp();
      expect(await replies).toMatchObject([{ status: 200 }, timeout]);
    });

    it('is over with the exchange', async () => {
      const controller = new AbortController();
      const { exchange, replies } = bench.start({ timeoutMs: 2500 }, [makeRequest()], controller.signal);
      bench.answerAll(() => makeReply(200));
      await replies;
      await exchange.finish();
      expect(bench.timers.size).toBe(0);
      expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
    });
  });

  describe('when the client leaves', () => {
    const left = new GatewayError('client_closed_request', 'The client went away.');

    it('gives up what is under way', async () => {
      const controller = new AbortController();
      const { exchange, replies } = bench.start({}, [makeRequest('a'), makeRequest('b')], controller.signal);
      bench.nowMs += 10;
      controller.abort(left);
      await expect(replies).rejects.toBe(left);
      expect(bench.sent.map(({ signal }) => signal.aborted)).toEqual([true, true]);
      expect(exchange.attempts.map(({ endedAtMs }) => endedAtMs)).toEqual([bench.nowMs, bench.nowMs]);
    });

    it('gives up the answer that is being read', async () => {
      const controller = new AbortController();
      const { replies } = bench.start({}, [makeRequest()], controller.signal);
      bench.answerAll(() => makeReply(200));
      await replies;
      controller.abort(left);
      expect(bench.sent[0]?.signal.reason).toBe(left);
    });

    it('does not even begin if that was before', async () => {
      const { replies } = bench.start({}, [makeRequest()], AbortSignal.abort(left));
      await expect(replies).rejects.toBe(left);
    });
  });

  it('passes on that the provider cannot be reached, and that nothing was sent', async () => {
    const { exchange, replies } = bench.start();
    const error = new GatewayError('upstream_unreachable', 'The provider could not be reached.');
    bench.sent[0]?.reject(error);
    await expect(replies).rejects.toBe(error);
    expect(exchange.attempts).toMatchObject([
      { sent: false, status: undefined, images: undefined, endedAtMs: bench.nowMs },
    ]);
  });
});
