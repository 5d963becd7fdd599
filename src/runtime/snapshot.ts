import type { Logger } from '../log.ts';

/** What a snapshot does when no request uses it any more. */
export interface Retirable {
  retire(): void | Promise<void>;
}

/** One request's hold on the snapshot with which it began. */
export interface Lease<Snapshot> {
  readonly value: Snapshot;
  /** Ends the hold. A second call does nothing. */
  release(): void;
}

/** The gateway's one mutable reference. */
export interface SnapshotHolder<Snapshot> {
  /**
   * The snapshot in force, for a look at it. A request takes a lease instead, or it may be retired under its hands.
   * @throws Error before the first `swap`
   */
  current(): Snapshot;
  /**
   * Holds the snapshot in force until the lease is released.
   * @throws Error before the first `swap`
   */
  acquire(): Lease<Snapshot>;
  /** Puts a new snapshot in force. The old one is retired when its last lease ends, at once if it has none. */
  swap(next: Snapshot): void;
  /** Leases not yet released, on old snapshots too. */
  leases(): number;
}

interface Held<Snapshot> {
  readonly value: Snapshot;
  leases: number;
}

/** @param log hears of a snapshot that failed to retire */
export function createSnapshotHolder<Snapshot extends Retirable>(log: Logger): SnapshotHolder<Snapshot> {
  let inForce: Held<Snapshot> | undefined;
  let total = 0;

  function held(): Held<Snapshot> {
    if (inForce === undefined) throw new Error('No snapshot has been put in force yet.');
    return inForce;
  }

  return {
    current: () => held().value,
    acquire() {
      const mine = held();
      let released = false;
      mine.leases += 1;
      total += 1;
      return {
        value: mine.value,
        release() {
          if (released) return;
          released = true;
          mine.leases -= 1;
          total -= 1;
          if (mine.leases === 0 && mine !== inForce) void retire(mine.value, log);
        },
      };
    },
    swap(next) {
      const old = inForce;
      inForce = { value: next, leases: 0 };
      if (old !== undefined && old.leases === 0) void retire(old.value, log);
    },
    leases: () => total,
  };
}

async function retire(snapshot: Retirable, log: Logger): Promise<void> {
  try {
    await snapshot.retire();
  } catch (error) {
    log.error('a snapshot failed to retire', { error });
  }
}
