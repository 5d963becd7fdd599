import { GatewayError } from '../errors.ts';
import type { Logger, LogFields } from '../log.ts';
import type { Clock } from '../pipeline/stage.ts';

/** Some five minutes of trying: enough for somebody to make room on a full disk. */
const mostTries = 65;
const firstPauseMs = 250;
const longestPauseMs = 5_000;

/** How long what `persist` writes may take, in milliseconds. */
export const persistMs = 10 * 60_000;

export interface PersistOptions {
  readonly clock: Pick<Clock, 'timer'>;
  readonly log: Logger;
  /** For the log: `a reservation could not be settled`. */
  readonly failure: string;
  /** For the log, when a later try has worked: `a reservation was settled late`. */
  readonly success: string;
  readonly fields: LogFields;
}

/**
 * Writes to the books what must not get lost: resolves after the first try, and goes on trying in the background when that
 * has failed. Never rejects.
 */
export async function persist(write: () => Promise<void>, options: PersistOptions): Promise<void> {
  const { log, failure, fields } = options;
  try {
    await write();
  } catch (error) {
    log.error(`${failure}, trying again`, { ...fields, ...reasonOf(error) });
    // Not awaited: the request is over, and the disk may be full for long.
    void persistLater(write, options);
  }
}

async function persistLater(write: () => Promise<void>, options: PersistOptions): Promise<void> {
  const { clock, log, failure, success, fields } = options;
  let last: unknown;
  for (let index = 0; index < mostTries; index += 1) {
    const pauseMs = Math.min(firstPauseMs * 2 ** index, longestPauseMs);
    await new Promise<void>((resolve) => void clock.timer(pauseMs, resolve));
    try {
      await write();
      log.info(success, fields);
      return;
    } catch (error) {
      last = error;
      if (!(error instanceof GatewayError && error.code === 'overloaded')) break;
    }
  }
  log.error(`${failure}, given up`, { ...fields, ...reasonOf(last) });
}

/** A store that cannot be written to is the operator's business, and says why; anything else is a bug, and shows where. */
export function reasonOf(error: unknown): LogFields {
  if (!(error instanceof GatewayError && error.code === 'overloaded')) return { error };
  return { reason: error.cause instanceof Error ? error.cause.message : error.message };
}
