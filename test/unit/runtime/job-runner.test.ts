import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import type { HeldJob, JobResult } from '../../../src/http/job-exchange.ts';
import type { Snapshot } from '../../../src/runtime/compile.ts';
import { createJobRunner, type JobRunner } from '../../../src/runtime/job-runner.ts';
import { memoryStore } from '../../../src/stores/memory.ts';
import type { NewJob } from '../../../src/stores/job-store.ts';
import type { Store } from '../../../src/stores/store.ts';
import { makeStageEnv, silentLog } from '../../fixtures/exchange.ts';

const later = Date.parse('2100-01-01');
const newJob: NewJob = { consumer: null, request: '{}', keptUntilMs: later, notify: false, mostQueued: 100 };

/** A job that runs until the test ends it. */
interface Run extends PromiseWithResolvers<JobResult> {
  readonly held: HeldJob;
}

let store: Store;
let runs: Run[];
let looks: (() => void)[];
let leases: number;
let ended: number;
let shutdown: AbortController;
let runner: JobRunner;

const over = (state: 'succeeded' | 'failed' = 'succeeded'): JobResult => ({
  kind: 'over',
  end: { state, outcome: '{}', keptUntilMs: later },
});

beforeEach(async () => {
  store = await memoryStore.open('', { now: Date.now });
  [runs, looks, leases, ended] = [[], [], 0, 0];
  shutdown = new AbortController();
  const { catalogue, clock } = makeStageEnv();
  const jobs = { ...catalogue.jobs, concurrency: 2 };
  // What the runner looks at.
  const snapshot = { env: { store }, catalogue: { ...catalogue, jobs } } as unknown as Snapshot;
  runner = createJobRunner({
    clock: {
      ...clock,
      timer(_milliseconds, callback) {
        looks.push(callback);
        return { cancel: () => void (looks = looks.filter((each) => each !== callback)) };
      },
    },
    log: silentLog,
    snapshots: {
      acquire() {
        leases += 1;
        return { value: snapshot, release: () => void (leases -= 1) };
      },
    },
    run(held) {
      const run: Run = { held, ...Promise.withResolvers<JobResult>() };
      runs.push(run);
      return run.promise;
    },
    shutdown: shutdown.signal,
    onEnd: () => void (ended += 1),
  });
});
afterEach(() => store.close());

async function create(...ids: readonly string[]): Promise<void> {
  for (const id of ids) await store.createJob(id, newJob);
  runner.wake();
}

async function run(index: number): Promise<Run> {
  await vi.waitFor(() => expect(runs.length).toBeGreaterThan(index));
  const found = runs[index];
  if (found === undefined) throw new Error('nothing runs');
  return found;
}

async function look(): Promise<void> {
  await vi.waitFor(() => expect(looks).toHaveLength(1));
  looks.shift()?.();
}

const stateOf = async (id: string) => (await store.readJob(id))?.state;
const begun = () => runs.map(({ held }) => held.job.id);

describe('the runner of jobs', () => {
  it('runs what waits, in order, so many at a time, and begins with what waited before it', async () => {
    await create('a', 'b', 'c', 'd');
    expect(begun()).toEqual([]);
    runner.start();
    (await run(1)).resolve(over());
    await run(2);
    expect(begun()).toEqual(['a', 'b', 'c']);
    expect([await stateOf('b'), await stateOf('d'), leases]).toEqual(['succeeded', 'queued', 2]);
    (await run(0)).resolve(over('failed'));
    (await run(2)).resolve(over());
    (await run(3)).resolve(over());
    runner.stop();
    await runner.idle();
    expect([await stateOf('a'), await stateOf('d'), leases, ended]).toEqual(['failed', 'succeeded', 0, 4]);
  });

  it('gives back what was not sent when it stops, and begins nothing more', async () => {
    runner.start();
    await create('a', 'b', 'c');
    const { held, resolve } = await run(1);
    runner.stop();
    shutdown.abort();
    expect(held.signal.reason).toMatchObject({ code: 'overloaded' });
    resolve({ kind: 'open' });
    (await run(0)).resolve(over());
    await runner.idle();
    expect([await stateOf('a'), await stateOf('b'), await stateOf('c')]).toEqual(['succeeded', 'queued', 'queued']);
    expect(begun()).toEqual(['a', 'b']);
  });

  it('ends what was cancelled: at once in its own process, soon in another one', async () => {
    runner.start();
    await create('a', 'b');
    const [here, elsewhere] = [await run(0), await run(1)];
    await store.cancelJob('a', later);
    runner.end('a');
    expect(here.held.signal.reason).toMatchObject({ code: 'client_closed_request' });
    await store.cancelJob('b', later);
    expect(elsewhere.held.signal.aborted).toBe(false);
    await look();
    await vi.waitFor(() => expect(elsewhere.held.signal.aborted).toBe(true));
    for (const each of [here, elsewhere]) each.resolve(over());
    runner.stop();
    await runner.idle();
    expect([await stateOf('a'), await stateOf('b')]).toEqual(['cancelled', 'cancelled']);
  });

  it('says how far a job is, now and then', async () => {
    runner.start();
    await create('a');
    const { held, resolve } = await run(0);
    held.note(0.25);
    held.note(0.5);
    expect(await store.readJob('a')).toMatchObject({ progress: null });
    await look();
    await vi.waitFor(async () => expect(await store.readJob('a')).toMatchObject({ progress: 0.5 }));
    resolve(over());
    runner.stop();
    await runner.idle();
  });

  it('looks again for what others have put into the queue, and undoes a claim of which it never heard', async () => {
    const claim = vi.spyOn(store, 'claimJob').mockImplementationOnce(async (holder) => {
      claim.mockRestore();
      await store.claimJob(holder);
      throw new GatewayError('overloaded', 'The gateway cannot keep its books right now.');
    });
    await store.createJob('a', newJob);
    runner.start();
    await vi.waitFor(async () => expect(await stateOf('a')).toBe('running'));
    expect(begun()).toEqual([]);
    await look();
    (await run(0)).resolve(over());
    await store.createJob('b', newJob);
    await look();
    (await run(1)).resolve(over());
    runner.stop();
    await runner.idle();
    expect([await stateOf('a'), await stateOf('b'), leases]).toEqual(['succeeded', 'succeeded', 0]);
  });
});
