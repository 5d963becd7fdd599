import { hash } from 'node:crypto';
import { filterAllows } from '../model-filter.ts';
import type { Budget, Caller, Route, Target } from '../pipeline/settings.ts';
import { targetNames } from '../pipeline/target-names.ts';
import type { WindowSpan } from './windows.ts';

/** One call at one target, as budgets see it. */
export interface BudgetSubject {
  readonly caller: Caller;
  readonly route: Route;
  readonly target: Target;
}

/**
 * Whether a budget counts this call. All lists of its scope must match. For a consumer that names the budget, the lists
 * that say whose calls are meant (consumers, users, teams) need not; those that say which calls still must.
 */
export function budgetApplies(budget: Budget, { caller: { consumer }, route, target }: BudgetSubject): boolean {
  const { consumers, users, teams, providers, routes, models } = budget.scope;
  const named = consumer?.budgets.includes(budget.id) === true;
  return (
    (named || (isIn(consumers, consumer?.id) && isIn(users, consumer?.user) && isIn(teams, consumer?.team))) &&
    isIn(routes, route.id) &&
    (providers === undefined || target.entity.providerNames.some((name) => providers.has(name))) &&
    (models === undefined || filterAllows(models, targetNames(target)))
  );
}

function isIn(list: ReadonlySet<string> | undefined, value: string | undefined): boolean {
  return list === undefined || (value !== undefined && list.has(value));
}

/** The counter's value for calls that have none: a caller without a team, under a budget per team. */
export const noValue = '(none)';

/** Which of a budget's counters this call is counted on; undefined when the budget has one counter for all. */
export function budgetValue(budget: Budget, subject: BudgetSubject): string | undefined {
  return budget.per === undefined ? undefined : (valueOf(budget.per, subject) ?? noValue);
}

function valueOf(per: NonNullable<Budget['per']>, { caller, route, target }: BudgetSubject): string | undefined {
  const values: Record<typeof per, string | undefined> = {
    consumer: caller.consumer?.id,
    user: caller.consumer?.user,
    team: caller.consumer?.team,
    model: target.model,
    provider: target.entity.providerNames[0],
    route: route.id,
  };
  return values[per];
}

/**
 * The identity of a budget's counter in the state store, such as
 * `budget/growth-month/images/month/2026-11-01T00:00:00.000Z/team/growth`. What changes the meaning of the count is in
 * it; the limit is not, so a new limit holds for what was used before.
 * @param unit what is counted
 * @param value what `budgetValue` gave
 */
export function counterName(budget: Budget, unit: string, span: WindowSpan, value: string | undefined): string {
  const window = budget.window === 'lifetime' ? [] : [new Date(span.startMs).toISOString()];
  const part = budget.per === undefined || value === undefined ? ['all'] : [budget.per, namePart(value)];
  return ['budget', encodeURIComponent(budget.id), unit, budget.window, ...window, ...part].join('/');
}

const longestPart = 256;

/** A value that callers may choose, such as a model: bounded, and of characters that every store takes. */
function namePart(value: string): string {
  const encoded = encodeURIComponent(value.toWellFormed());
  return encoded.length <= longestPart ? encoded : `sha256:${hash('sha256', value)}`;
}
