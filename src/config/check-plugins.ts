/** Checks each stage's and each entity's `config` against the schema of its own definition. */
import { isJsonObject, type JsonSchema } from '../json.ts';
import { pointerTo } from '../json-pointer.ts';
import type { Registry } from '../pipeline/registry.ts';
import { compileConfigValidator, type ConfigValidator, type ValueOrigin } from '../validation.ts';
import { entriesAt, entriesOf, textAt, type Entry } from './entries.ts';
import type { PointedProblem } from './problems.ts';

/** What was found, and the pointers of what the schemas call secret. */
export interface PluginCheck {
  readonly problems: readonly PointedProblem[];
  readonly secrets: readonly string[];
}

/** Checks every `config` of the file and fills in its defaults, in place. */
export function checkPlugins(
  root: unknown,
  definitions: Pick<Registry, 'stages' | 'providers'>,
  { isReferenced }: Pick<ValueOrigin, 'isReferenced'>,
): PluginCheck {
  const problems: PointedProblem[] = [];
  const secrets: string[] = [];
  if (!isJsonObject(root)) return { problems, secrets };

  for (const entity of entriesAt(root, 'image_models')) {
    const name = textAt(entity.value, 'provider');
    const definition = name === undefined ? undefined : definitions.providers.get(name);
    if (definition !== undefined) checkConfig(definition.schema, `provider \`${name}\``, entity);
    else if (name) reportUnknown(entity, 'provider', name, definitions.providers.keys());
  }
  for (const stage of stagesIn(root, definitions)) {
    const name = textAt(stage.value, 'plugin');
    const definition = name === undefined ? undefined : definitions.stages.get(name);
    if (definition !== undefined) checkConfig(definition.schema, `stage \`${name}\``, stage);
    else if (name) reportUnknown(stage, 'plugin', name, definitions.stages.keys());
  }
  return { problems, secrets };

  function checkConfig(schema: JsonSchema, owner: string, { value, pointer }: Entry): void {
    const config = value['config'];
    if (!isJsonObject(config)) return;
    const found = validatorOf(schema)(config, { at: pointerTo(pointer, 'config'), isReferenced });
    if (typeof found === 'string')
      problems.push({ pointer, message: `the ${owner} has a schema that is not valid: ${found}` });
    else {
      problems.push(...found.problems);
      secrets.push(...found.secrets);
    }
  }

  function reportUnknown({ pointer }: Entry, key: 'plugin' | 'provider', given: string, among: Iterable<string>): void {
    const what = key === 'plugin' ? 'stage' : 'provider';
    problems.push({
      pointer: pointerTo(pointer, key),
      message: `there is no ${what} \`${given}\``,
      misspelt: { given, among },
    });
  }
}

/** A validator, or one that only tells why there is none: the schema of an extension may be wrong. */
function validatorOf(schema: JsonSchema): ConfigValidator | (() => string) {
  try {
    return compileConfigValidator(schema);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return () => reason;
  }
}

/**
 * All stages of the file: those of each pipeline and of each route, and after a composite stage those that it owns.
 * A nested list is looked into only when its owner has been visited, so it is in its final form by then.
 */
export function* stagesIn(root: Record<string, unknown>, definitions: Pick<Registry, 'stages'>): Generator<Entry> {
  const lists = isJsonObject(root['pipelines']) ? Object.entries(root['pipelines']) : [];
  for (const [name, list] of lists) yield* stagesOf(list, pointerTo('/pipelines', name), definitions);
  for (const route of entriesAt(root, 'routes')) {
    yield* stagesOf(route.value['pipeline'], pointerTo(route.pointer, 'pipeline'), definitions);
  }
}

/** The stages of one list, nested ones included. */
export function* stagesOf(list: unknown, pointer: string, definitions: Pick<Registry, 'stages'>): Generator<Entry> {
  if (!Array.isArray(list)) return;
  for (const stage of entriesOf(list, pointer)) {
    yield stage;
    const isComposite = definitions.stages.get(textAt(stage.value, 'plugin') ?? '')?.composite === true;
    const config = stage.value['config'];
    if (isComposite && isJsonObject(config)) {
      yield* stagesOf(config['stages'], pointerTo(stage.pointer, 'config', 'stages'), definitions);
    }
  }
}
