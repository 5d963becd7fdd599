import type { Logger } from '../log.ts';

/** What outlives a reload: connection pools, counters, breakers, listeners, token rotations. */
export interface Resources {
  /** A new lease, holding nothing yet. Each snapshot has one. */
  lease(): ResourceLease;
  /** How many values are held. */
  size(): number;
  /**
   * Disposes every value, held or not, for the end of the process. Resolves when all is disposed, what was let go
   * before included. Leases can be released afterwards, but not used.
   */
  close(): Promise<void>;
}

/** One snapshot's hold on shared values. */
export interface ResourceLease {
  /**
   * The value of the key, the same one for all leases. `create` is called if nobody holds it, and what it throws is
   * thrown on. Put everything that the value depends on into the key: that is what makes a changed setting a new value.
   * @param dispose called once, when the last lease is released; it may take its time
   * @throws Error when the lease has been released
   */
  use<Value>(key: string, create: () => Value, dispose?: (value: Value) => void | Promise<void>): Value;
  /** Lets everything go. Resolves when what nobody else holds is disposed; never rejects. Once is enough. */
  release(): Promise<void>;
}

interface Shared {
  readonly key: string;
  readonly value: unknown;
  readonly dispose: () => void | Promise<void>;
  readonly holders: Set<ResourceLease>;
}

/** @param log hears of a value that could not be disposed */
export function createResources(log: Logger): Resources {
  const held = new Map<string, Shared>();
  const disposals = new Set<Promise<void>>();
  let closed = false;

  /** From here on the key is free: whoever asks for it while the old value is being disposed gets a new one. */
  function discard(shared: Shared): Promise<void> {
    held.delete(shared.key);
    const disposal = disposeOf(shared, log).finally(() => disposals.delete(disposal));
    disposals.add(disposal);
    return disposal;
  }

  function lease(): ResourceLease {
    /** In the order of their creation or first use: what came later may be built on what came earlier. */
    const mine = new Set<Shared>();
    let released = false;

    const self: ResourceLease = {
      use(key, create, dispose) {
        if (released || closed) throw new Error(`The shared value ${key} was asked for through a released lease.`);
        let shared = held.get(key);
        if (shared === undefined) {
          const value = create();
          shared = { key, value, dispose: () => dispose?.(value), holders: new Set() };
          held.set(key, shared);
        }
        shared.holders.add(self);
        mine.add(shared);
        // The key vouches for the type: the same code made it.
        return shared.value as ReturnType<typeof create>;
      },
      async release() {
        if (released) return;
        released = true;
        const free: Shared[] = [];
        for (const shared of mine) {
          shared.holders.delete(self);
          if (shared.holders.size === 0 && held.get(shared.key) === shared) free.unshift(shared);
        }
        mine.clear();
        await Promise.all(free.map(discard));
      },
    };
    return self;
  }

  return {
    lease,
    size: () => held.size,
    async close() {
      closed = true;
      for (const shared of Array.from(held.values()).toReversed()) void discard(shared);
      await Promise.all(disposals);
    },
  };
}

async function disposeOf(shared: Shared, log: Logger): Promise<void> {
  try {
    await shared.dispose();
  } catch (error) {
    log.error('a shared value could not be disposed', { resource: shared.key, error });
  }
}

/**
 * Builds something on a new lease. If that fails, the lease is released, so what only the half-built thing had created
 * is disposed and what others use is left alone; then the failure is thrown on.
 */
export async function buildOnLease<Built>(
  resources: Resources,
  build: (lease: ResourceLease) => Built | Promise<Built>,
): Promise<Built> {
  const lease = resources.lease();
  try {
    return await build(lease);
  } catch (error) {
    await lease.release();
    throw error;
  }
}
