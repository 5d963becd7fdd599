import { hash } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import { unlessAborted } from '../unless-aborted.ts';
import type { NamedDemand } from './limit-rules.ts';
import type { Demand, Limiter, LimiterSettings, Place, Verdict } from './limiter.ts';

/** Where processes count together. Nothing is opened before the first probe. Signals say that nobody waits any more. */
export interface LimitBackend {
  /** Opens what is not open, and finds out whether it takes anything. One call at a time, but one that never ends is given up. */
  probe(): Promise<void>;
  take(demand: NamedDemand, signal: AbortSignal): Promise<Verdict>;
  leave(holder: string, names: readonly string[], signal: AbortSignal): Promise<void>;
  /** Renews the leases of places, and takes those anew that are not known any more. */
  renew(places: readonly HeldPlace[], signal: AbortSignal): Promise<void>;
  /** Forgets what is over, unless that happens by itself. */
  prune?(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export interface HeldPlace {
  readonly name: string;
  readonly holder: string;
}

export interface BackendContext {
  readonly leaseMs: number;
  /** To be called when a connection breaks without anybody waiting for an answer. */
  lost(error: unknown): void;
}

/** Milliseconds that a request waits. */
const answerMs = 2_000;

/** Milliseconds for a try to open what is to be counted in. */
const probeMs = 5_000;

/** While it fails it is tried again and again, at first after so many milliseconds, at last after so many. */
const firstPauseMs = 100;
const longestPauseMs = 2_000;

const usualPruneMs = 60_000;
const pruneMs = 5_000;

const usualLeaseMs = 15_000;

/**
 * When there is no place, it is looked again after so many milliseconds. Who has its answer from one process, and asks
 * another one at once, may be faster than the word that its place is free.
 */
const secondLooksMs = [20, 60, 120];

/** Demands that look again at the same time; more of them would mean that there really are no places. */
const mostLooking = 50;

/** Places that are to be given back when it works again; the others come back with their leases. */
const mostLate = 10_000;

/**
 * What is the same for all limiters that processes share: no wait is without an end, nobody waits for what is known to fail,
 * what failed is tried again in the background, and places are held by leases, which end with their process.
 */
export function createSharedLimiter(
  createBackend: (context: BackendContext) => LimitBackend,
  { clock, log, leaseMs = usualLeaseMs, pruneEveryMs = usualPruneMs }: LimiterSettings,
): Limiter {
  const backend = createBackend({ leaseMs, lost: fail });
  /** The names of the places that each holder has. */
  const held = new Map<string, Set<string>>();
  const late: (readonly [holder: string, names: readonly string[]])[] = [];
  const leaving = new Set<Promise<void>>();
  const timers = new Map<string, { cancel(): void }>();
  let state: 'asleep' | 'opening' | 'working' | 'failing' = 'asleep';
  let failure: unknown;
  let tries = 0;
  let looking = 0;
  let attempting: Promise<void> | undefined;
  let closing: Promise<void> | undefined;
  const end = new AbortController();

  async function within<Value>(
    milliseconds: number,
    work: (signal: AbortSignal) => Promise<Value>,
    outer?: AbortSignal,
  ): Promise<Value> {
    const controller = new AbortController();
    const abort = (): void => controller.abort(outer?.reason);
    const timer = clock.timer(milliseconds, () => controller.abort(new Error(`no answer within ${milliseconds} ms`)));
    outer?.addEventListener('abort', abort, { once: true });
    try {
      return await unlessAborted(work(controller.signal), controller.signal);
    } finally {
      timer.cancel();
      outer?.removeEventListener('abort', abort);
    }
  }

  /** One timer of each name. */
  function later(name: string, milliseconds: number, work: () => void): void {
    if (closing !== undefined || timers.has(name)) return;
    const run = (): void => {
      timers.delete(name);
      work();
    };
    timers.set(name, clock.timer(milliseconds, run));
  }

  function attempt(): Promise<void> {
    attempting ??= within(probeMs, () => backend.probe(), end.signal)
      .then(works, fail)
      .finally(() => {
        attempting = undefined;
      });
    return attempting;
  }

  function works(): void {
    if (state === 'failing') log.info('requests are counted against their rate limits again');
    state = 'working';
    tries = 0;
    for (const [holder, names] of late.splice(0)) void giveBack(holder, names);
    void renew();
    later('prune', pruneEveryMs, prune);
  }

  function fail(error: unknown): void {
    if (closing !== undefined) return;
    failure = error;
    if (state !== 'failing') {
      log.error('requests cannot be counted against their rate limits', { reason: reasonOf(error) });
    }
    state = 'failing';
    const pauseMs = tries === 0 ? 0 : Math.min(firstPauseMs * 2 ** (tries - 1), longestPauseMs);
    later('attempt', pauseMs, () => {
      tries += 1;
      void attempt();
    });
  }

  async function renew(): Promise<void> {
    const places = Array.from(held, ([holder, names]) => Array.from(names, (name) => ({ holder, name }))).flat();
    if (places.length === 0) return;
    later('renew', leaseMs / 3, () => void renew());
    if (state !== 'working') return;
    await within(answerMs, (signal) => backend.renew(places, signal)).catch(fail);
    // What was given back meanwhile may have been taken again by this.
    const gone = Map.groupBy(
      places.filter(({ holder, name }) => held.get(holder)?.has(name) !== true),
      ({ holder }) => holder,
    );
    for (const [holder, each] of gone)
      void giveBack(
        holder,
        each.map(({ name }) => name),
      );
  }

  function prune(): void {
    later('prune', pruneEveryMs, prune);
    if (state !== 'working') return;
    void within(pruneMs, async (signal) => backend.prune?.(signal)).catch(fail);
  }

  async function giveBack(holder: string, names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    if (state !== 'working') {
      if (late.length < mostLate) late.push([holder, names]);
      return;
    }
    const giving = within(answerMs, (signal) => backend.leave(holder, names, signal)).catch(fail);
    leaving.add(giving);
    await giving;
    leaving.delete(giving);
  }

  /** Takes what is demanded, and looks again for places that somebody may be about to leave. */
  async function takePatiently(demand: NamedDemand, signal: AbortSignal): Promise<Verdict> {
    let verdict = await takeNow(demand, signal);
    if (verdict.kind !== 'full' || looking >= mostLooking) return verdict;
    looking += 1;
    try {
      for (const pauseMs of secondLooksMs) {
        await unlessAborted(new Promise<void>((resolve) => void clock.timer(pauseMs, resolve)), signal);
        verdict = await takeNow(demand, signal);
        if (verdict.kind !== 'full') break;
      }
      return verdict;
    } finally {
      looking -= 1;
    }
  }

  async function takeNow(demand: NamedDemand, signal: AbortSignal): Promise<Verdict> {
    if (state === 'asleep' || state === 'opening') await within(answerMs, prepare, signal);
    if (state === 'failing') throw failure;
    const had = held.get(demand.holder);
    const names = demand.places.map(({ name }) => name).filter((name) => had?.has(name) !== true);
    let isAwaited = true;
    const taking = async (inner: AbortSignal): Promise<Verdict> => {
      const verdict = await backend.take(demand, inner);
      // An answer that comes too late is nobody's.
      if (!isAwaited && verdict.kind === 'taken') void giveBack(demand.holder, names);
      return verdict;
    };
    try {
      return await within(answerMs, taking, signal);
    } finally {
      isAwaited = false;
    }
  }

  function prepare(): Promise<void> {
    if (state === 'asleep') {
      state = 'opening';
      void attempt();
    }
    return attempting ?? Promise.resolve();
  }

  async function shut(): Promise<void> {
    for (const timer of timers.values()) timer.cancel();
    timers.clear();
    end.abort();
    await Promise.all([attempting, ...leaving]);
    if (state !== 'asleep') await backend.close();
  }

  return {
    prepare: () => void prepare(),
    prepared: async () => attempting,
    async take(demand, signal) {
      signal.throwIfAborted();
      if (closing !== undefined) throw new Error('The limiter is closed.');
      const named = nameDemand(demand);
      try {
        const verdict = await takePatiently(named, signal);
        if (verdict.kind === 'taken' && named.places.length > 0) {
          const names = held.get(named.holder) ?? new Set<string>();
          for (const { name } of named.places) names.add(name);
          held.set(named.holder, names);
          later('renew', leaseMs / 3, () => void renew());
        }
        return verdict;
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (state !== 'failing') fail(error);
        throw new GatewayError('overloaded', 'The gateway cannot count requests against their limits right now.', {
          cause: error,
        });
      }
    },
    async leave(holder, places) {
      const names = places.map(nameOf);
      const left = held.get(holder);
      for (const name of names) left?.delete(name);
      if (left?.size === 0) held.delete(holder);
      await giveBack(holder, names);
    },
    healthy: () => state !== 'failing',
    close() {
      closing ??= shut();
      return closing;
    },
  };
}

function nameDemand({ rates, places, holder }: Demand): NamedDemand {
  return {
    rates: rates.map(({ limit, key, rate, cost }) => ({ name: nameOf({ limit, key }), rate, cost })),
    places: places.map((place) => ({ name: nameOf(place), most: place.most })),
    holder,
  };
}

/** Keys may be as long as they like, and may be addresses of people: of those nothing is kept in the clear. */
function nameOf({ limit, key }: Place): string {
  return hash('sha256', JSON.stringify([limit, key]), 'base64url');
}

function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(reasonOf).join('; ');
  return error instanceof Error ? error.message : String(error);
}
