/** What every state store must do with keys under which a request is made once. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { KeyClaim, KeyState } from '../../src/stores/key-store.ts';
import type { Store } from '../../src/stores/store.ts';
import { many, type SharedPlace, type StorePlace } from './places.ts';

const later = Date.parse('2100-01-01');
const fingerprint = 'f'.repeat(64);

function claimOf(holder: string, given: Partial<KeyClaim> = {}): KeyClaim {
  return { holder, fingerprint, heldUntilMs: later, keptUntilMs: later, ...given };
}

const claimed = { kind: 'claimed' };
const running = { kind: 'running', fingerprint };
const lost = { kind: 'lost', fingerprint };
const done = (answer: string): KeyState => ({ kind: 'done', fingerprint, answer });

export function keysContract(newPlace: () => StorePlace): void {
  let store: Store;
  let nowMs: number;

  beforeEach(async () => {
    nowMs = Date.now();
    store = await newPlace().open({ now: () => nowMs });
  });
  afterEach(() => store.close());

  it('gives a key to the first who claims it, and tells the others that it is held, and for what', async () => {
    expect(await store.claimKey('a', claimOf('one'))).toEqual(claimed);
    expect(await store.claimKey('a', claimOf('two', { fingerprint: 'other' }))).toEqual(running);
    expect(await store.claimKey('b', claimOf('two'))).toEqual(claimed);
  });

  it('gives a key to exactly one of many who claim it at once', async () => {
    const states = await Promise.all(many(200, (index) => store.claimKey(`k${index % 4}`, claimOf(`h${index}`))));
    expect(states.filter(({ kind }) => kind === 'claimed')).toHaveLength(4);
    expect(states.filter(({ kind }) => kind === 'running')).toHaveLength(196);
  });

  it('tells everybody what its holder has left for them', async () => {
    await store.claimKey('a', claimOf('one'));
    expect(await store.sendKey('a', 'one')).toBe(true);
    expect(await store.claimKey('a', claimOf('two'))).toEqual(running);
    const answer = JSON.stringify({ status: 200, text: 'ä \u0000 "' });
    await store.completeKey('a', 'one', { answer, keptUntilMs: later });
    expect(await store.claimKey('a', claimOf('two'))).toEqual(done(answer));
    expect(await store.claimKey('a', claimOf('three'))).toEqual(done(answer));
  });

  it('is free again after its holder has given it back', async () => {
    await store.claimKey('a', claimOf('one'));
    await store.sendKey('a', 'one');
    await store.releaseKey('a', 'one');
    expect(await store.claimKey('a', claimOf('two'))).toEqual(claimed);
    await store.releaseKey('never', 'one');
  });

  it('does nothing for somebody else than its holder', async () => {
    await store.claimKey('a', claimOf('one'));
    expect(await store.sendKey('a', 'two')).toBe(false);
    expect(await store.sendKey('never', 'two')).toBe(false);
    await store.completeKey('a', 'two', { answer: 'theirs', keptUntilMs: later });
    await store.releaseKey('a', 'two');
    expect(await store.claimKey('a', claimOf('three'))).toEqual(running);
  });

  it('changes nothing that is done', async () => {
    await store.claimKey('a', claimOf('one'));
    await store.completeKey('a', 'one', { answer: 'first', keptUntilMs: later });
    await store.completeKey('a', 'one', { answer: 'second', keptUntilMs: later });
    await store.releaseKey('a', 'one');
    expect(await store.sendKey('a', 'one')).toBe(false);
    expect(await store.claimKey('a', claimOf('two'))).toEqual(done('first'));
  });

  it('keeps what is done until its time, and forgets it then', async () => {
    await store.claimKey('a', claimOf('one'));
    await store.completeKey('a', 'one', { answer: 'kept', keptUntilMs: nowMs + 1000 });
    nowMs += 999;
    await store.maintain({ ledgerKeptMs: undefined });
    expect(await store.claimKey('a', claimOf('two'))).toEqual(done('kept'));
    nowMs += 1;
    expect(await store.claimKey('a', claimOf('two'))).toEqual(claimed);
    await store.completeKey('a', 'two', { answer: 'kept', keptUntilMs: nowMs + 1000 });
    nowMs += 1000;
    await store.maintain({ ledgerKeptMs: undefined });
    expect(await store.claimKey('a', claimOf('three'))).toEqual(claimed);
  });

  it('frees what was not sent when the time of its holder is up, and never what was sent', async () => {
    const heldUntilMs = nowMs + 1000;
    for (const key of ['a', 'b']) await store.claimKey(key, claimOf('one', { heldUntilMs, keptUntilMs: nowMs + 5000 }));
    await store.sendKey('b', 'one');
    nowMs += 1000;
    await store.maintain({ ledgerKeptMs: undefined });
    expect(await store.claimKey('a', claimOf('two'))).toEqual(claimed);
    expect(await store.sendKey('a', 'one')).toBe(false);
    expect(await store.claimKey('b', claimOf('two'))).toEqual(lost);
    nowMs += 4000;
    expect(await store.claimKey('b', claimOf('two'))).toEqual(claimed);
  });

  it('believes a holder that was taken for gone after all', async () => {
    await store.claimKey('a', claimOf('one', { heldUntilMs: nowMs }));
    await store.sendKey('a', 'one');
    expect(await store.claimKey('a', claimOf('two'))).toEqual(lost);
    await store.completeKey('a', 'one', { answer: 'late', keptUntilMs: later });
    expect(await store.claimKey('a', claimOf('two'))).toEqual(done('late'));
  });
}

/** A short lease, for stores that need one to tell who is gone. */
const leaseMs = 400;

/** What stores must do with keys that several processes share. */
export function sharedKeysContract(newPlace: () => SharedPlace): void {
  it('gives a key to exactly one of many openings', async () => {
    const place = newPlace();
    const stores = await Promise.all(many(3, () => place.open()));
    const claims = stores.flatMap((store, at) => many(60, (index) => store.claimKey(`k${index}`, claimOf(`h${at}`))));
    const states = await Promise.all(claims);
    expect(states.filter(({ kind }) => kind === 'claimed')).toHaveLength(60);
    await Promise.all(stores.map((store) => store.close()));
  });

  it('frees what a process that is gone has not sent, says that the rest is lost, and leaves others theirs', async () => {
    const place = newPlace();
    const [leaving, staying] = await Promise.all([place.open({ leaseMs }), place.open({ leaseMs })]);
    for (const key of ['sent', 'unsent', 'done']) await leaving.claimKey(key, claimOf('leaving'));
    await leaving.sendKey('sent', 'leaving');
    await leaving.completeKey('done', 'leaving', { answer: 'kept', keptUntilMs: later });
    await staying.claimKey('mine', claimOf('staying'));
    await leaving.close();
    const looking = await place.open({ leaseMs });
    await expect
      .poll(
        async () => {
          for (const store of [staying, looking]) await store.maintain({ ledgerKeptMs: undefined });
          return looking.claimKey('sent', claimOf('looking'));
        },
        { timeout: 20_000, interval: 20 },
      )
      .toEqual(lost);
    expect(await looking.claimKey('unsent', claimOf('looking'))).toEqual(claimed);
    expect(await looking.claimKey('done', claimOf('looking'))).toEqual(done('kept'));
    expect(await looking.claimKey('mine', claimOf('looking'))).toEqual(running);
    await Promise.all([staying.close(), looking.close()]);
  });
}

/** For stores that can fail: what was refused holds nothing. Gives how many claims were taken. */
export async function claimMany(store: Store, count: number): Promise<readonly PromiseSettledResult<KeyState>[]> {
  return Promise.allSettled(many(count, (index) => store.claimKey(`k${index}`, claimOf(`h${index}`))));
}

/** Of the keys of `claimMany`, those that somebody holds. */
export async function heldKeys(store: Store, count: number): Promise<number> {
  const states = await Promise.all(many(count, (index) => store.claimKey(`k${index}`, claimOf('looking'))));
  return states.filter(({ kind }) => kind === 'running').length;
}
