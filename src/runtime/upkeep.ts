import { GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Clock } from '../pipeline/stage.ts';
import type { Store, UpkeepOptions } from '../stores/store.ts';

export interface UpkeepSources {
  readonly clock: Pick<Clock, 'timer'>;
  readonly log: Logger;
  /** The store in force. */
  store(): Store;
  options(): UpkeepOptions;
}

/** The store's regular maintenance. */
export interface StoreUpkeep {
  start(): void;
  /** Resolves when none is under way any more. */
  stop(): Promise<void>;
}

const everyMs = 5_000;

/** While the store does not work, somebody may be waiting for it. */
const whileFailingMs = 1_000;

/** Maintains the store every few seconds, and says in the log when it stops working, and when it works again. */
export function createUpkeep({ clock, log, store, options }: UpkeepSources): StoreUpkeep {
  let timer: { cancel(): void } | undefined;
  let running: Promise<void> | undefined;
  let stopped = true;
  let working = true;

  async function maintain(): Promise<void> {
    const current = store();
    try {
      const { estimated } = await current.maintain(options());
      if (estimated > 0) {
        log.warn('reservations that nobody has settled were settled at their estimate', { reservations: estimated });
      }
    } catch (error) {
      // A reload has replaced it.
      if (current !== store()) return;
      if (working) log.error('the state cannot be written to', { reason: reasonOf(error) });
    }
    if (!working && current.healthy()) log.info('the state can be written to again');
    working = current.healthy();
  }

  function run(): void {
    running = maintain().then(() => {
      if (!stopped) timer = clock.timer(working ? everyMs : whileFailingMs, run);
    });
  }

  return {
    start() {
      stopped = false;
      run();
    },
    async stop() {
      stopped = true;
      timer?.cancel();
      await running;
    },
  };
}

function reasonOf(error: unknown): string {
  const cause = error instanceof GatewayError ? error.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}
