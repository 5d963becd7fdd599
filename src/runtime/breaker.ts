/** Takes what keeps failing out of service, and lets one call through now and then to see whether it is back. */
import { createRecent } from '../recent.ts';

export interface BreakerSettings {
  /** Failures in a row that open it. */
  readonly failures: number;
  /** Percent of failures that open it, where there are enough calls. */
  readonly failureRate: number;
  readonly openForMs: number;
}

export type BreakerState = 'closed' | 'half_open' | 'open';

/** What a call says about the provider. */
export type Verdict = 'works' | 'fails' | 'unknown';

export interface Breaker {
  state(): BreakerState;
  /** Failures in a row. */
  failures(): number;
  /** Milliseconds until a call would be let through; 0: now. */
  closedForMs(call?: object): number;
  /**
   * Lets a request through, which then has to say once what came of it; undefined: it is not let through.
   * @param call what the request belongs to: where one call is let through, all of its requests are
   * @param isForced lets it through in any case
   */
  enter(call: object, isForced?: boolean): ((verdict: Verdict) => void) | undefined;
}

const rateWindowMs = 30_000;
/** Calls in the window below which a percentage says nothing. */
const rateCalls = 20;

/**
 * @param monotonic milliseconds on a clock that only goes forward
 * @param onChange called when it opens, anew or again, and when it closes
 */
export function createBreaker(
  settings: BreakerSettings,
  monotonic: () => number,
  onChange: (state: 'open' | 'closed', failures: number) => void,
): Breaker {
  const calls = createRecent(rateWindowMs);
  const failed = createRecent(rateWindowMs);
  let failuresInRow = 0;
  let openUntilMs: number | undefined;
  /** The call that was let through, and when. */
  let probe: { readonly call: object; readonly sinceMs: number } | undefined;
  /** What was let through before the last change says nothing about the time after it. */
  let period = 0;

  function open(nowMs: number): void {
    period += 1;
    openUntilMs = nowMs + settings.openForMs;
    probe = undefined;
    onChange('open', failuresInRow);
  }

  function close(): void {
    period += 1;
    openUntilMs = undefined;
    probe = undefined;
    failuresInRow = 0;
    calls.clear();
    failed.clear();
    onChange('closed', 0);
  }

  function isOutlier(nowMs: number): boolean {
    const total = calls.count(nowMs);
    return total >= rateCalls && failed.count(nowMs) * 100 >= total * settings.failureRate;
  }

  function judge(verdict: Verdict): void {
    if (verdict === 'unknown') return;
    const nowMs = monotonic();
    calls.add(nowMs);
    if (verdict === 'works') {
      failuresInRow = 0;
      return;
    }
    failed.add(nowMs);
    failuresInRow += 1;
    if (failuresInRow >= settings.failures || isOutlier(nowMs)) open(nowMs);
  }

  /** What nobody had any hope of: success is news, another failure is none. */
  function judgeForced(verdict: Verdict, since: number): void {
    if (since !== period) return;
    if (verdict === 'works') close();
    else if (verdict === 'fails') failuresInRow += 1;
  }

  function closedForMs(call?: object): number {
    if (openUntilMs === undefined || (call !== undefined && probe?.call === call)) return 0;
    // A call that was let through and is never heard of again does not keep others out for ever.
    const untilMs = probe === undefined ? openUntilMs : probe.sinceMs + settings.openForMs;
    return Math.max(0, untilMs - monotonic());
  }

  return {
    state() {
      if (openUntilMs === undefined) return 'closed';
      return monotonic() < openUntilMs ? 'open' : 'half_open';
    },
    failures: () => failuresInRow,
    closedForMs,
    enter(call, isForced = false) {
      const mine = period;
      if (closedForMs(call) > 0) return isForced ? (verdict) => judgeForced(verdict, mine) : undefined;
      if (openUntilMs === undefined) {
        return (verdict) => {
          if (mine === period) judge(verdict);
        };
      }
      if (probe?.call !== call) probe = { call, sinceMs: monotonic() };
      return (verdict) => {
        if (mine !== period) return;
        // Where pictures take longer than it stays open, each is overtaken by the next.
        if (verdict === 'works') return close();
        if (probe?.call !== call) return;
        if (verdict === 'unknown') probe = undefined;
        else {
          failuresInRow += 1;
          open(monotonic());
        }
      };
    },
  };
}
