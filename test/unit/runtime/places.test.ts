import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { createPlaces } from '../../../src/runtime/places.ts';

function bench() {
  const timers = new Set<() => void>();
  const places = createPlaces({
    timer(_milliseconds, callback) {
      timers.add(callback);
      return { cancel: () => void timers.delete(callback) };
    },
  });
  const settings = { max: 2, queue: 2, waitMs: 1000 };
  const { signal } = new AbortController();
  return { timers, places, settings, signal, standing: () => [places.taken(), places.waiting()] };
}

const busy = { code: 'rate_limit_exceeded', status: 429 };

describe('places', () => {
  it('are given at once while there are any', () => {
    const { places, settings, signal, standing } = bench();
    expect([places.take(settings, signal), places.take(settings, signal)].map((leave) => typeof leave)).toEqual([
      'function',
      'function',
    ]);
    expect(standing()).toEqual([2, 0]);
  });

  it('are waited for in order, and given back once', async () => {
    const { places, settings, signal, standing, timers } = bench();
    const leave = await places.take(settings, signal);
    await places.take(settings, signal);
    const order: string[] = [];
    const waiting = ['first', 'second'].map(async (name) => {
      const done = await places.take(settings, signal);
      order.push(name);
      return done;
    });
    expect(standing()).toEqual([2, 2]);
    leave();
    leave();
    const next = await waiting[0];
    expect([order, standing()]).toEqual([['first'], [2, 1]]);
    next?.();
    await waiting[1];
    expect([order, standing(), timers.size]).toEqual([['first', 'second'], [2, 0], 0]);
    expect(getEventListeners(signal, 'abort')).toHaveLength(0);
  });

  it('are refused when too many wait', async () => {
    const { places, settings, signal } = bench();
    for (let taken = 0; taken < 4; taken += 1) void places.take(settings, signal);
    expect(() => places.take(settings, signal)).toThrow(expect.objectContaining(busy));
    expect(() => places.take({ ...settings, queue: 0 }, signal)).toThrow(expect.objectContaining(busy));
    await Promise.resolve();
  });

  it('are waited for no longer than that', async () => {
    const { places, settings, signal, standing, timers } = bench();
    await places.take(settings, signal);
    await places.take(settings, signal);
    const waiting = places.take(settings, signal);
    for (const ring of timers) ring();
    await expect(waiting).rejects.toMatchObject(busy);
    expect([standing(), timers.size]).toEqual([[2, 0], 0]);
  });

  it('are not waited for by who has left', async () => {
    const { places, settings, signal, standing, timers } = bench();
    const leave = await places.take(settings, signal);
    await places.take(settings, signal);
    const caller = new AbortController();
    const waiting = places.take(settings, caller.signal);
    caller.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    expect([standing(), timers.size]).toEqual([[2, 0], 0]);
    leave();
    expect(standing()).toEqual([1, 0]);
    expect(() => places.take(settings, caller.signal)).toThrow('gone');
  });

  it('may become more or fewer meanwhile', async () => {
    const { places, settings, signal, standing } = bench();
    const leaves = [await places.take(settings, signal), await places.take(settings, signal)];
    const waiting = places.take({ ...settings, max: 1 }, signal);
    await places.take({ ...settings, max: Infinity }, signal);
    expect(standing()).toEqual([3, 1]);
    for (const leave of leaves) leave();
    expect(standing()).toEqual([1, 1]);
    await expect(Promise.race([waiting, Promise.resolve('still waiting')])).resolves.toBe('still waiting');
  });
});
