import schema from '../../schemas/stages/constrain.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import { decidingRule, filterAllows, type ModelFilter } from '../model-filter.ts';
import type { Caller, Route, Target } from '../pipeline/settings.ts';
import { targetNames } from '../pipeline/target-names.ts';
import { defineStage } from '../pipeline/stage.ts';

/**
 * Keeps the candidates that everybody concerned allows: the entity, the route, the consumer and its user, each by
 * itself. It judges what was resolved, defaults and fallbacks included, not what was written.
 */
export const constrain = defineStage({
  name: 'constrain',
  schema,
  reads: ['caller', 'candidates', 'target'],
  writes: ['candidates', 'target'],
  before: ['reply'],
  create(_config, env) {
    return function constrain({ caller, candidates, target }) {
      return whatIsAllowed(caller, env.route, { candidates, target });
    };
  },
  explain(_config, env) {
    return function explainConstrain({ caller, candidates = [], target }, { account, notes }) {
      for (const candidate of candidates) {
        Object.assign(account.candidate(candidate), judge(caller, env.route, candidate));
      }
      if (target === undefined) return undefined;
      const left = whatIsAllowed(caller, env.route, { candidates, target });
      notes.push(`${left.candidates.length} of ${candidates.length} candidates are allowed`);
      return left;
    };
  },
});

interface Choice {
  readonly candidates: readonly Target[];
  readonly target: Target;
}

/** @throws GatewayError model_not_allowed when nothing is left */
function whatIsAllowed(caller: Caller, route: Route, { candidates, target: wanted }: Choice): Choice {
  const allowed = candidates.filter((candidate) => mayUse(caller, route, candidate));
  // Within a `fallback` the wanted one is not the first, and those before it have had their turn.
  const place = candidates.indexOf(wanted);
  const target = allowed.find((candidate) => candidates.indexOf(candidate) >= place);
  if (target === undefined) {
    const model = candidates[0]?.alias ?? candidates[0]?.model ?? '';
    throw new GatewayError('model_not_allowed', `You may not use the model \`${model}\`.`, { param: 'model' });
  }
  return { candidates: allowed, target };
}

/** Whether a caller may use a target on a route. */
export function mayUse(caller: Caller, route: Route, target: Target): boolean {
  return rulesFor(caller, route, target).every(({ filter, names }) => filterAllows(filter, names));
}

/** The same, and what decided it: the first rule that keeps the target out, or those that let it in. */
export function judge(caller: Caller, route: Route, target: Target): { allowed: boolean; rule: string | undefined } {
  const rules = rulesFor(caller, route, target);
  const told = ({ whose, filter, names }: ModelRule): readonly string[] => {
    const rule = decidingRule(filter, names);
    return rule === undefined ? [] : [`${whose}: ${rule}`];
  };
  const decisive = rules.find(({ filter, names }) => !filterAllows(filter, names));
  const words = decisive === undefined ? rules.flatMap(told) : told(decisive);
  return { allowed: decisive === undefined, rule: words.length === 0 ? undefined : words.join('; ') };
}

interface ModelRule {
  readonly whose: string;
  readonly filter: ModelFilter;
  readonly names: readonly string[];
}

function rulesFor({ consumer }: Caller, route: Route, target: Target): readonly ModelRule[] {
  const names = targetNames(target);
  const { entity, model } = target;
  const caller = (consumer?.models ?? []).map((filter) => {
    const whose = filter.whose === 'user' ? `the user ${consumer?.user}` : `the consumer ${consumer?.id}`;
    return { whose, filter, names };
  });
  return [
    { whose: `the entity ${entity.id}`, filter: entity.models, names: [model] },
    { whose: `the route ${route.id}`, filter: route.models, names },
    ...caller,
  ];
}
