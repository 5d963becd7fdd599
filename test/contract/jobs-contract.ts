/** What every state store must do with jobs. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { NewJob } from '../../src/stores/job-store.ts';
import type { Store } from '../../src/stores/store.ts';
import { hold, many, terms, type SharedPlace, type StorePlace } from './places.ts';

const later = Date.parse('2100-01-01');
const request = JSON.stringify({ path: '/v1/images/generations', text: 'ä " \\ 🙂' });

function newJob(given: Partial<NewJob> = {}): NewJob {
  return { consumer: 'web', request, keptUntilMs: later, notify: false, mostQueued: 1000, ...given };
}

const end = (outcome: string, keptUntilMs = later) => ({ state: 'succeeded', outcome, keptUntilMs }) as const;

export function jobsContract(newPlace: () => StorePlace): void {
  let store: Store;
  let nowMs: number;

  beforeEach(async () => {
    nowMs = Date.parse('2026-11-01T12:00:00Z');
    store = await newPlace().open({ now: () => nowMs });
  });
  afterEach(() => store.close());

  it('gives jobs out in the order in which they came, each once', async () => {
    for (const id of ['b', 'a', 'c']) {
      expect(await store.createJob(id, newJob())).toBe(true);
      nowMs += 1;
    }
    expect(await store.countJobs()).toEqual({ queued: 3, running: 0 });
    const claimed = await store.claimJob('one');
    expect(claimed).toEqual({
      id: 'b',
      consumer: 'web',
      state: 'running',
      request,
      outcome: null,
      place: null,
      progress: null,
      createdAtMs: nowMs - 3,
      startedAtMs: nowMs,
      finishedAtMs: null,
      keptUntilMs: later,
      noticeTries: 0,
    });
    expect((await store.claimJob('two'))?.id).toBe('a');
    expect((await store.claimJob('three'))?.id).toBe('c');
    expect(await store.claimJob('four')).toBeUndefined();
    expect(await store.countJobs()).toEqual({ queued: 0, running: 3 });
  });

  it('takes no more than may wait', async () => {
    const taken = [];
    for (const id of ['a', 'b', 'c']) taken.push(await store.createJob(id, newJob({ mostQueued: 2 })));
    expect(taken).toEqual([true, true, false]);
    expect(await store.readJob('c')).toBeUndefined();
    await store.claimJob('one');
    expect(await store.createJob('c', newJob({ mostQueued: 2 }))).toBe(true);
  });

  it('gives each of many jobs to one of many who ask at once', async () => {
    await Promise.all(many(30, (index) => store.createJob(`j${index}`, newJob())));
    const claims = await Promise.all(many(50, (index) => store.claimJob(`h${index}`)));
    const ids = claims.flatMap((job) => (job === undefined ? [] : [job.id]));
    expect([ids.length, new Set(ids).size]).toEqual([30, 30]);
  });

  it('keeps the end that its holder has given, for as long as was said', async () => {
    await store.createJob('a', newJob({ consumer: null }));
    await store.claimJob('one');
    expect(await store.sendJob('a', 'one')).toBe(true);
    await store.noteJobProgress('a', 'one', 0.25);
    expect(await store.readJob('a')).toMatchObject({ consumer: null, state: 'sent', progress: 0.25 });
    nowMs += 10;
    await store.finishJob('a', 'one', end('{"blob":"x"}', nowMs + 1000));
    await store.finishJob('a', 'one', end('again'));
    expect(await store.readJob('a')).toMatchObject({
      state: 'succeeded',
      outcome: '{"blob":"x"}',
      finishedAtMs: nowMs,
    });
    nowMs += 999;
    await store.maintain({ ledgerKeptMs: undefined });
    expect(await store.readJob('a')).toBeDefined();
    nowMs += 1;
    await store.maintain({ ledgerKeptMs: undefined });
    expect(await store.readJob('a')).toBeUndefined();
  });

  it('is changed by its holder alone', async () => {
    await store.createJob('a', newJob());
    expect(await store.sendJob('a', 'one')).toBe(false);
    await store.claimJob('one');
    expect(await store.sendJob('a', 'two')).toBe(false);
    await store.noteJobProgress('a', 'two', 0.5);
    await store.finishJob('a', 'two', end('theirs'));
    await store.returnJob('two');
    expect(await store.readJob('a')).toMatchObject({ state: 'running', progress: null, outcome: null });
    expect(await store.heldJobs(['one', 'two'])).toEqual(['one']);
    expect(await store.heldJobs([])).toEqual([]);
  });

  it('goes back to the queue, and keeps its place in it', async () => {
    await store.createJob('a', newJob());
    nowMs += 1;
    await store.createJob('b', newJob());
    await store.claimJob('one');
    const startedAtMs = nowMs;
    await store.sendJob('a', 'one');
    await store.returnJob('one');
    expect(await store.sendJob('a', 'one')).toBe(false);
    nowMs += 5;
    expect(await store.claimJob('two')).toMatchObject({ id: 'a', startedAtMs });
    await store.finishJob('a', 'one', end('too late'));
    expect(await store.readJob('a')).toMatchObject({ state: 'running', outcome: null });
  });

  it('goes back with its place, if it has one', async () => {
    await store.createJob('a', newJob());
    await store.claimJob('one');
    await store.sendJob('a', 'one');
    await store.placeJob('a', 'two', 'theirs');
    await store.placeJob('a', 'one', '{"url":"x"}');
    await store.returnJob('one');
    await store.placeJob('a', 'one', 'too late');
    expect(await store.claimJob('two')).toMatchObject({ id: 'a', state: 'running', place: '{"url":"x"}' });
    await store.placeJob('a', 'two', undefined);
    expect(await store.readJob('a')).toMatchObject({ place: null });
  });

  it('is cancelled while it waits and while it runs, and its holder has lost it then', async () => {
    for (const id of ['running', 'waiting', 'done']) {
      await store.createJob(id, newJob());
      nowMs += 1;
    }
    await store.claimJob('one');
    await store.sendJob('running', 'one');
    for (const id of ['running', 'waiting']) {
      expect(await store.cancelJob(id, nowMs + 1000)).toMatchObject({ id, state: 'cancelled', finishedAtMs: nowMs });
    }
    expect(await store.heldJobs(['one'])).toEqual([]);
    expect(await store.sendJob('running', 'one')).toBe(false);
    await store.finishJob('running', 'one', end('too late'));
    expect(await store.readJob('running')).toMatchObject({ state: 'cancelled', outcome: null });
    await store.claimJob('two');
    await store.finishJob('done', 'two', end('kept'));
    expect(await store.cancelJob('done', nowMs)).toMatchObject({ state: 'succeeded', outcome: 'kept' });
    expect(await store.cancelJob('never', nowMs)).toBeUndefined();
    nowMs += 1000;
    await store.maintain({ ledgerKeptMs: undefined });
    expect(await store.readJob('waiting')).toBeUndefined();
    expect(await store.readJob('done')).toBeDefined();
  });

  it('is told of once it is over, again when it is due, and never when nobody wants to know', async () => {
    await store.createJob('silent', newJob());
    await store.createJob('told', newJob({ notify: true }));
    await store.cancelJob('silent', later);
    expect(await store.claimJobNotice(nowMs)).toBeUndefined();
    await store.claimJob('one');
    expect(await store.claimJobNotice(nowMs)).toBeUndefined();
    await store.finishJob('told', 'one', end('kept'));
    expect(await store.claimJobNotice(nowMs + 50)).toMatchObject({ id: 'told', outcome: 'kept', noticeTries: 1 });
    expect(await store.claimJobNotice(nowMs + 50)).toBeUndefined();
    nowMs += 50;
    expect(await store.claimJobNotice(nowMs + 50)).toMatchObject({ id: 'told', noticeTries: 2 });
    // That of a try which was taken for lost.
    await store.settleJobNotice('told', 1, undefined);
    await store.settleJobNotice('told', 2, nowMs + 10);
    nowMs += 10;
    expect(await store.claimJobNotice(nowMs + 50)).toMatchObject({ id: 'told', noticeTries: 3 });
    await store.settleJobNotice('told', 3, undefined);
    nowMs += 1000;
    expect(await store.claimJobNotice(nowMs)).toBeUndefined();
  });
}

/** A short lease, for stores that need one to tell who is gone. */
const leaseMs = 400;

/** What stores must do with jobs that several processes share. */
export function sharedJobsContract(newPlace: () => SharedPlace): void {
  it('gives a job to exactly one of many openings', async () => {
    const place = newPlace();
    const stores = await Promise.all(many(3, () => place.open()));
    await Promise.all(many(20, async (index) => stores[index % 3]?.createJob(`j${index}`, newJob())));
    const claims = await Promise.all(
      stores.flatMap((store, at) => many(10, (index) => store.claimJob(`${at}/${index}`))),
    );
    const ids = claims.flatMap((job) => (job === undefined ? [] : [job.id]));
    expect([ids.length, new Set(ids).size]).toEqual([20, 20]);
    await Promise.all(stores.map((store) => store.close()));
  });

  it('puts back what a process that is gone has not sent, ends what it has, and leaves others theirs', async () => {
    const place = newPlace();
    const [leaving, staying] = await Promise.all([place.open({ leaseMs }), place.open({ leaseMs })]);
    for (const id of ['sent', 'unsent', 'mine']) {
      await leaving.createJob(id, newJob({ notify: id === 'sent' }));
      expect((await (id === 'mine' ? staying : leaving).claimJob(id))?.id).toBe(id);
    }
    await leaving.sendJob('sent', 'sent');
    await staying.sendJob('mine', 'mine');
    await leaving.close();
    const looking = await place.open({ leaseMs });
    await expect
      .poll(
        async () => {
          for (const store of [staying, looking]) await store.maintain({ ledgerKeptMs: undefined });
          return looking.readJob('sent');
        },
        { timeout: 20_000, interval: 20 },
      )
      .toMatchObject({ state: 'failed', outcome: null, finishedAtMs: expect.any(Number) });
    expect(await looking.claimJobNotice(later)).toMatchObject({ id: 'sent' });
    expect(await looking.claimJob('looking')).toMatchObject({ id: 'unsent' });
    expect(await looking.readJob('mine')).toMatchObject({ state: 'sent' });
    await staying.finishJob('mine', 'mine', end('kept'));
    expect(await looking.readJob('mine')).toMatchObject({ state: 'succeeded', outcome: 'kept' });
    await Promise.all([staying.close(), looking.close()]);
  });

  it('puts back what was sent and has a place, and leaves the reservation that is carried for it', async () => {
    const place = newPlace();
    const [leaving, staying] = await Promise.all([place.open({ leaseMs }), place.open({ leaseMs })]);
    await leaving.reserve('kept', [hold('images', 4)], { ...terms(), heldUntilMs: Date.now() + 1 });
    await leaving.carryReservation('kept', Date.now() + 2_500);
    await leaving.reserve('left', [hold('images', 2)], terms());
    await leaving.carryReservation('never', later);
    await leaving.createJob('a', newJob());
    await leaving.claimJob('one');
    await leaving.sendJob('a', 'one');
    await leaving.placeJob('a', 'one', 'there');
    await leaving.close();
    const upkeep = async () => {
      await staying.maintain({ ledgerKeptMs: undefined });
      return [await staying.read('images'), (await staying.readJob('a'))?.state];
    };
    const patience = { timeout: 20_000, interval: 20 };
    await expect.poll(upkeep, patience).toEqual([{ settled: 2, held: 4 }, 'queued']);
    expect(await staying.claimJob('two')).toMatchObject({ id: 'a', place: 'there' });
    // Nobody has settled it in time.
    await expect.poll(upkeep, patience).toEqual([{ settled: 6, held: 0 }, 'running']);
    await staying.close();
  });

  it('gives up a job that ends its process again and again', async () => {
    const place = newPlace();
    const staying = await place.open({ leaseMs });
    await staying.createJob('poison', newJob());
    for (let claims = 1; claims <= 5; claims += 1) {
      const leaving = await place.open({ leaseMs });
      await expect.poll(async () => (await leaving.claimJob(`h${claims}`))?.id, { timeout: 20_000 }).toBe('poison');
      await leaving.close();
      await expect
        .poll(
          async () => {
            await staying.maintain({ ledgerKeptMs: undefined });
            return (await staying.readJob('poison'))?.state;
          },
          { timeout: 20_000, interval: 20 },
        )
        .toBe(claims === 5 ? 'failed' : 'queued');
    }
    await staying.close();
  });
}
