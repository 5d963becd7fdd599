/** Where a job is with its provider, as `dispatch` keeps it, and goes on from it. */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import type { JobPlace, RunningJob } from '../../../src/pipeline/job.ts';
import type { WireRequest } from '../../../src/pipeline/upstream.ts';
import type { PollOutcome, Provider } from '../../../src/providers/provider.ts';
import { createTokenRing } from '../../../src/runtime/token-ring.ts';
import { createBench, makeReply, makeRequest, provider, type Bench } from './dispatch-bench.ts';

let bench: Bench;

beforeEach(() => {
  bench = createBench();
});

const question: WireRequest = { ...makeRequest('status'), method: 'GET' };
const cancel: WireRequest = { ...makeRequest('cancel'), method: 'DELETE' };

const jobs: Provider = {
  ...provider,
  async poll(reply, { state }): Promise<PollOutcome> {
    const words = Buffer.from(await collect(reply.body)).toString();
    if (words === 'running') return { kind: 'again', request: question, cancel, state: 'seen', progress: 0.25 };
    if (words === 'next') return { kind: 'again', request: makeRequest('next'), now: true };
    if (words === 'made') return { kind: 'again', request: makeRequest('result'), now: true, isMade: true };
    return { kind: 'done', reply: makeReply(200, `${words}, ${String(state)}`) };
  },
};

const place: JobPlace = {
  entity: 'main',
  model: 'gpt-image-2',
  request: question,
  state: 'seen',
  cancel,
  reservation: undefined,
};

/** A job that writes down what is kept. */
function trackedJob(given: Partial<RunningJob> = {}) {
  const kept: (JobPlace | undefined)[] = [];
  const noted: number[] = [];
  const job: RunningJob = {
    id: 'job_1',
    consumer: null,
    candidates: [],
    reservation: undefined,
    note: (progress) => void noted.push(progress),
    resume: () => undefined,
    resumed() {},
    async keep(each) {
      kept.push(each);
    },
    async adopt() {},
    isParked: () => false,
    ...given,
  };
  return { job, kept, noted };
}

function start(job: RunningJob, { tokens = 'sk-1', signal = new AbortController().signal } = {}) {
  const entity = { provider: jobs, tokens: createTokenRing(tokens, () => 0) };
  return bench.start(entity, [makeRequest('submit')], signal, {}, job);
}

async function answer(index: number, words: string): Promise<void> {
  await vi.waitFor(() => expect(bench.sent.length).toBeGreaterThan(index));
  bench.sent[index]?.onSent();
  bench.sent[index]?.resolve(makeReply(200, words));
}

async function endPause(): Promise<void> {
  const [end] = await vi.waitFor(() => {
    const found = [...bench.timers].find(([, milliseconds]) => milliseconds < 100_000);
    if (found === undefined) throw new Error('there is no pause');
    return found;
  });
  (bench.timers as Map<() => void, number>).delete(end);
  end();
}

const sentTo = () => bench.sent.map(({ request }) => request.url.split('/').at(-1));

describe('the place of a job', () => {
  it('is kept before the first question, taken back before a further step, and stays while what is made is fetched', async () => {
    const { job, kept, noted } = trackedJob();
    const { replies } = start(job);
    await answer(0, 'running');
    await vi.waitFor(() => expect(kept).toEqual([place]));
    await endPause();
    await answer(1, 'next');
    await vi.waitFor(() => expect(kept).toEqual([place, undefined]));
    await answer(2, 'made');
    await answer(3, 'pictures');
    await replies;
    expect(kept).toEqual([place, undefined]);
    expect(noted).toEqual([0.25]);
    expect(sentTo()).toEqual(['submit', 'status', 'next', 'result']);
  });

  it('is gone on from with the next question, and nothing is submitted', async () => {
    const resumed = vi.fn();
    const { job } = trackedJob({ resume: () => place, resumed });
    const { exchange, replies } = start(job);
    await endPause();
    await answer(0, 'pictures');
    const [reply] = await replies;
    if (reply === undefined || !('body' in reply)) throw new Error('no answer');
    expect(Buffer.from(await collect(reply.body)).toString()).toBe('pictures, seen');
    expect(sentTo()).toEqual(['status']);
    expect(exchange.attempts).toMatchObject([{ sent: true, status: 200 }]);
    expect(resumed).toHaveBeenCalledOnce();
  });

  it('is somebody else’s when the gateway stops: the job is not called off', async () => {
    const ending = new AbortController();
    const { job, kept } = trackedJob({ isParked: () => ending.signal.aborted });
    const { replies } = start(job, { signal: ending.signal });
    await answer(0, 'running');
    await vi.waitFor(() => expect(kept).toHaveLength(1));
    ending.abort(new GatewayError('overloaded', 'The gateway is shutting down.'));
    await expect(replies).rejects.toMatchObject({ code: 'overloaded' });
    expect([sentTo(), kept]).toEqual([['submit'], [place]]);
  });

  it('is taken back when the job is given up, which calls it off', async () => {
    const ending = new AbortController();
    const { job, kept } = trackedJob();
    const { replies } = start(job, { signal: ending.signal });
    await answer(0, 'running');
    await vi.waitFor(() => expect(kept).toHaveLength(1));
    ending.abort(new GatewayError('client_closed_request', 'The job was cancelled.'));
    await expect(replies).rejects.toMatchObject({ code: 'client_closed_request' });
    expect([sentTo(), kept]).toEqual([
      ['submit', 'cancel'],
      [place, undefined],
    ]);
  });

  it('is not kept where another process might ask with another token', async () => {
    const { job, kept } = trackedJob();
    const { replies } = start(job, { tokens: 'sk-1,sk-2' });
    await answer(0, 'running');
    await endPause();
    await answer(1, 'pictures');
    await replies;
    expect(kept).toEqual([]);
  });
});
