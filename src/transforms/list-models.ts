import schema from '../../schemas/stages/list-models.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import type { Catalogue, Route, Target } from '../pipeline/settings.ts';
import { jsonResponse } from '../pipeline/response.ts';
import { defineStage } from '../pipeline/stage.ts';
import { mayUse } from './constrain.ts';

/** OpenAI's model object. */
interface ModelObject {
  readonly id: string;
  readonly object: 'model';
  readonly created: number;
  readonly owned_by: string;
}

interface ListedModel {
  readonly object: ModelObject;
  /** What stands behind it; the caller may see the name when it may use one of them. */
  readonly targets: readonly Target[];
}

/**
 * The aliases and models that this caller may use, in OpenAI's list form; with `:id` in the route's path, one of them.
 * The models of an entity are those that its options name: a provider may well serve more.
 */
export const listModels = defineStage({
  name: 'list-models',
  schema,
  reads: ['caller'],
  writes: ['response'],
  create(_config, env) {
    const listed = listEverything(env.catalogue, env.route, Math.floor(env.clock.now() / 1000));

    return function listModels({ caller, request }) {
      const visible = listed.filter(({ targets }) => targets.some((target) => mayUse(caller, env.route, target)));
      const id = request.parameters['id'];
      if (id === undefined) {
        return { response: jsonResponse(200, { object: 'list', data: visible.map(({ object }) => object) }) };
      }
      const found = visible.find(({ object }) => object.id === id);
      if (found === undefined) {
        throw new GatewayError('model_not_found', `The model \`${id}\` does not exist.`, { param: 'model' });
      }
      return { response: jsonResponse(200, found.object) };
    };
  },
});

function listEverything(catalogue: Catalogue, route: Route, created: number): readonly ListedModel[] {
  const entities =
    route.refs.length === 0
      ? [...catalogue.entities.values()]
      : route.refs.flatMap((id) => catalogue.entities.get(id) ?? []);
  const own = entities.flatMap((entity) => {
    const { generation, edition } = entity.operations;
    const named = [generation, edition].flatMap(({ enabled, model }) =>
      enabled && model !== undefined ? [model] : [],
    );
    return [...new Set(named)].map((model): ListedModel => {
      const id = `${entity.id}/${model}`;
      return {
        object: { id, object: 'model', created, owned_by: entity.providerNames[0] ?? entity.id },
        targets: [{ entity, model, alias: undefined }],
      };
    });
  });
  const aliases = [...catalogue.aliases.values()].map((alias): ListedModel => {
    const targets = alias.targets.flatMap(({ entityId, model }) => {
      const entity = catalogue.entities.get(entityId);
      return entity === undefined ? [] : [{ entity, model, alias: alias.name }];
    });
    return { object: { id: alias.name, object: 'model', created, owned_by: 'pinhole' }, targets };
  });
  return [...aliases, ...own];
}
