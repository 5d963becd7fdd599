import { filterAllows } from '../model-filter.ts';
import type { NameList } from '../name-list.ts';
import type { ImageCall } from '../pipeline/call.ts';
import type { Budget, Caller, Route, Target } from '../pipeline/settings.ts';
import { targetNames } from '../pipeline/target-names.ts';

/** One call at one target, as budgets see it. */
export interface BudgetSubject {
  readonly caller: Caller;
  readonly route: Route;
  readonly call: Pick<ImageCall, 'parameters'>;
  readonly target: Target;
}

/**
 * Whether a budget counts this call. All lists of its scope must match. For a consumer that names the budget, the lists
 * that say whose calls are meant (consumers, users, teams) need not; those that say which calls still must.
 */
export function budgetApplies(budget: Budget, { caller: { consumer }, route, target }: BudgetSubject): boolean {
  const { consumers, users, teams, providers, entities, routes, models } = budget.scope;
  const { entity } = target;
  const named = consumer?.budgets.includes(budget.id) === true;
  return (
    (named || (isIn(consumers, consumer?.id) && isIn(users, consumer?.user) && isIn(teams, consumer?.team))) &&
    isIn(routes, route.id) &&
    isIn(entities, entity.id) &&
    (providers === undefined || [entity.id, ...entity.providerNames].some((name) => providers.has(name))) &&
    (models === undefined || filterAllows(models, targetNames(target)))
  );
}

function isIn(list: NameList | undefined, value: string | undefined): boolean {
  return list === undefined || (value !== undefined && list.has(value));
}

/** The counter's value for calls that have none: a caller without a team, under a budget per team. */
export const noValue = '(none)';

/** Which of a budget's counters this call is counted on; undefined when the budget has one counter for all. */
export function budgetValue(budget: Budget, subject: BudgetSubject): string | undefined {
  return budget.per === undefined ? undefined : (valueOf(budget.per, subject) ?? noValue);
}

function valueOf(per: NonNullable<Budget['per']>, { caller, route, call, target }: BudgetSubject): string | undefined {
  const values: Record<typeof per, string | undefined> = {
    consumer: caller.consumer?.id,
    user: caller.consumer?.user,
    team: caller.consumer?.team,
    end_user: caller.endUser ?? call.parameters.user,
    model: target.model,
    provider: target.entity.providerNames[0],
    entity: target.entity.id,
    route: route.id,
  };
  return values[per];
}
