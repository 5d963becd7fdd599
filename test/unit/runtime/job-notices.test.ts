import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { JobWebhook } from '../../../src/pipeline/settings.ts';
import { ServiceFailure, type ServiceQuestion } from '../../../src/pipeline/stage.ts';
import type { Snapshot } from '../../../src/runtime/compile.ts';
import { createJobNotices, type JobNotices } from '../../../src/runtime/job-notices.ts';
import { Secret } from '../../../src/secret.ts';
import { memoryStore } from '../../../src/stores/memory.ts';
import type { Store } from '../../../src/stores/store.ts';
import { makeStageEnv } from '../../fixtures/exchange.ts';
import { recordingLog, type RecordingLog } from './recording-log.ts';

const later = Date.parse('2100-01-01');
const webhook: JobWebhook = {
  url: 'https://hooks.test/jobs',
  headers: { authorization: new Secret('Bearer abc') },
  secret: new Secret('a-secret-of-16-letters'),
  timeoutMs: 10_000,
  tries: 3,
};

interface Try extends PromiseWithResolvers<void> {
  readonly message: ServiceQuestion;
}

let nowMs: number;
let store: Store;
let log: RecordingLog;
let tries: Try[];
let timers: { readonly milliseconds: number; readonly end: () => void }[];
let told: JobWebhook | undefined;
let notices: JobNotices;

beforeEach(async () => {
  nowMs = Date.parse('2026-11-01T12:00:00Z');
  store = await memoryStore.open('', { now: () => nowMs });
  log = recordingLog();
  [tries, timers, told] = [[], [], webhook];
  const { catalogue, clock } = makeStageEnv();
  notices = createJobNotices({
    clock: {
      ...clock,
      now: () => nowMs,
      timer(milliseconds, end) {
        timers.push({ milliseconds, end });
        return { cancel: () => undefined };
      },
    },
    log,
    random: () => 0.5,
    services: {
      connect: () => ({
        ask: () => Promise.reject(new Error('This test did not expect a question.')),
        tell(message, signal) {
          const made: Try = { message, ...Promise.withResolvers<void>() };
          signal.addEventListener('abort', () => made.reject(signal.reason));
          tries.push(made);
          return made.promise;
        },
        close: () => Promise.resolve(),
      }),
    },
    snapshots: {
      acquire: () => ({
        // What it looks at.
        value: {
          env: { store },
          catalogue: { ...catalogue, jobs: { ...catalogue.jobs, webhook: told } },
        } as unknown as Snapshot,
        release() {},
      }),
    },
  });
});
afterEach(() => store.close());

/** A job that is over. */
async function end(id: string): Promise<void> {
  await store.createJob(id, { consumer: null, request: '{}', keptUntilMs: later, notify: true, mostQueued: 10 });
  await store.cancelJob(id, later);
  notices.wake();
}

async function nextTry(): Promise<Try> {
  await vi.waitFor(() => expect(tries.length).toBeGreaterThan(0));
  const made = tries.shift();
  if (made === undefined) throw new Error('nothing was told');
  return made;
}

/** Milliseconds until the next try, which then comes. */
async function endPause(): Promise<number> {
  const pause = await vi.waitFor(() => {
    const found = timers.findLast(({ milliseconds }) => ![2_000, 10_000].includes(milliseconds));
    if (found === undefined) throw new Error('there is no pause');
    return found;
  });
  timers = [];
  nowMs += pause.milliseconds;
  pause.end();
  return pause.milliseconds;
}

const failure = new ServiceFailure('the service answered with status 500');

describe('what is told of jobs', () => {
  it('is the job without its pictures, signed, under an id of its own', async () => {
    notices.start();
    await end('a');
    const { message, resolve } = await nextTry();
    expect(message).toMatchObject({
      url: webhook.url,
      headers: { authorization: 'Bearer abc' },
      body: { id: 'msg_a', type: 'image.job.cancelled', data: { id: 'a', status: 'cancelled' } },
      signature: { secret: webhook.secret, id: 'msg_a', timestamp: nowMs / 1000 },
    });
    resolve();
    await notices.close(0);
    nowMs += 3_600_000;
    expect(await store.claimJobNotice(later)).toBeUndefined();
  });

  it('is told again after ever longer pauses, so often and no more', async () => {
    notices.start();
    await end('a');
    const pauses = [];
    for (let count = 0; count < 2; count += 1) {
      (await nextTry()).reject(failure);
      pauses.push(await endPause());
    }
    (await nextTry()).reject(failure);
    expect(pauses).toEqual([1_000, 4_000]);
    await vi.waitFor(() =>
      expect(log.lines.at(-1)).toMatchObject({ level: 'error', message: 'nobody was told of a job' }),
    );
    await notices.close(0);
    nowMs += 3_600_000;
    expect(await store.claimJobNotice(later)).toBeUndefined();
  });

  it('is due for the next process when this one stops in the middle of it', async () => {
    notices.start();
    await end('a');
    const { promise } = await nextTry();
    const closing = notices.close(50);
    timers.find(({ milliseconds }) => milliseconds === 50)?.end();
    await expect(promise).rejects.toThrow(/stopping/);
    await closing;
    expect(await store.claimJobNotice(later)).toMatchObject({ id: 'a', noticeTries: 2 });
  });

  it('waits while the file names nobody', async () => {
    told = undefined;
    notices.start();
    await end('a');
    expect(tries).toEqual([]);
    told = webhook;
    notices.wake();
    (await nextTry()).resolve();
    await notices.close(0);
  });
});
