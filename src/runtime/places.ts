import { GatewayError } from '../errors.ts';
import type { Clock } from '../pipeline/stage.ts';

export interface PlaceSettings {
  /** Places that there are; infinite: as many as are asked for. */
  readonly max: number;
  /** How many may wait for one. */
  readonly queue: number;
  readonly waitMs: number;
}

/** Places for requests under way, given out in the order of arrival. */
export interface Places {
  /**
   * Takes a place, at once where there is one.
   * @param settings those of the file in force: they may change while places are taken
   * @returns gives the place back; further calls do nothing
   * @throws GatewayError rate_limit_exceeded; the signal's reason
   */
  take(settings: PlaceSettings, signal: AbortSignal): (() => void) | Promise<() => void>;
  taken(): number;
  waiting(): number;
}

interface Waiter {
  readonly max: number;
  admit(): void;
}

export function createPlaces(clock: Pick<Clock, 'timer'>): Places {
  const queue = new Set<Waiter>();
  let taken = 0;

  function give(): () => void {
    taken += 1;
    let left = false;
    return function leave() {
      if (left) return;
      left = true;
      taken -= 1;
      for (const waiter of queue) {
        if (taken >= waiter.max) return;
        waiter.admit();
      }
    };
  }

  function wait({ max, waitMs }: PlaceSettings, signal: AbortSignal): Promise<() => void> {
    return new Promise((resolve, reject) => {
      const end = (): void => {
        queue.delete(waiter);
        timer.cancel();
        signal.removeEventListener('abort', abort);
      };
      const abort = (): void => {
        end();
        // The exchange's own reason, which is an error wherever it is aborted.
        reject(signal.reason as Error);
      };
      const timer = clock.timer(waitMs, () => {
        end();
        reject(full());
      });
      const waiter: Waiter = {
        max,
        admit() {
          end();
          resolve(give());
        },
      };
      signal.addEventListener('abort', abort, { once: true });
      queue.add(waiter);
    });
  }

  return {
    take(settings, signal) {
      signal.throwIfAborted();
      // Nobody is overtaken, but by those for whom there is no limit any more.
      if (taken < settings.max && (queue.size === 0 || settings.max === Infinity)) return give();
      if (queue.size >= settings.queue) throw full();
      return wait(settings, signal);
    },
    taken: () => taken,
    waiting: () => queue.size,
  };
}

/** Milliseconds after which there may be room: pictures take seconds. */
const fullRetryMs = 1000;

function full(): GatewayError {
  const message = 'The provider of this model has as many requests under way as it may have.';
  return new GatewayError('rate_limit_exceeded', message, { retryAfterMs: fullRetryMs });
}
