import schema from '../../schemas/stages/route-resolve.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import type { ImageCall, Operation } from '../pipeline/call.ts';
import { inOrderOf } from '../pipeline/job.ts';
import { anonymous, type Alias, type Catalogue, type Entity, type Route, type Target } from '../pipeline/settings.ts';
import { defineStage } from '../pipeline/stage.ts';
import { createAliasOrder, type AliasChoice, type AliasOrder, type AliasQuestion } from './alias-order.ts';

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
  optional: ['caller'],
  create(_config, env) {
    const { order, latencies } = createAliasOrder(env);
    const resolve = createResolver(env.route, env.catalogue, order);
    const isFollowed = createFollowed(env.catalogue);

    return function routeResolve({ call, caller = anonymous, attempts, defer, job }) {
      const found = resolveAll(resolve, { call, caller, takesTurn: job === undefined });
      // A job has taken its turn when it came.
      const resolved = job === undefined ? found : inOrderOf(job.candidates, found);
      if (isFollowed.any) defer((end) => latencies.observe(attempts, end, isFollowed.target));
      return whatIsAble(resolved, call, env.route);
    };
  },
  explain(_config, env) {
    const { order } = createAliasOrder(env);
    const resolve = createResolver(env.route, env.catalogue, order);

    return function explainRouteResolve({ call, caller }, { account, notes }) {
      if (call === undefined) return undefined;
      const resolved = resolveAll(resolve, { call, caller, takesTurn: false });
      for (const target of resolved) {
        const reason = inability(target, call, env.route);
        const candidate = account.candidate(target);
        if (reason === undefined) continue;
        Object.assign(candidate, { allowed: false, rule: reason.message, refusal: reason });
      }
      const alias = call.model === undefined ? undefined : env.catalogue.aliases.get(call.model);
      notes.push(alias === undefined ? 'resolved by its spelling' : orderInWords(alias));
      return whatIsAble(resolved, call, env.route);
    };
  },
});

function orderInWords({ name, strategy, sticky }: Alias): string {
  const chance = strategy === 'weighted' ? ', here the likeliest first' : '';
  return `the alias ${name}, in the order of ${strategy}${chance}${sticky === undefined ? '' : `, sticky by ${sticky}`}`;
}

/** Whose latencies an alias goes by. */
function createFollowed({ aliases }: Catalogue): { any: boolean; target(entity: string, model: string): boolean } {
  const followed = new Set(
    [...aliases.values()]
      .filter(({ strategy }) => strategy === 'least_latency')
      .flatMap(({ targets }) => targets.map(({ entityId, model }) => JSON.stringify([entityId, model]))),
  );
  return { any: followed.size > 0, target: (entity, model) => followed.has(JSON.stringify([entity, model])) };
}

/** What the model asked for and the caller's fallbacks come to, each once. @throws GatewayError of the first that is none */
function resolveAll(resolve: Resolver, question: AliasQuestion): readonly Target[] {
  const { model, fallbacks } = question.call;
  const resolved = [...resolve(model, question), ...fallbacks.flatMap((each) => resolveFallback(each))];
  const seen = new Set<string>();
  return resolved.filter(({ entity, model: name, alias }) => {
    const key = JSON.stringify([entity.id, name, alias]);
    return !seen.has(key) && seen.add(key).has(key);
  });

  function resolveFallback(fallback: string): readonly Target[] {
    try {
      return resolve(fallback, question);
    } catch (error) {
      if (!(error instanceof GatewayError) || error.param !== 'model') throw error;
      throw new GatewayError(error.code, error.message, { param: 'fallbacks', retry: error.retry });
    }
  }
}

/** @throws GatewayError what keeps the first from serving the call, when none can */
function whatIsAble(resolved: readonly Target[], call: ImageCall, route: Route) {
  const candidates = resolved.filter((target) => inability(target, call, route) === undefined);
  const [target] = candidates;
  if (target === undefined) throw refusal(resolved[0], call, route);
  return { candidates, target };
}

type Resolver = (model: string | undefined, question: AliasQuestion) => readonly Target[];

/** Prepares the look-ups for one route. */
export function createResolver(route: Route, catalogue: Catalogue, order: AliasOrder): Resolver {
  const refs = route.refs.flatMap((id) => catalogue.entities.get(id) ?? []);
  const [first] = refs;
  const byProvider = firstOfEach(refs, (entity) => entity.providerNames);
  const byName = firstOfEach(refs, (entity) => [entity.id, ...entity.slugs]);
  for (const entity of refs) byName.set(entity.id, entity);

  return function resolve(model, question) {
    if (first === undefined) {
      throw new GatewayError('no_healthy_target', 'No entity of this route is active.', { retry: false });
    }
    if (model === undefined) return [defaultTarget(first, question.call.operation)];
    const alias = catalogue.aliases.get(model);
    if (alias !== undefined) return aliasTargets(alias, question);

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

  function aliasTargets(alias: Alias, question: AliasQuestion): readonly Target[] {
    // What is not on this route takes no turn and has no weight.
    const here = alias.targets.flatMap(({ entityId, model, weight, priority }): AliasChoice[] => {
      const entity = byName.get(entityId);
      return entity === undefined ? [] : [{ target: { entity, model, alias: alias.name }, weight, priority }];
    });
    if (here.length === 0) throw modelNotFound(alias.name);
    return order(alias, here, question).map(({ target }) => target);
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
