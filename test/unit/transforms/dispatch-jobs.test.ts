import { beforeEach, describe, expect, it, vi } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import type { WireRequest } from '../../../src/pipeline/upstream.ts';
import type { PollOutcome, Provider } from '../../../src/providers/provider.ts';
import { createTokenRing } from '../../../src/runtime/token-ring.ts';
import { createBench, makeReply, makeRequest, provider, type Bench, type Sending } from './dispatch-bench.ts';

let bench: Bench;

beforeEach(() => {
  bench = createBench();
});

const status = (): WireRequest => ({ ...makeRequest('status'), method: 'GET' });
const cancel: WireRequest = { ...makeRequest('cancel'), method: 'DELETE' };

/** Its answers say what comes next: `running`, `next`, `made`, `failed`, or the pictures. */
const jobs: Provider = {
  ...provider,
  async poll(reply, { state }): Promise<PollOutcome> {
    const words = Buffer.from(await collect(reply.body)).toString();
    const seen = Number(state ?? 0) + 1;
    if (words === 'failed') throw new GatewayError('content_policy_violation', 'Not with sk-secret.');
    if (words === 'running') return { kind: 'again', request: status(), cancel, state: seen };
    if (words === 'next') return { kind: 'again', request: makeRequest('result'), now: true, state: seen };
    if (words === 'made')
      return { kind: 'again', request: makeRequest('result'), now: true, isMade: true, state: seen };
    return { kind: 'done', reply: makeReply(200, `${words} after ${seen}`) };
  },
};

/** The request number `index`, once it has been sent. */
async function sent(index: number): Promise<Sending> {
  await vi.waitFor(() => expect(bench.sent.length).toBeGreaterThan(index));
  const sending = bench.sent[index];
  if (sending === undefined) throw new Error('nothing was sent');
  return sending;
}

/** Ends the pause before the next question, and says how long it is. */
async function endPause(): Promise<number> {
  const pause = await vi.waitFor(() => {
    const found = [...bench.timers].find(([, milliseconds]) => milliseconds < 100_000);
    if (found === undefined) throw new Error('there is no pause');
    return found;
  });
  const [end, milliseconds] = pause;
  (bench.timers as Map<() => void, number>).delete(end);
  bench.nowMs += milliseconds;
  end();
  return milliseconds;
}

async function answer(index: number, httpStatus: number, words: string): Promise<void> {
  const sending = await sent(index);
  sending.onSent();
  sending.resolve(makeReply(httpStatus, words));
}

const start = (tokens = 'sk-1,sk-secret', signal?: AbortSignal) =>
  bench.start({ provider: jobs, tokens: createTokenRing(tokens, () => 0) }, [makeRequest('submit')], signal);

describe('a job', () => {
  it('is asked after with the same credential, ever less often, until the pictures are there', async () => {
    const { exchange, replies } = start();
    await answer(0, 201, 'running');
    const pauses: number[] = [];
    for (let index = 1; index <= 7; index += 1) {
      pauses.push(await endPause());
      await answer(index, 200, index < 7 ? 'running' : 'pictures');
    }
    const [reply] = await replies;
    expect(reply).toMatchObject({ status: 200 });
    expect(pauses).toEqual([500, 750, 1125, 1687.5, 2531.25, 3000, 3000]);
    expect(bench.sent.map(({ request }) => request.headers['x-token'])).toEqual(bench.sent.map(() => 'sk-1'));
    expect(exchange.attempts).toMatchObject([{ sent: true, status: 201, images: undefined }]);
    expect(exchange.attempts).toHaveLength(1);
  });

  it('may have steps, which follow at once', async () => {
    const { replies } = start();
    await answer(0, 200, 'next');
    await answer(1, 200, 'pictures');
    const [reply] = await replies;
    if (reply === undefined || !('body' in reply)) throw new Error('no answer');
    expect(Buffer.from(await collect(reply.body)).toString()).toBe('pictures after 2');
    expect(bench.timers.size).toBe(1);
  });

  it('that fails delivers nothing, and its words give no credential away', async () => {
    const { exchange, replies } = start();
    await answer(0, 200, 'failed');
    await expect(replies).rejects.toMatchObject({
      code: 'content_policy_violation',
      message: 'Not with [redacted].',
    });
    expect(exchange.attempts).toMatchObject([{ status: 200, images: 0 }]);
  });

  it.each([404, 429, 500, 503])('goes on when a question about it is answered with %i', async (httpStatus) => {
    const { exchange, replies } = start();
    await answer(0, 200, 'running');
    for (let index = 1; index <= 4; index += 1) {
      await endPause();
      await answer(index, httpStatus, 'not now');
    }
    await endPause();
    await answer(5, 200, 'pictures');
    await expect(replies).resolves.toMatchObject([{ status: 200 }]);
    expect(exchange.attempts).toMatchObject([{ status: 200 }]);
  });

  it('goes on when the connection for a question breaks', async () => {
    const { replies } = start();
    await answer(0, 200, 'running');
    await endPause();
    (await sent(1)).reject(new GatewayError('upstream_error', 'The connection broke.'));
    await endPause();
    await answer(2, 200, 'pictures');
    await expect(replies).resolves.toMatchObject([{ status: 200 }]);
  });

  it('is lost when five questions in a row fail, and is then not to be paid for twice', async () => {
    const { exchange, replies } = start();
    await answer(0, 200, 'running');
    for (let index = 1; index <= 5; index += 1) {
      await endPause();
      await answer(index, 503, 'not now');
    }
    await expect(replies).rejects.toMatchObject({ code: 'upstream_error', retry: false });
    // What it has made is not known: the books take it for made.
    expect(exchange.attempts).toMatchObject([{ sent: true, status: 200, images: undefined }]);
  });

  it('is lost as well when the connection for five questions in a row breaks', async () => {
    const { exchange, replies } = start();
    await answer(0, 200, 'running');
    for (let index = 1; index <= 5; index += 1) {
      await endPause();
      (await sent(index)).reject(new GatewayError('upstream_unreachable', 'Nobody there.'));
    }
    await expect(replies).rejects.toMatchObject({ code: 'upstream_error', retry: false });
    expect(exchange.attempts).toMatchObject([{ sent: true, status: 200, images: undefined }]);
  });

  it('that has made its pictures is asked for them at once, and again when that fails', async () => {
    const { replies } = start();
    await answer(0, 200, 'made');
    await answer(1, 503, 'not now');
    await endPause();
    (await sent(2)).reject(new GatewayError('upstream_error', 'The connection broke.'));
    await endPause();
    await answer(3, 200, 'pictures');
    await expect(replies).resolves.toMatchObject([{ status: 200 }]);
  });

  it('that has made its pictures is not to be paid for twice when they cannot be had', async () => {
    const { exchange, replies } = start();
    await answer(0, 200, 'made');
    for (let index = 1; index <= 5; index += 1) {
      await answer(index, 502, 'not now');
      if (index < 5) await endPause();
    }
    await expect(replies).rejects.toMatchObject({ code: 'upstream_error', retry: false });
    expect(exchange.attempts).toMatchObject([{ sent: true, status: 200, images: undefined }]);
  });

  it('may say that it has failed by the status of what it should have made', async () => {
    const { exchange, replies } = start();
    await answer(0, 200, 'made');
    await answer(1, 422, 'no such picture');
    await expect(replies).rejects.toMatchObject({ code: 'invalid_value', status: 422 });
    expect(exchange.attempts).toMatchObject([{ status: 422, images: 0 }]);
  });

  it('that is not known any more is lost', async () => {
    const { replies } = start();
    await answer(0, 200, 'running');
    await vi.waitFor(() => expect(bench.timers.size).toBe(2));
    bench.nowMs += 20_000;
    await endPause();
    await answer(1, 404, 'gone');
    await expect(replies).rejects.toMatchObject({ code: 'upstream_error', retry: false });
  });

  it('whose next step is refused has failed', async () => {
    const { exchange, replies } = start();
    await answer(0, 200, 'next');
    await answer(1, 422, 'no such picture');
    await expect(replies).rejects.toMatchObject({ code: 'invalid_value', status: 422, message: 'no such picture' });
    expect(exchange.attempts).toMatchObject([{ status: 422, images: 0 }]);
  });

  it('is called off when the client leaves, and the gateway waits for that', async () => {
    const left = new GatewayError('client_closed_request', 'The client went away.');
    const controller = new AbortController();
    const { exchange, replies } = start('sk-1', controller.signal);
    await answer(0, 200, 'running');
    await vi.waitFor(() => expect(bench.timers.size).toBe(2));
    controller.abort(left);
    await expect(replies).rejects.toBe(left);
    const calledOff = await sent(1);
    expect(calledOff.request).toMatchObject({ method: 'DELETE', url: cancel.url, headers: { 'x-token': 'sk-1' } });
    expect(calledOff.signal.aborted).toBe(false);
    const finished = exchange.finish();
    calledOff.resolve(makeReply(204));
    await finished;
  });

  it('is called off at the deadline, and a failure of that is no failure of anything', async () => {
    const { exchange, replies } = start();
    await answer(0, 200, 'running');
    await vi.waitFor(() => expect(bench.timers.size).toBe(2));
    const [deadline] = [...bench.timers].find(([, milliseconds]) => milliseconds === 180_000) ?? [];
    deadline?.();
    await expect(replies).rejects.toMatchObject({ code: 'upstream_timeout' });
    (await sent(1)).reject(new GatewayError('upstream_unreachable', 'Nobody there.'));
    await exchange.finish();
  });

  it('that has failed by itself is not called off', async () => {
    const { replies } = start();
    await answer(0, 200, 'running');
    await endPause();
    await answer(1, 200, 'failed');
    await expect(replies).rejects.toMatchObject({ code: 'content_policy_violation' });
    expect(bench.sent).toHaveLength(2);
  });
});
