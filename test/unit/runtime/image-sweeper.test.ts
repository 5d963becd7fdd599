import { describe, expect, it } from 'vitest';
import type { BlobStore, SweepBounds, SweepResult } from '../../../src/blobs/blob-store.ts';
import type { Clock } from '../../../src/pipeline/stage.ts';
import { startImageSweeper } from '../../../src/runtime/image-sweeper.ts';
import { makeStageEnv } from '../../fixtures/exchange.ts';
import { recordingLog } from './recording-log.ts';

/** A sweeper over a store that does as it is told, on a clock that stands still until it is put forward to the next timer. */
function start(sweep: (bounds: SweepBounds) => Promise<SweepResult>) {
  const timers = new Map<() => void, number>();
  const env = makeStageEnv();
  const clock: Clock = {
    ...env.clock,
    timer(milliseconds, callback) {
      timers.set(callback, milliseconds);
      return { cancel: () => void timers.delete(callback) };
    },
  };
  const runs: SweepBounds[] = [];
  const blobs: BlobStore = {
    ...env.blobs,
    sweep(bounds) {
      runs.push(bounds);
      return sweep(bounds);
    },
  };
  const log = recordingLog();
  const sweeper = startImageSweeper({ blobs, what: 'images', clock, log });
  return {
    sweeper,
    log,
    runs,
    waits: () => [...timers.values()],
    /** Lets the timer go off, and resolves when what it began is done. */
    async next() {
      const [callback] = timers.keys();
      if (callback === undefined) throw new Error('no timer runs');
      timers.clear();
      callback();
      await new Promise(setImmediate);
    },
  };
}

const nothing = { removed: 0, more: false };

describe('the sweeper of images', () => {
  it('begins a moment after the start, and comes again every five minutes', async () => {
    const { runs, waits, next, log } = start(() => Promise.resolve(nothing));
    expect([runs.length, waits()]).toEqual([0, [1_000]]);
    await next();
    expect([runs.length, waits()]).toEqual([1, [300_000]]);
    await next();
    expect([runs.length, waits()]).toEqual([2, [300_000]]);
    expect(log.lines).toEqual([]);
  });

  it('does a bounded amount at once, and goes on soon when there is more', async () => {
    const results = [
      { removed: 2_000, more: true },
      { removed: 7, more: false },
    ];
    const { runs, waits, next, log } = start(() => Promise.resolve(results.shift() ?? nothing));
    await next();
    expect(waits()).toEqual([1_000]);
    await next();
    expect(waits()).toEqual([300_000]);
    expect(runs.map(({ limit }) => limit)).toEqual([2_000, 2_000]);
    expect(log.lines.map(({ level, fields }) => [level, fields])).toEqual([
      ['info', { images: 2_000 }],
      ['info', { images: 7 }],
    ]);
  });

  it('logs what fails, and tries again', async () => {
    const error = new Error('the disk is gone');
    const { waits, next, log } = start(() => Promise.reject(error));
    await next();
    expect(log.lines).toEqual([{ level: 'warn', message: 'expired images could not be deleted', fields: { error } }]);
    expect(waits()).toEqual([300_000]);
  });

  it('never runs twice at once', async () => {
    const { promise: hold, resolve: release } = Promise.withResolvers<void>();
    const { waits, next, runs } = start(async () => (await hold, nothing));
    await next();
    expect([runs.length, waits()]).toEqual([1, []]);
    release();
    await new Promise(setImmediate);
    expect(waits()).toEqual([300_000]);
  });

  it('stops before its first run', async () => {
    const { sweeper, waits, runs } = start(() => Promise.resolve(nothing));
    await sweeper.close();
    expect([runs.length, waits()]).toEqual([0, []]);
  });

  it('breaks off what is under way when it stops, says nothing of it, and waits for the end', async () => {
    const order: string[] = [];
    const { sweeper, next, waits, log } = start(
      ({ signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            order.push('aborted');
            reject(new Error('aborted'));
          });
        }),
    );
    await next();
    await sweeper.close();
    order.push('closed');
    expect([order, waits(), log.lines]).toEqual([['aborted', 'closed'], [], []]);
  });
});
