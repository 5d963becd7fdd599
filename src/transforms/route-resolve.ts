import schema from '../../schemas/stages/route-resolve.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import type { ImageCall, Operation } from '../pipeline/call.ts';
import type { Alias, AliasTarget, Catalogue, Entity, Route, Target } from '../pipeline/settings.ts';
import { defineStage, type StageEnv } from '../pipeline/stage.ts';

/**
 * `model` → candidate targets. The spellings, first hit wins: an alias; `entity###model`; `slug/model` or
 * `entity-id/model` among the route's refs; `provider-type/model`; otherwise the whole string is a model of the first
 * ref, for the providers' own model names do contain slashes. No model: the first ref's default.
 */
export const routeResolve = defineStage({
  name: 'route-resolve',
  schema,
  reads: ['call'],
  writes: ['candidates', 'target'],
  create(_config, env) {
    const resolve = createResolver(env.route, env.catalogue, aliasOrder(env));

    return function routeResolve({ call }) {
      const asked = [call.model, ...call.fallbacks];
      const resolved = asked.flatMap((model) => resolve(model, call.operation));
      const able = resolved.filter((target) => inability(target, call, env.route) === undefined);
      const [target] = able;
      if (target === undefined) throw refusal(resolved[0], call, env.route);
      return { candidates: able, target };
    };
  },
});

type Resolver = (model: string | undefined, operation: Operation) => readonly Target[];

/** Prepares the look-ups for one route. */
export function createResolver(
  route: Route,
  catalogue: Catalogue,
  order: (alias: Alias) => readonly AliasTarget[],
): Resolver {
  const refs = route.refs.flatMap((id) => catalogue.entities.get(id) ?? []);
  const [first] = refs;
  const byProvider = firstOfEach(refs, (entity) => entity.providerNames);
  const byName = firstOfEach(refs, (entity) => [entity.id, ...entity.slugs]);
  for (const entity of refs) byName.set(entity.id, entity);

  return function resolve(model, operation) {
    if (first === undefined) {
      throw new GatewayError('no_healthy_target', 'No entity of this route is active.', { retry: false });
    }
    if (model === undefined) return [defaultTarget(first, operation)];
    const alias = catalogue.aliases.get(model);
    if (alias !== undefined) return aliasTargets(alias);

    const byHashes = split(model, '###');
    if (byHashes !== undefined) {
      const entity = byName.get(byHashes.prefix);
      if (entity === undefined || byHashes.rest === '') throw modelNotFound(model);
      return [{ entity, model: byHashes.rest, alias: undefined }];
    }
    const bySlash = split(model, '/');
    if (bySlash !== undefined && bySlash.rest !== '') {
      const entity = byName.get(bySlash.prefix) ?? byProvider.get(bySlash.prefix);
      if (entity !== undefined) return [{ entity, model: bySlash.rest, alias: undefined }];
      // Sending `openai-main/x` to another provider because openai-main lacks its key would hide the true cause.
      if (catalogue.inactiveNames.has(bySlash.prefix)) throw modelNotFound(model);
    }
    return [{ entity: first, model, alias: undefined }];
  };

  function aliasTargets(alias: Alias): readonly Target[] {
    // What is not on this route takes no turn and has no weight.
    const here = alias.targets.filter(({ entityId }) => byName.has(entityId));
    if (here.length === 0) throw modelNotFound(alias.name);
    return order({ ...alias, targets: here }).flatMap(({ entityId, model }) => {
      const entity = byName.get(entityId);
      return entity === undefined ? [] : [{ entity, model, alias: alias.name }];
    });
  }
}

function firstOfEach(entities: readonly Entity[], names: (entity: Entity) => readonly string[]): Map<string, Entity> {
  const found = new Map<string, Entity>();
  for (const entity of entities) {
    for (const name of names(entity)) if (!found.has(name)) found.set(name, entity);
  }
  return found;
}

function split(text: string, separator: string): { prefix: string; rest: string } | undefined {
  const at = text.indexOf(separator);
  return at < 0 ? undefined : { prefix: text.slice(0, at), rest: text.slice(at + separator.length) };
}

function defaultTarget(entity: Entity, operation: Operation): Target {
  const { model } = entity.operations[operation];
  if (model === undefined) {
    throw new GatewayError('missing_required_parameter', 'No `model` was sent, and this route has no default.', {
      param: 'model',
    });
  }
  return { entity, model, alias: undefined };
}

function modelNotFound(model: string): GatewayError {
  return new GatewayError('model_not_found', `The model \`${model}\` does not exist on this route.`, {
    param: 'model',
  });
}

/** The error for a call that nothing can serve: what kept its first choice from it. */
function refusal(first: Target | undefined, call: ImageCall, route: Route): GatewayError {
  const reason = first === undefined ? undefined : inability(first, call, route);
  return reason ?? new GatewayError('no_healthy_target', 'There is nothing that could serve this call.');
}

/** Why a target cannot serve a call; undefined when it can. */
function inability(
  { entity, model }: Target,
  { operation, prompt }: ImageCall,
  { allowProviders }: Route,
): GatewayError | undefined {
  if (allowProviders !== undefined && !entity.providerNames.some((name) => allowProviders.has(name))) {
    return new GatewayError('invalid_value', `This route serves no models of the provider of \`${entity.id}\`.`, {
      param: 'model',
    });
  }
  if (!entity.operations[operation].enabled) {
    return new GatewayError('operation_not_enabled', `Image ${operation} is not enabled for \`${entity.id}\`.`);
  }
  const capabilities = entity.provider.capabilities(model, operation);
  if (capabilities === undefined) {
    return new GatewayError(
      'operation_not_supported',
      `The provider of \`${entity.id}\` has no image ${operation} for \`${model}\`.`,
      { retry: false },
    );
  }
  if (capabilities.promptOptional === true || (prompt !== undefined && prompt !== '')) return undefined;
  return new GatewayError('missing_required_parameter', 'The parameter "prompt" is required.', { param: 'prompt' });
}

/** The order in which an alias's targets are tried, by its strategy. The turn of a round robin survives reloads. */
function aliasOrder(env: StageEnv): (alias: Alias) => readonly AliasTarget[] {
  const turns = new Map(
    [...env.catalogue.aliases.keys()].map((name) => [name, env.share(`alias-turn:${name}`, () => ({ taken: 0 }))]),
  );
  return function order(alias) {
    switch (alias.strategy) {
      case 'failover':
        return alias.targets;
      case 'round_robin': {
        const turn = turns.get(alias.name);
        return turn === undefined ? alias.targets : startingAt(alias.targets, turn.taken++);
      }
      case 'weighted':
        return startingAt(alias.targets, weightedIndex(alias.targets, env.random()));
    }
  };
}

/** The list rotated so that it starts with one of its members; the others stay as second choices. */
function startingAt<Item>(list: readonly Item[], index: number): readonly Item[] {
  const start = index % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}

/** @param random from 0 up to but not including 1 */
function weightedIndex(targets: readonly AliasTarget[], random: number): number {
  const total = targets.reduce((sum, target) => sum + target.weight, 0);
  let left = random * total;
  const index = targets.findIndex((target) => (left -= target.weight) < 0);
  return Math.max(index, 0);
}
