import { randomUUID } from 'node:crypto';
import schema from '../../schemas/stages/budget.schema.json' with { type: 'json' };
import { budgetApplies, budgetValue, counterName } from '../budget/scope.ts';
import { imagesUsed, triesOf } from '../budget/usage.ts';
import { createWindowClock, type WindowSpan } from '../budget/windows.ts';
import { GatewayError } from '../errors.ts';
import type { Attempt, Exchange, ExchangeEnd, ExchangeView } from '../pipeline/exchange.ts';
import type { Budget } from '../pipeline/settings.ts';
import { defineStage, type StageEnv } from '../pipeline/stage.ts';
import { targetCall } from '../pipeline/target-call.ts';
import type { Reservation } from '../stores/store.ts';

/** A counter outlives its window: for reports, and for a system clock that is set back. */
const keptAfterWindowMs = 24 * 3_600_000;

/** Some five minutes of trying to settle: enough for somebody to make room on a full disk. */
const settleTries = 65;
const firstPauseMs = 250;
const longestPauseMs = 5_000;

/**
 * Takes the pictures that a call asks for from every budget that applies, before anything is sent, and puts the true
 * number in their place afterwards. A call with several candidates holds room on the budgets of all of them, since any
 * may be the one that serves it.
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
      const shares = sharesOf(exchange, meters, env.clock.now());
      if (shares.length === 0) return;

      const id = `${exchange.id}/${randomUUID()}`;
      const reserving = env.store.reserve(
        id,
        shares.map(({ counter, budget: { onExceed, limitImages }, span, images }) => ({
          counter,
          amount: images,
          limit: onExceed === 'block' ? limitImages : undefined,
          expiresAtMs: Number.isFinite(span.endMs) ? span.endMs + keptAfterWindowMs : undefined,
        })),
      );
      // Registered before the answer is there, so that no end of the exchange can fall between the two.
      exchange.defer(async (end) => {
        // A failure to reserve has failed the exchange; then there is nothing to settle.
        const reservation = await reserving.catch(() => undefined);
        if (reservation?.kind === 'held') await settle(env, exchange, id, shares, end, warnings);
      });
      refuse(await reserving, shares);
    };
  },
});

interface Meter {
  readonly budget: Budget;
  readonly windowAt: (nowMs: number) => WindowSpan;
}

/** What a call takes from one counter of a budget. */
interface Share {
  readonly budget: Budget;
  readonly span: WindowSpan;
  readonly counter: string;
  /** The most that one of the candidates may make. */
  readonly images: number;
  /** The candidates that are counted here, and how many pictures each is asked for. */
  readonly candidates: readonly { readonly entity: string; readonly model: string; readonly images: number }[];
}

function sharesOf(
  { caller, route, call, candidates }: ExchangeView<'caller' | 'call' | 'candidates'>,
  meters: readonly Meter[],
  nowMs: number,
): readonly Share[] {
  const shares = new Map<string, Share>();
  for (const { budget, windowAt } of meters) {
    const span = windowAt(nowMs);
    for (const target of candidates) {
      const subject = { caller, route, target };
      if (!budgetApplies(budget, subject)) continue;
      const counter = counterName(budget, span, budgetValue(budget, subject));
      const images = targetCall(call, target).parameters.n ?? 1;
      const known = shares.get(counter);
      shares.set(counter, {
        budget,
        span,
        counter,
        images: Math.max(images, known?.images ?? 0),
        candidates: [...(known?.candidates ?? []), { entity: target.entity.id, model: target.model, images }],
      });
    }
  }
  return [...shares.values()];
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
      : `The budget \`${share.budget.id}\` has no room for this call of ${share.images} images: ` +
          `${used} of ${share.budget.limitImages} are used. ${ending(share.span)}`,
  );
}

function ending({ endMs }: WindowSpan): string {
  return Number.isFinite(endMs) ? `Its window ends at ${new Date(endMs).toISOString()}.` : 'It has no further window.';
}

async function settle(
  env: StageEnv,
  exchange: Exchange,
  id: string,
  shares: readonly Share[],
  end: ExchangeEnd,
  warnings: Map<string, number>,
): Promise<void> {
  const amounts = shares.map((share) => amountOf(share, exchange.attempts, end));
  const write = exchange.attempts.some(({ sent }) => sent)
    ? () => env.store.settle(id, amounts)
    : () => env.store.release(id);
  const finish = async (): Promise<void> => {
    await write();
    await warn(env, shares, warnings);
  };
  try {
    await finish();
  } catch (error) {
    exchange.log.error('a reservation could not be settled, trying again', { reservation: id, amounts, error });
    // Not awaited: the request is over, and the disk may be full for long.
    void settleLater(env, finish, exchange, { reservation: id, amounts });
  }
}

/** Tries to settle until it works. What cannot be settled stays held, which errs on the safe side of the limit. */
async function settleLater(
  env: StageEnv,
  finish: () => Promise<void>,
  exchange: Exchange,
  fields: { readonly reservation: string; readonly amounts: readonly number[] },
): Promise<void> {
  let failure: unknown;
  for (let index = 0; index < settleTries; index += 1) {
    const pauseMs = Math.min(firstPauseMs * 2 ** index, longestPauseMs);
    await new Promise<void>((resolve) => void env.clock.timer(pauseMs, resolve));
    try {
      await finish();
      exchange.log.info('a reservation was settled late', fields);
      return;
    } catch (error) {
      failure = error;
      if (!(error instanceof GatewayError && error.code === 'overloaded')) break;
    }
  }
  exchange.log.error('a reservation could not be settled and stays held', { ...fields, error: failure });
}

/** Pictures of this call that count on one share, by what is known about each of its tries. */
function amountOf({ budget, candidates }: Share, attempts: readonly Attempt[], end: ExchangeEnd): number {
  const tries = triesOf(attempts);
  return tries.reduce((sum, each, index) => {
    const candidate = candidates.find(({ entity, model }) => entity === each.entity && model === each.model);
    if (candidate === undefined) return sum;
    // The client can only have left during the last try.
    const abandoned = end.kind === 'aborted' && index === tries.length - 1;
    return sum + imagesUsed(each, candidate.images, !abandoned || budget.abandoned === 'settle');
  }, 0);
}

/**
 * Says once, for each counter and window, that a budget which only warns is exceeded.
 * @param warnings counters that were warned about, with the end of their window
 */
async function warn(env: StageEnv, shares: readonly Share[], warnings: Map<string, number>): Promise<void> {
  const nowMs = env.clock.now();
  for (const { budget, counter, span } of shares) {
    if (budget.onExceed !== 'warn' || warnings.has(counter)) continue;
    const { settled } = await env.store.read(counter);
    if (settled <= budget.limitImages || warnings.has(counter)) continue;
    for (const [old, endMs] of warnings) if (endMs <= nowMs) warnings.delete(old);
    warnings.set(counter, span.endMs);
    env.log.warn('budget exceeded', { budget: budget.id, counter, used: settled, limit: budget.limitImages });
  }
}
