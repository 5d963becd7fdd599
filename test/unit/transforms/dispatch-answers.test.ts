import { beforeEach, describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import type { UpstreamReply, WireRequest } from '../../../src/pipeline/upstream.ts';
import type { LocalContext, Provider } from '../../../src/providers/provider.ts';
import { createTokenRing } from '../../../src/runtime/token-ring.ts';
import { createBench, makeReply, makeRequest, provider, type Bench } from './dispatch-bench.ts';

let bench: Bench;

beforeEach(() => {
  bench = createBench();
});

describe('dispatch', () => {
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
      const { exchange, replies } = bench.start();
      const answer = makeReply(status, 'no');
      bench.nowMs += 10;
      bench.answerAll(() => answer);
      await expect(replies).rejects.toMatchObject({ code, status: publicStatus });
      expect(answer.cancelled).toBe(1);
      expect(exchange.attempts).toMatchObject([{ sent: true, status, images: 0, endedAtMs: bench.nowMs }]);
    });

    it('does not repeat the tokens of the entity, in whichever form', async () => {
      const [token, other] = ['sk-first/of:all', 'sk-second'];
      const base64 = Buffer.from(token).toString('base64');
      const words = `${token} is wrong, ${encodeURIComponent(token)} and ${base64} and ${other} too`;
      const { replies } = bench.start({ tokens: createTokenRing(`${token},${other}`, () => 0) });
      bench.answerAll(() => makeReply(400, words));
      const error = await replies.catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'invalid_value' });
      expect(String(error)).toContain('[redacted] is wrong, [redacted] and [redacted]');
      for (const secret of [token, encodeURIComponent(token), base64, other])
        expect(String(error)).not.toContain(secret);
    });

    it('does not repeat them in the cause either, which goes to the log', async () => {
      const { replies } = bench.start({ tokens: createTokenRing('sk-first', () => 0) });
      bench.answerAll(() => makeReply(401, 'Incorrect API key provided: sk-first.'));
      const error = await replies.catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ cause: { message: 'Incorrect API key provided: [redacted].' } });
    });

    it('one part of a call, gives back the others with its failure', async () => {
      const { exchange, replies } = bench.start({}, [makeRequest('a'), makeRequest('b'), makeRequest('c')]);
      bench.sent[2]?.resolve(makeReply(500));
      bench.sent[0]?.resolve(makeReply(200));
      bench.sent[1]?.resolve(makeReply(429, 'slower'));
      expect(await replies).toMatchObject([
        { status: 200 },
        { code: 'rate_limit_exceeded', message: 'slower' },
        { code: 'upstream_error' },
      ]);
      expect(exchange.attempts.map(({ status, images }) => [status, images])).toEqual([
        [200, undefined],
        [429, 0],
        [500, 0],
      ]);
    });

    it('all parts of a call, fails with the first of their failures', async () => {
      const { replies } = bench.start({}, [makeRequest('a'), makeRequest('b')]);
      bench.sent[1]?.resolve(makeReply(500));
      bench.sent[0]?.resolve(makeReply(429));
      await expect(replies).rejects.toMatchObject({ code: 'rate_limit_exceeded' });
    });

    it('one part of a call, gives up the others where the route wants all or nothing', async () => {
      const requests = [makeRequest('a'), makeRequest('b'), makeRequest('c')];
      const { exchange, replies } = bench.start({}, requests, undefined, { fanout: 'all_or_nothing' });
      bench.sent[0]?.resolve(makeReply(200));
      bench.sent[2]?.resolve(makeReply(500));
      await expect(replies).rejects.toMatchObject({ code: 'upstream_error' });
      await expect(bench.sent[1]?.promise).rejects.toMatchObject({ code: 'upstream_error' });
      expect(exchange.attempts.map(({ status, images }) => [status, images])).toEqual([
        [200, undefined],
        [undefined, undefined],
        [500, 0],
      ]);
    });
  });

  describe('with a provider that needs no network', () => {
    function local(answer: (request: WireRequest, context: LocalContext) => Promise<UpstreamReply>): Provider {
      return { ...provider, answer };
    }

    it('asks it, and nobody else', async () => {
      const made = makeReply(200);
      const { exchange, replies } = bench.start({
        provider: local(async (asked, context) => {
          expect(asked).toEqual(makeRequest());
          expect(context.nowSeconds).toBe(1000);
          await context.sleep(700);
          return made;
        }),
      });
      expect(exchange.attempts).toMatchObject([{ sent: true, status: undefined }]);
      expect([...bench.timers.values()]).toEqual([180_000, 700]);
      [...bench.timers.keys()].at(-1)?.();
      expect(await replies).toEqual([made]);
      expect(bench.sent).toEqual([]);
    });

    it('ends its wait at the deadline, and when the client leaves', async () => {
      const waiting = local(async (_request, context) => {
        await context.sleep(700);
        return makeReply(200);
      });
      const late = bench.start({ provider: waiting });
      [...bench.timers.keys()][0]?.();
      await expect(late.replies).rejects.toMatchObject({ code: 'upstream_timeout' });

      const controller = new AbortController();
      const left = bench.start({ provider: waiting }, [makeRequest()], controller.signal);
      controller.abort(new GatewayError('client_closed_request', 'The client went away.'));
      await expect(left.replies).rejects.toMatchObject({ code: 'client_closed_request' });
    });

    it('understands its refusals', async () => {
      const { replies } = bench.start({ provider: local(() => Promise.resolve(makeReply(429))) });
      await expect(replies).rejects.toMatchObject({ code: 'rate_limit_exceeded' });
    });
  });
});
