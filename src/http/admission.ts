/** So many requests at a time and no more, so that those under way are finished instead of all failing together. */
import { GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Clock } from '../pipeline/stage.ts';

export type Admitted =
  { readonly kind: 'entered'; leave(): void } | { readonly kind: 'refused'; readonly error: GatewayError };

export interface Admission {
  /**
   * Takes a request in, or says why not.
   * @param most how many may be in at the same time, by the configuration that the request goes by
   */
  enter(most: number): Admitted;
}

/** Seconds after which those who were refused come back; not all at once. */
const longestWaitS = 5;
/** Milliseconds between two log lines. */
const tellEveryMs = 10_000;

export function createAdmission({ clock, log }: { readonly clock: Clock; readonly log: Logger }): Admission {
  let inside = 0;
  let refused = 0;
  /** How many had been refused when it was told last. */
  let told = 0;
  let toldAtMs = -Infinity;

  function refuse(most: number): Admitted {
    refused += 1;
    const nowMs = clock.monotonic();
    if (nowMs - toldAtMs >= tellEveryMs) {
      log.warn('overloaded: requests are refused', { max_requests: most, refused: refused - told });
      told = refused;
      toldAtMs = nowMs;
    }
    const retryAfterMs = 1000 * (1 + (refused % longestWaitS));
    const message = 'The gateway has as many requests as it takes. Try again in a moment.';
    return { kind: 'refused', error: new GatewayError('overloaded', message, { retryAfterMs }) };
  }

  return {
    enter(most) {
      if (inside >= most) return refuse(most);
      inside += 1;
      return {
        kind: 'entered',
        leave() {
          inside -= 1;
        },
      };
    },
  };
}
