import { randomUUID } from 'node:crypto';
import schema from '../../schemas/stages/budget.schema.json' with { type: 'json' };
import { createAlertWatch } from '../budget/alerts.ts';
import { openRow, rowOutcome } from '../budget/ledger-row.ts';
import { persist, persistMs, reasonOf } from '../budget/persist.ts';
import {
  amountOf,
  holdOf,
  isTouched,
  mostAt,
  noRoom,
  refuse,
  shareOf,
  sharesOf,
  usedOf,
  type Meter,
  type Share,
  type ShareView,
} from '../budget/shares.ts';
import { createBudgetClock } from '../budget/windows.ts';
import { GatewayError } from '../errors.ts';
import type { CountedBudget, Exchange, ExchangeEnd } from '../pipeline/exchange.ts';
import { defineStage, type StageEnv } from '../pipeline/stage.ts';

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
    const meters = metersOf(env);
    const alerts = createAlertWatch(env);
    const warnings = env.share('budget/warnings', () => new Map<string, number>());
    const served = new WeakSet<Exchange>();

    async function tell(shares: readonly Share[]): Promise<void> {
      await warn(env, shares, warnings);
      for (const share of shares) await alerts.look({ ...share, unit: share.measure.unit }, 'used');
    }

    return async function budget(exchange) {
      // Within a `fallback` the stage runs for each candidate; the first run has reserved for all of them.
      if (served.has(exchange)) return;
      served.add(exchange);
      const nowMs = env.clock.now();
      const shares = sharesOf(exchange, meters, env, nowMs);
      const id = `${exchange.id}/${randomUUID()}`;
      const terms = { heldUntilMs: nowMs + exchange.route.timeoutMs + persistMs };
      const row = openRow(exchange, env.catalogue.prices);
      const carried = exchange.job?.reservation;
      // What was made room for once is not refused when another process goes on with it.
      const holds = shares.map((share) => ({
        ...holdOf(share),
        ...(carried === undefined ? {} : { limit: undefined }),
      }));
      const reserving = env.store.reserve(id, holds, { ...terms, row });
      /** What was reserved on top of it for further tries. */
      const more: { readonly id: string; readonly amounts: readonly number[] }[] = [];
      const heldOn = (share: Share): number => {
        const index = shares.indexOf(share);
        return more.reduce((sum, { amounts }) => sum + (amounts[index] ?? 0), share.amount);
      };
      exchange.ledgerIds.add(id);
      // Registered before the answer is there, so that no end of the exchange can fall between the two.
      exchange.defer(async (end) => {
        // A failure to reserve has failed the exchange; then there is nothing to settle.
        const reservation = await reserving.catch(() => undefined);
        // Whoever goes on with the job settles it.
        if (exchange.job?.isParked() === true) return;
        if (reservation?.kind === 'held') {
          await settle(env, exchange, { id, further: more.map((each) => each.id) }, shares, end, tell);
        }
        const full = reservation?.kind === 'refused' ? shareOf(reservation, shares) : undefined;
        if (full !== undefined) await alerts.look({ ...full, unit: full.measure.unit }, 'refused');
      });
      try {
        refuse(await reserving, shares);
        // Only now, so that room for the call is held all the time.
        await exchange.job?.adopt(id);
        exchange.budgets.push(...shares.map((share) => counted(share, exchange, env, () => heldOn(share))));
      } catch (error) {
        const failed = error instanceof GatewayError && error.code === 'overloaded';
        if (!failed || env.catalogue.onStateFailure === 'reject') throw error;
        exchange.ledgerIds.delete(id);
        exchange.log.error('a call goes on uncounted, since the state cannot be written to', reasonOf(error));
        return;
      }

      // What earlier tries may have cost is used up; another one needs room of its own.
      exchange.gates.push(async function roomForAnother(target) {
        const amounts = shares.map((share) =>
          Math.max(0, usedOf(share, exchange.attempts) + mostAt(share, target) - heldOn(share)),
        );
        if (amounts.every((amount) => amount === 0)) return true;
        try {
          const further = `${exchange.id}/${randomUUID()}`;
          const reservation = await env.store.reserve(
            further,
            shares.map((share, index) => holdOf(share, amounts[index])),
            terms,
          );
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
  explain(_config, env) {
    const meters = metersOf(env);

    return async function explainBudget({ caller, route, call, candidates }, { account, notes }) {
      // Within a `fallback` it reserves once for all.
      if (call === undefined || candidates === undefined || account.budgets.length > 0) return;
      const shares = sharesOf({ caller, route, call, candidates }, meters, env, env.clock.now());
      if (shares.length === 0) notes.push('no budget counts this call');
      for (const share of shares) {
        const { budget, value, measure, limit, amount, span, counter, range } = share;
        const standing = account.readsCounts ? await env.store.read(counter, range) : undefined;
        account.budgets.push({
          id: budget.id,
          per: value === undefined ? undefined : budget.per,
          value,
          unit: measure.unit,
          limit,
          amount,
          onExceed: budget.onExceed,
          windowEndMs: span.endMs,
          standing,
        });
        const hasRoom = standing === undefined || standing.settled + standing.held + amount <= limit;
        if (standing !== undefined && !hasRoom && budget.onExceed === 'block') {
          account.refuse(noRoom(share, standing));
        }
      }
    };
  },
});

function metersOf({ catalogue }: StageEnv): readonly Meter[] {
  return catalogue.budgets.map((each) => ({ budget: each, windowAt: createBudgetClock(each.window, each.timeZone) }));
}

/** A share, for whoever is to be told how its budget stands. @param held what is reserved on it for this call */
function counted(share: Share, { attempts }: ShareView, { store }: StageEnv, held: () => number): CountedBudget {
  const { budget, value, measure, limit, span, counter, range } = share;
  return {
    id: budget.id,
    per: value === undefined ? undefined : budget.per,
    value,
    unit: measure.unit,
    limit,
    windowEndMs: span.endMs,
    async used() {
      if (!isTouched(share, attempts)) return undefined;
      const state = await store.read(counter, range);
      // The reservation stands until the answer's last byte.
      return state.settled + state.held - held() + usedOf(share, attempts);
    },
  };
}

/** What a call has reserved: at first, and for further tries. */
interface Reserved {
  readonly id: string;
  readonly further: readonly string[];
}

async function settle(
  env: StageEnv,
  exchange: ShareView,
  { id, further }: Reserved,
  shares: readonly Share[],
  end: ExchangeEnd,
  tell: (shares: readonly Share[]) => Promise<void>,
): Promise<void> {
  const { store } = env;
  const amounts = shares.map((share) => amountOf(share, exchange.attempts, end));
  const outcome = rowOutcome(exchange, end, env.clock.now());
  const wasSent = exchange.attempts.some(({ sent }) => sent);
  await persist(
    async () => {
      // Asked for in one turn, they share a transaction; what was for further tries is part of what is settled.
      await Promise.all([
        wasSent ? store.settle(id, amounts, outcome) : store.release(id, outcome),
        ...further.map((each) => store.release(each)),
      ]);
      await tell(shares);
    },
    {
      clock: env.clock,
      log: exchange.log,
      failure: 'a reservation could not be settled',
      success: 'a reservation was settled late',
      fields: { reservation: id, further, amounts, outcome },
    },
  );
}

/**
 * Says once, for each counter and window, that a budget which only warns is exceeded.
 * @param warnings counters that were warned about, and until when no further warning is due
 */
async function warn(env: StageEnv, shares: readonly Share[], warnings: Map<string, number>): Promise<void> {
  const nowMs = env.clock.now();
  for (const { budget, limit, counter, range, span } of shares) {
    const name = range?.prefix ?? counter;
    if (budget.onExceed !== 'warn' || warnings.has(name)) continue;
    const { settled } = await env.store.read(counter, range);
    if (settled <= limit || warnings.has(name)) continue;
    for (const [old, untilMs] of warnings) if (untilMs <= nowMs) warnings.delete(old);
    warnings.set(name, span.forgottenAtMs ?? Infinity);
    env.log.warn('budget exceeded', { budget: budget.id, counter: name, used: settled, limit });
  }
}
