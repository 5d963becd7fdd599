/** What a call takes from the counters of budgets: at the most beforehand, and what it has come to by what is known. */
import { GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { Attempt, ExchangeEnd, ExchangeView } from '../pipeline/exchange.ts';
import type { Budget, Catalogue, Target } from '../pipeline/settings.ts';
import type { StageEnv } from '../pipeline/stage.ts';
import { targetCall } from '../pipeline/target-call.ts';
import { formatDuration } from '../quantities.ts';
import type { CounterRange, CounterState, Hold, Reservation } from '../stores/store.ts';
import { counterPlace } from './counters.ts';
import { measures, type Measure } from './measures.ts';
import { budgetApplies, budgetValue } from './scope.ts';
import { isLost, triesOf } from './usage.ts';
import type { BudgetSpan } from './windows.ts';

/** A budget, and the window of it that a moment lies in. */
export interface Meter {
  readonly budget: Budget;
  readonly windowAt: (nowMs: number) => BudgetSpan;
}

/** What a call takes from one counter of a budget. */
export interface Share {
  readonly budget: Budget;
  readonly measure: Measure;
  readonly limit: number;
  readonly span: BudgetSpan;
  /** Whose counter it is; undefined: there is one for all. */
  readonly value: string | undefined;
  readonly counter: string;
  readonly range: CounterRange | undefined;
  /** The most that one of the candidates may come to. */
  readonly amount: number;
  /** The candidates that are counted here, and how much each may come to. */
  readonly candidates: readonly Candidate[];
}

interface Candidate {
  readonly entity: string;
  readonly model: string;
  readonly amount: number;
}

function isAt({ entity, model }: Candidate, entityId: string, modelName: string): boolean {
  return entity === entityId && model === modelName;
}

export type ShareView = ExchangeView<'caller' | 'call' | 'candidates'>;

/** @throws GatewayError unpriced_model */
export function sharesOf(
  { caller, route, call, candidates }: Pick<ShareView, 'caller' | 'route' | 'call' | 'candidates'>,
  meters: readonly Meter[],
  { catalogue, log }: StageEnv,
  nowMs: number,
): readonly Share[] {
  const shares = new Map<string, Share>();
  for (const { budget, windowAt } of meters) {
    const span = windowAt(nowMs);
    for (const target of candidates) {
      const subject = { caller, route, call, target };
      if (!budgetApplies(budget, subject)) continue;
      for (const measure of measures) {
        const limit = measure.limitOf(budget);
        if (limit === undefined) continue;
        const value = budgetValue(budget, subject);
        const { counter, range } = counterPlace(budget, measure.unit, span, value);
        const amount =
          measure.most(target, targetCall(call, target), catalogue.prices) ?? unpriced(target, catalogue, log);
        const known = shares.get(counter);
        shares.set(counter, {
          budget,
          measure,
          limit,
          span,
          value,
          counter,
          range,
          amount: Math.max(amount, known?.amount ?? 0),
          candidates: [...(known?.candidates ?? []), { entity: target.entity.id, model: target.model, amount }],
        });
      }
    }
  }
  return [...shares.values()];
}

/** What counts where nobody knows a price: nothing, and not in silence. @throws GatewayError unpriced_model */
function unpriced({ entity, model }: Target, catalogue: Catalogue, log: Logger): 0 {
  if (catalogue.unpriced === 'reject') {
    const message =
      `No price is known for the model \`${model}\` of \`${entity.id}\`, and a budget in dollars counts it. ` +
      'The gateway’s file may give it one in `prices`, or let such calls pass with `unpriced: allow`.';
    throw new GatewayError('unpriced_model', message, { param: 'model' });
  }
  log.warn('a call without a price is not counted in dollars', { entity: entity.id, model });
  return 0;
}

/** What a share reserves. @param amount what it is to be in place of the most that the call may come to */
export function holdOf({ counter, range, budget, limit, span, amount: most }: Share, amount = most): Hold {
  return {
    counter,
    range,
    amount,
    limit: budget.onExceed === 'block' ? limit : undefined,
    expiresAtMs: span.forgottenAtMs,
  };
}

/** @throws GatewayError budget_exceeded when the reservation was refused */
export function refuse(reservation: Reservation, shares: readonly Share[]): void {
  if (reservation.kind === 'held') return;
  const share = shareOf(reservation, shares);
  if (share === undefined) throw new GatewayError('budget_exceeded', 'A budget has no room for this call.');
  throw noRoom(share, reservation.state);
}

/** The refusal of a call for which a counter has no room as it stands. */
export function noRoom(share: Share, { settled, held }: CounterState): GatewayError {
  return new GatewayError(
    'budget_exceeded',
    `The budget \`${share.budget.id}\` has no room for this call ` +
      `${share.measure.refusal(share.amount, settled + held, share.limit)} ${ending(share)}`,
  );
}

export function shareOf({ counter }: { readonly counter: string }, shares: readonly Share[]): Share | undefined {
  return shares.find((share) => share.counter === counter);
}

function ending({ budget: { window }, span: { endMs } }: Share): string {
  if (typeof window === 'object') return `It counts the last ${formatDuration(window.rollingMs)}.`;
  return Number.isFinite(endMs) ? `Its window ends at ${new Date(endMs).toISOString()}.` : 'It has no further window.';
}

/** What this call has used on one share, by what is known about each of its attempts. */
export function amountOf(share: Share, attempts: readonly Attempt[], end: ExchangeEnd): number {
  if (end.kind !== 'aborted' || share.budget.abandoned === 'settle') return usedOf(share, attempts);
  // The client can only have left during the last try.
  const last = triesOf(attempts).at(-1)?.attempts ?? [];
  return usedOf(
    share,
    attempts.filter((each) => !(last.includes(each) && isLost(each) && each.answeredAtMs === undefined)),
  );
}

export function usedOf({ measure, candidates }: Share, attempts: readonly Attempt[]): number {
  const counted = attempts.filter(({ entity, model }) => candidates.some((each) => isAt(each, entity, model)));
  // What has no price was let through uncounted.
  return counted.reduce((sum, attempt) => sum + (measure.used([attempt]) ?? 0), 0);
}

/** The most that the rest of a call may come to at a target on one share; nothing when it is not counted there. */
export function mostAt({ candidates }: Share, { entity, model }: Target): number {
  return candidates.find((candidate) => isAt(candidate, entity.id, model))?.amount ?? 0;
}

/** Whether anything was tried that a share counts. */
export function isTouched({ candidates }: Share, attempts: readonly Attempt[]): boolean {
  return attempts.some(({ entity, model }) => candidates.some((each) => isAt(each, entity, model)));
}
