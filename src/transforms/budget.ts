import { randomUUID } from 'node:crypto';
import schema from '../../schemas/stages/budget.schema.json' with { type: 'json' };
import { openRow, rowOutcome } from '../budget/ledger-row.ts';
import { measures, type Measure } from '../budget/measures.ts';
import { persist, persistMs, reasonOf } from '../budget/persist.ts';
import { budgetApplies, budgetValue, counterName } from '../budget/scope.ts';
import { isLost, triesOf } from '../budget/usage.ts';
import { createWindowClock, type WindowSpan } from '../budget/windows.ts';
import { GatewayError } from '../errors.ts';
import type { Attempt, Exchange, ExchangeEnd, ExchangeView } from '../pipeline/exchange.ts';
import type { Logger } from '../log.ts';
import type { Budget, Catalogue, Target } from '../pipeline/settings.ts';
import { defineStage, type StageEnv } from '../pipeline/stage.ts';
import { targetCall } from '../pipeline/target-call.ts';
import type { Hold, Reservation } from '../stores/store.ts';

/** A counter outlives its window: for reports, and for a system clock that is set back. */
const keptAfterWindowMs = 24 * 3_600_000;

/**
 * Takes what a call may use from every budget that applies, before anything is sent, and puts what it has used in its
 * place afterwards. A call with several candidates holds room on the budgets of all of them, since any may be the one that
 * serves it. The call's row in the ledger is written together with the reservation, also when no budget applies: so that
 * no picture is paid for of which the books know nothing.
 */
export const budget = defineStage({
  name: 'budget',
  schema,
  reads: ['caller', 'call', 'candidates'],
  writes: [],
  before: ['reply'],
  create(_config, env) {
    const meters = env.catalogue.budgets.map((each) => ({
      budget: each,
      windowAt: createWindowClock(each.window, each.timeZone),
    }));
    const warnings = env.share('budget/warnings', () => new Map<string, number>());
    const served = new WeakSet<Exchange>();

    return async function budget(exchange) {
      // Within a `fallback` the stage runs for each candidate; the first run has reserved for all of them.
      if (served.has(exchange)) return;
      served.add(exchange);
      const nowMs = env.clock.now();
      const shares = sharesOf(exchange, meters, env, nowMs);
      const id = `${exchange.id}/${randomUUID()}`;
      const terms = { heldUntilMs: nowMs + exchange.route.timeoutMs + persistMs };
      const row = openRow(exchange, env.catalogue.prices);
      const reserving = env.store.reserve(id, shares.map(holdOf), { ...terms, row });
      /** What was reserved on top of it for further tries. */
      const more: { readonly id: string; readonly amounts: readonly number[] }[] = [];
      exchange.ledgerIds.add(id);
      // Registered before the answer is there, so that no end of the exchange can fall between the two.
      exchange.defer(async (end) => {
        // A failure to reserve has failed the exchange; then there is nothing to settle.
        const reservation = await reserving.catch(() => undefined);
        if (reservation?.kind !== 'held') return;
        await settle(env, exchange, id, shares, end, warnings);
        for (const { id: further } of more) await release(env, exchange, further);
      });
      try {
        refuse(await reserving, shares);
      } catch (error) {
        const failed = error instanceof GatewayError && error.code === 'overloaded';
        if (!failed || env.catalogue.onStateFailure === 'reject') throw error;
        exchange.ledgerIds.delete(id);
        exchange.log.error('a call goes on uncounted, since the state cannot be written to', reasonOf(error));
        return;
      }

      // What earlier tries may have cost is used up; another one needs room of its own.
      exchange.gates.push(async function roomForAnother(target) {
        const held = shares.map(({ amount }, index) =>
          more.reduce((sum, { amounts }) => sum + (amounts[index] ?? 0), amount),
        );
        const amounts = shares.map((share, index) => {
          const next = share.candidates.find((candidate) => isAt(candidate, target.entity.id, target.model));
          return Math.max(0, usedOf(share, exchange.attempts) + (next?.amount ?? 0) - (held[index] ?? 0));
        });
        if (amounts.every((amount) => amount === 0)) return true;
        const further = `${exchange.id}/${randomUUID()}`;
        const holds = shares.map((share, index) => ({ ...holdOf(share), amount: amounts[index] ?? 0 }));
        try {
          const reservation = await env.store.reserve(further, holds, terms);
          if (reservation.kind === 'held') more.push({ id: further, amounts });
          else
            exchange.log.warn('no budget has room for another try', { entity: target.entity.id, model: target.model });
          return reservation.kind === 'held';
        } catch (error) {
          exchange.log.error('nothing could be reserved for another try', reasonOf(error));
          return env.catalogue.onStateFailure === 'allow';
        }
      });
    };
  },
});

function holdOf({ counter, budget: { onExceed }, limit, span, amount }: Share): Hold {
  return {
    counter,
    amount,
    limit: onExceed === 'block' ? limit : undefined,
    expiresAtMs: Number.isFinite(span.endMs) ? span.endMs + keptAfterWindowMs : undefined,
  };
}

interface Meter {
  readonly budget: Budget;
  readonly windowAt: (nowMs: number) => WindowSpan;
}

/** What a call takes from one counter of a budget. */
interface Share {
  readonly budget: Budget;
  readonly measure: Measure;
  readonly limit: number;
  readonly span: WindowSpan;
  readonly counter: string;
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

type View = ExchangeView<'caller' | 'call' | 'candidates'>;

/** @throws GatewayError unpriced_model */
function sharesOf(
  { caller, route, call, candidates }: View,
  meters: readonly Meter[],
  { catalogue, log }: StageEnv,
  nowMs: number,
): readonly Share[] {
  const shares = new Map<string, Share>();
  for (const { budget, windowAt } of meters) {
    const span = windowAt(nowMs);
    for (const target of candidates) {
      const subject = { caller, route, target };
      if (!budgetApplies(budget, subject)) continue;
      for (const measure of measures) {
        const limit = measure.limitOf(budget);
        if (limit === undefined) continue;
        const counter = counterName(budget, measure.unit, span, budgetValue(budget, subject));
        const amount =
          measure.most(target, targetCall(call, target), catalogue.prices) ?? unpriced(target, catalogue, log);
        const known = shares.get(counter);
        shares.set(counter, {
          budget,
          measure,
          limit,
          span,
          counter,
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

/** @throws GatewayError budget_exceeded when the reservation was refused */
function refuse(reservation: Reservation, shares: readonly Share[]): void {
  if (reservation.kind === 'held') return;
  const share = shares.find(({ counter }) => counter === reservation.counter);
  const used = reservation.state.settled + reservation.state.held;
  throw new GatewayError(
    'budget_exceeded',
    share === undefined
      ? 'A budget has no room for this call.'
      : `The budget \`${share.budget.id}\` has no room for this call ` +
          `${share.measure.refusal(share.amount, used, share.limit)} ${ending(share.span)}`,
  );
}

function ending({ endMs }: WindowSpan): string {
  return Number.isFinite(endMs) ? `Its window ends at ${new Date(endMs).toISOString()}.` : 'It has no further window.';
}

async function settle(
  env: StageEnv,
  exchange: View,
  id: string,
  shares: readonly Share[],
  end: ExchangeEnd,
  warnings: Map<string, number>,
): Promise<void> {
  const amounts = shares.map((share) => amountOf(share, exchange.attempts, end));
  const outcome = rowOutcome(exchange, end, env.clock.now());
  const write = exchange.attempts.some(({ sent }) => sent)
    ? () => env.store.settle(id, amounts, outcome)
    : () => env.store.release(id, outcome);
  await persist(
    async () => {
      await write();
      await warn(env, shares, warnings);
    },
    {
      clock: env.clock,
      log: exchange.log,
      failure: 'a reservation could not be settled',
      success: 'a reservation was settled late',
      fields: { reservation: id, amounts, outcome },
    },
  );
}

/** Gives back what was reserved for a further try; by now it is part of what was settled. */
async function release(env: StageEnv, { log }: View, id: string): Promise<void> {
  await persist(() => env.store.release(id), {
    clock: env.clock,
    log,
    failure: 'a reservation could not be released',
    success: 'a reservation was released late',
    fields: { reservation: id },
  });
}

/** What this call has used on one share, by what is known about each of its attempts. */
function amountOf(share: Share, attempts: readonly Attempt[], end: ExchangeEnd): number {
  if (end.kind !== 'aborted' || share.budget.abandoned === 'settle') return usedOf(share, attempts);
  // The client can only have left during the last try.
  const last = triesOf(attempts).at(-1)?.attempts ?? [];
  return usedOf(
    share,
    attempts.filter((attempt) => !(last.includes(attempt) && isLost(attempt))),
  );
}

function usedOf({ measure, candidates }: Share, attempts: readonly Attempt[]): number {
  const counted = attempts.filter(({ entity, model }) => candidates.some((each) => isAt(each, entity, model)));
  // What has no price was let through uncounted.
  return counted.reduce((sum, attempt) => sum + (measure.used([attempt]) ?? 0), 0);
}

/**
 * Says once, for each counter and window, that a budget which only warns is exceeded.
 * @param warnings counters that were warned about, with the end of their window
 */
async function warn(env: StageEnv, shares: readonly Share[], warnings: Map<string, number>): Promise<void> {
  const nowMs = env.clock.now();
  for (const { budget, limit, counter, span } of shares) {
    if (budget.onExceed !== 'warn' || warnings.has(counter)) continue;
    const { settled } = await env.store.read(counter);
    if (settled <= limit || warnings.has(counter)) continue;
    for (const [old, endMs] of warnings) if (endMs <= nowMs) warnings.delete(old);
    warnings.set(counter, span.endMs);
    env.log.warn('budget exceeded', { budget: budget.id, counter, used: settled, limit });
  }
}
