import type { BlobStore } from '../blobs/blob-store.ts';
import type { Logger } from '../log.ts';
import type { Clock } from '../pipeline/stage.ts';

export interface ImageSweeperOptions {
  readonly blobs: BlobStore;
  /** What is kept there, for the log. */
  readonly what: 'images' | 'answers';
  readonly clock: Clock;
  readonly log: Logger;
}

export interface ImageSweeper {
  /** Breaks off what is under way, and resolves when nothing is. */
  close(): Promise<void>;
}

/** Milliseconds from the start to the first run: a file that is refused in the end deletes nothing. */
const firstAfterMs = 1000;
/** Milliseconds between two runs. Expiry is exact without them: they only make room. */
const intervalMs = 300_000;
/** Milliseconds until a run that was not done goes on. */
const pauseMs = 1000;
/** Pictures deleted in one run. */
const mostAtOnce = 2000;

/** Deletes what has expired every few minutes, a bounded number at a time. What fails is logged, and tried again. */
export function startImageSweeper({ blobs, what, clock, log }: ImageSweeperOptions): ImageSweeper {
  const closing = new AbortController();
  let running: Promise<void> = Promise.resolve();
  let timer = clock.timer(firstAfterMs, run);

  function run(): void {
    running = sweep();
  }

  async function sweep(): Promise<void> {
    let waitMs = intervalMs;
    try {
      const { removed, more } = await blobs.sweep({ limit: mostAtOnce, signal: closing.signal });
      if (removed > 0) log.info(`expired ${what} were deleted`, { [what]: removed });
      if (more) waitMs = pauseMs;
    } catch (error) {
      if (!closing.signal.aborted) log.warn(`expired ${what} could not be deleted`, { error });
    }
    if (!closing.signal.aborted) timer = clock.timer(waitMs, run);
  }

  return {
    async close() {
      timer.cancel();
      closing.abort();
      await running;
    },
  };
}
