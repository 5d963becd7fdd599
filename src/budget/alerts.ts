import { randomUUID } from 'node:crypto';
import type { Budget } from '../pipeline/settings.ts';
import type { StageEnv } from '../pipeline/stage.ts';
import { formatDuration } from '../quantities.ts';
import { alertMark, type CounterPlace } from './counters.ts';
import { persistMs } from './persist.ts';
import { percentOf, shownAmount, shownEnd } from './standing.ts';
import type { BudgetSpan } from './windows.ts';

/** A counter of a budget that may be worth an alert. */
export interface AlertSubject extends CounterPlace {
  readonly budget: Budget;
  readonly unit: string;
  readonly value: string | undefined;
  readonly limit: number;
  readonly span: BudgetSpan;
}

/** How long a mark in the books is believed without a look, in milliseconds. A reset takes it away. */
const believedMs = 10_000;

export type AlertEnv = Pick<StageEnv, 'store' | 'clock' | 'log' | 'alerts' | 'catalogue' | 'share'>;

/** Raises alerts of counters that have reached the percentages that their budgets name. */
export interface AlertWatch {
  /**
   * Looks at a counter after it has counted something, or has refused a call, which is worth the alert at 100 percent
   * whatever is left: what is left may be too little for any call. Each alert is raised once in a window, by whichever
   * gateway of those that share the books.
   * @throws GatewayError overloaded; the same may be asked again
   */
  look(subject: AlertSubject, why: 'used' | 'refused'): Promise<void>;
}

export function createAlertWatch(env: AlertEnv): AlertWatch {
  /** Names of marks, and until when they are believed. */
  const believed = env.share('budget/alerts', () => new Map<string, number>());

  function believe(mark: CounterPlace, nowMs: number): void {
    for (const [name, untilMs] of believed) if (untilMs <= nowMs) believed.delete(name);
    believed.set(nameOf(mark), nowMs + believedMs);
  }

  return {
    async look(subject, why) {
      const { budget, limit, counter, range } = subject;
      const nowMs = env.clock.now();
      const due = budget.alertAt
        .map((threshold) => ({ threshold, mark: alertMark(subject, threshold, limit) }))
        .filter(({ threshold }) => why === 'used' || threshold === 100)
        .filter(({ mark }) => (believed.get(nameOf(mark)) ?? 0) <= nowMs);
      if (due.length === 0) return;
      const { settled: used } = await env.store.read(counter, range);
      const percent = percentOf(used, limit);
      for (const { threshold, mark } of due) {
        if (why === 'used' && percent < threshold) continue;
        const release = await claim(env, mark, subject, nowMs);
        believe(mark, nowMs);
        if (release === undefined) continue;
        raise(env, subject, { threshold, used, percent, why });
        await release();
      }
    },
  };
}

function nameOf({ counter, range }: CounterPlace): string {
  return range?.prefix ?? counter;
}

/** Sets a mark, unless it is set. What it gives makes it last; otherwise it lasts when its process is gone. */
async function claim(
  { store }: AlertEnv,
  { counter, range }: CounterPlace,
  { span }: AlertSubject,
  nowMs: number,
): Promise<(() => Promise<void>) | undefined> {
  const id = `alert/${randomUUID()}`;
  const hold = { counter, range, amount: 1, limit: 1, expiresAtMs: span.forgottenAtMs };
  const { kind } = await store.reserve(id, [hold], { heldUntilMs: nowMs + persistMs });
  return kind === 'held' ? () => store.settle(id, [1]) : undefined;
}

interface Finding {
  readonly threshold: number;
  readonly used: number;
  readonly percent: number;
  readonly why: 'used' | 'refused';
}

function raise({ log, clock, alerts, catalogue }: AlertEnv, subject: AlertSubject, finding: Finding): void {
  const { budget, unit, value, limit, span } = subject;
  const { window, per } = budget;
  const isRolling = typeof window === 'object';
  const told = {
    budget: budget.id,
    per: value === undefined ? null : (per ?? null),
    value: value ?? null,
    unit,
    threshold: finding.threshold,
    percent: finding.percent,
    used: shownAmount(unit, finding.used),
    limit: shownAmount(unit, limit),
    reason: finding.why,
    window: isRolling ? null : window,
    rolling: isRolling ? formatDuration(window.rollingMs) : null,
    window_start: window === 'lifetime' ? null : new Date(span.startMs).toISOString(),
    window_end: shownEnd(span.endMs),
  };
  log.warn('budget alert', told);
  const { alertWebhook } = catalogue;
  if (alertWebhook === undefined) return;
  const id = `alert_${randomUUID()}`;
  alerts.post(alertWebhook, id, { type: 'budget.alert', id, at: new Date(clock.now()).toISOString(), ...told });
}
