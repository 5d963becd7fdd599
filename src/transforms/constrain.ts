import schema from '../../schemas/stages/constrain.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import { filterAllows, type ModelFilter } from '../model-filter.ts';
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
    return function constrain({ caller, candidates, target: wanted }) {
      const allowed = candidates.filter((candidate) => mayUse(caller, env.route, candidate));
      // Within a `fallback` the wanted one is not the first, and those before it have had their turn.
      const place = candidates.indexOf(wanted);
      const target = allowed.find((candidate) => candidates.indexOf(candidate) >= place);
      if (target === undefined) {
        const model = candidates[0]?.alias ?? candidates[0]?.model ?? '';
        throw new GatewayError('model_not_allowed', `You may not use the model \`${model}\`.`, { param: 'model' });
      }
      return { candidates: allowed, target };
    };
  },
});

/** Whether a caller may use a target on a route. */
export function mayUse(caller: Caller, route: Route, target: Target): boolean {
  const names = targetNames(target);
  const callerFilters: readonly ModelFilter[] = caller.consumer?.models ?? [];
  return (
    filterAllows(target.entity.models, [target.model]) &&
    [route.models, ...callerFilters].every((filter) => filterAllows(filter, names))
  );
}
