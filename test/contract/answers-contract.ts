/** What every state store must do with answers that are kept to be given once more. */
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { NewAnswer } from '../../src/stores/answer-index.ts';
import type { Store } from '../../src/stores/store.ts';
import { many, type SharedPlace, type StorePlace } from './places.ts';

const later = Date.parse('2100-01-01');

function answerOf(blob: string, given: Partial<NewAnswer> = {}): NewAnswer {
  return {
    blob,
    about: '{}',
    bytes: 10,
    space: 'generate',
    spaceBytes: 100,
    madeAtMs: 1,
    expiresAtMs: later,
    ...given,
  };
}

const found = (blob: string) => ({ blob, about: '{}', madeAtMs: 1, expiresAtMs: later });

export function answersContract(newPlace: () => StorePlace): void {
  let store: Store;
  let nowMs: number;

  beforeEach(async () => {
    nowMs = Date.parse('2026-11-18T12:00:00Z');
    store = await newPlace().open({ now: () => nowMs });
  });
  afterEach(() => store.close());

  /** Whether there is an answer, without using it up for the order: the last look of a test. */
  const blobsOf = async (...keys: readonly string[]): Promise<readonly (string | undefined)[]> => {
    const answers = await Promise.all(keys.map((key) => store.findAnswer(key)));
    return answers.map((answer) => answer?.blob);
  };

  it('gives what was kept under a key, and nothing under any other', async () => {
    const about = JSON.stringify({ text: 'ä \u0000 "' });
    expect(await store.indexAnswer('a', answerOf('one', { about }))).toEqual([]);
    expect(await store.findAnswer('a')).toEqual({ ...found('one'), about });
    expect(await store.findAnswer('b')).toBeUndefined();
  });

  it('has one answer for a key, the last, and says that the one before is not needed', async () => {
    await store.indexAnswer('a', answerOf('one'));
    expect(await store.indexAnswer('a', answerOf('two'))).toEqual(['one']);
    expect(await store.findAnswer('a')).toEqual(found('two'));
  });

  it('makes room by what was not used for the longest time', async () => {
    for (const key of ['a', 'b', 'c']) {
      await store.indexAnswer(key, answerOf(key, { bytes: 30 }));
      nowMs += 1;
    }
    await store.findAnswer('a');
    nowMs += 1;
    expect(await store.indexAnswer('d', answerOf('d', { bytes: 50 }))).toEqual(['b', 'c']);
    expect(await blobsOf('a', 'b', 'c', 'd')).toEqual(['a', undefined, undefined, 'd']);
  });

  it('never lets the new one go, though the clock stands still', async () => {
    for (const key of ['b', 'c', 'a']) await store.indexAnswer(key, answerOf(key, { bytes: 60 }));
    expect(await blobsOf('a', 'b', 'c')).toEqual(['a', undefined, undefined]);
  });

  it('keeps nothing that is larger than the whole space, and what was there before', async () => {
    await store.indexAnswer('a', answerOf('one'));
    expect(await store.indexAnswer('a', answerOf('large', { bytes: 101 }))).toEqual(['large']);
    expect(await blobsOf('a')).toEqual(['one']);
  });

  it('counts spaces apart', async () => {
    await store.indexAnswer('a', answerOf('a', { bytes: 100, space: 'one' }));
    expect(await store.indexAnswer('b', answerOf('b', { bytes: 100, space: 'other' }))).toEqual([]);
    expect(await blobsOf('a', 'b')).toEqual(['a', 'b']);
  });

  it('gives nothing whose time is over, and forgets it', async () => {
    const expiresAtMs = nowMs + 1000;
    await store.indexAnswer('a', answerOf('a', { expiresAtMs }));
    nowMs += 999;
    expect(await store.findAnswer('a')).toEqual({ ...found('a'), expiresAtMs });
    nowMs += 1;
    expect(await store.findAnswer('a')).toBeUndefined();
    await store.indexAnswer('b', answerOf('b', { expiresAtMs: nowMs + 1 }));
    nowMs += 1;
    await store.maintain({ ledgerKeptMs: undefined });
    // Nothing is in the way of what fills the space.
    expect(await store.indexAnswer('c', answerOf('c', { bytes: 100 }))).toEqual([]);
  });

  it('forgets an answer for whoever did not find its bytes, unless there is another by now', async () => {
    await store.indexAnswer('a', answerOf('one'));
    await store.forgetAnswer('a', 'none');
    expect(await blobsOf('a')).toEqual(['one']);
    await store.forgetAnswer('a', 'one');
    await store.forgetAnswer('never', 'one');
    expect(await blobsOf('a')).toEqual([undefined]);
  });

  it('stays within its bound while many are kept at once, and tells of each that had to go', async () => {
    const unneeded = await Promise.all(many(200, (index) => store.indexAnswer(`k${index}`, answerOf(`b${index}`))));
    const kept = (await blobsOf(...Array.from({ length: 200 }, (_, index) => `k${index}`))).filter(
      (blob) => blob !== undefined,
    );
    expect(kept.length).toBeLessThanOrEqual(10);
    expect(new Set([...unneeded.flat(), ...kept]).size).toBe(200);
  });

  it('makes room step by step where the bound has become much smaller', async () => {
    await Promise.all(
      many(250, (index) => store.indexAnswer(`k${index}`, answerOf(`b${index}`, { spaceBytes: 10_000 }))),
    );
    nowMs += 1;
    const steps = [];
    for (const key of ['x', 'y', 'z']) steps.push((await store.indexAnswer(key, answerOf(key))).length);
    expect(steps).toEqual([100, 100, 43]);
  });
}

/** What stores must do with kept answers that several processes share. */
export function sharedAnswersContract(newPlace: () => SharedPlace): void {
  it('gives what another opening has kept', async () => {
    const place = newPlace();
    const [one, other] = await Promise.all([place.open(), place.open()]);
    await one.indexAnswer('a', answerOf('one'));
    expect(await other.findAnswer('a')).toEqual(found('one'));
    expect(await other.indexAnswer('a', answerOf('two'))).toEqual(['one']);
    expect(await one.findAnswer('a')).toEqual(found('two'));
    await Promise.all([one.close(), other.close()]);
  });

  it('stays whole while several keep, use and make room at once', async () => {
    const place = newPlace();
    const stores = await Promise.all(many(3, () => place.open()));
    const work = stores.flatMap((store, at) =>
      many(60, async (index) => {
        await store.indexAnswer(`k${index % 20}`, answerOf(`${at}-${index}`));
        return store.findAnswer(`k${(index * 7) % 20}`);
      }),
    );
    await Promise.all(work);
    const looking = await place.open();
    const kept = await Promise.all(many(20, (index) => looking.findAnswer(`k${index}`)));
    expect(kept.filter((answer) => answer !== undefined).length).toBeLessThanOrEqual(10);
    await Promise.all([...stores, looking].map((each) => each.close()));
  });
}
