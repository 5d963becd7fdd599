import { setTimeout as wait } from 'node:timers/promises';
import type { Clock } from '../pipeline/stage.ts';

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  async sleep(milliseconds, signal) {
    signal.throwIfAborted();
    try {
      await wait(milliseconds, undefined, { signal });
    } catch (error) {
      // The timer's own AbortError would hide why the signal was aborted.
      signal.throwIfAborted();
      throw error;
    }
  },
  timer(milliseconds, callback) {
    const timer = setTimeout(callback, milliseconds);
    timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
