/** From a list of stages in the file to a pipeline that can run, or to what is wrong with it. */
import { hash } from 'node:crypto';
import type { StageFile } from '../generated/gateway.ts';
import type { SlotName } from '../pipeline/exchange.ts';
import { isJsonObject } from '../json.ts';
import type { Explainer, NestedExplanation } from '../pipeline/explain.ts';
import { nestedExplanation } from '../pipeline/explain-stages.ts';
import { checkOrder, type PlacedStage } from '../pipeline/order.ts';
import type { Registry } from '../pipeline/registry.ts';
import { nestedPipeline, type CompiledStage } from '../pipeline/run.ts';
import { ConfigError, type AnyStage, type StageEnv } from '../pipeline/stage.ts';
import { withoutEffects } from '../pipeline/without-effects.ts';

export interface PipelineSources {
  readonly registry: Registry;
  report(pointer: string, message: string): void;
}

/** What is wrong with the order of a pipeline is reported once, however many routes use it. */
export function checkPipeline(
  stages: readonly StageFile[],
  pointer: string,
  { registry, report }: PipelineSources,
): void {
  const producers = (slot: PlacedStage['reads'][number]): readonly string[] =>
    [...registry.stages.values()]
      .filter((stage) => stage.writes.includes(slot) && !stage.reads.includes(slot))
      .map((stage) => stage.name);
  for (const problem of checkOrder(place(stages, pointer, registry), pointer, producers)) {
    report(problem.pointer, problem.message);
  }
}

function place(stages: readonly StageFile[], pointer: string, registry: Registry): readonly PlacedStage[] {
  return stages.flatMap((file, index): readonly PlacedStage[] => {
    const definition = registry.stages.get(file.plugin);
    if (definition === undefined || !file.enabled) return [];
    const here = `${pointer}/${index}`;
    return [
      {
        name: definition.name,
        reads: [...definition.reads, ...neededBy(definition, file)],
        writes: definition.writes,
        before: definition.before ?? [],
        pointer: here,
        ...(definition.composite === true
          ? { nested: place(nestedStages(file), `${here}/config/stages`, registry) }
          : {}),
      },
    ];
  });
}

/** The slots that a stage needs because of its config. */
function neededBy(definition: AnyStage, file: StageFile): readonly SlotName[] {
  // The config has just been validated against the definition's own schema.
  return definition.needs?.(file.config as never) ?? [];
}

/** Creates the stages of a route's pipeline. Mistakes that only `create` sees are reported. */
export function compilePipeline(
  stages: readonly StageFile[],
  pointer: string,
  env: StageEnv,
  sources: PipelineSources,
): readonly CompiledStage[] {
  return stages.flatMap((file, index): readonly CompiledStage[] => {
    const definition = sources.registry.stages.get(file.plugin);
    if (definition === undefined || !file.enabled) return [];
    const here = `${pointer}/${index}`;
    try {
      const below = digestOf(stages.slice(index + 1), env.below, sources.registry);
      return [compileStage(definition, file, here, { ...env, below }, sources)];
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      sources.report(`${here}/config${error.pointer}`, error.message);
      return [];
    }
  });
}

/** @param below of what comes after them. A digest, since there may be secrets in it. */
function digestOf(stages: readonly StageFile[], below: string, registry: Registry): string {
  return hash('sha256', JSON.stringify([whatWrites(stages, registry), below]));
}

function whatWrites(stages: readonly StageFile[], registry: Registry): readonly unknown[] {
  return stages.flatMap((file): readonly unknown[] => {
    const definition = registry.stages.get(file.plugin);
    if (definition === undefined || !file.enabled) return [];
    // How a composite goes about it is no part of what comes of it.
    if (definition.composite === true) return whatWrites(nestedStages(file), registry);
    return definition.writes.length === 0 ? [] : [[definition.name, file.config]];
  });
}

function compileStage(
  definition: AnyStage,
  file: StageFile,
  pointer: string,
  env: StageEnv,
  sources: PipelineSources,
): CompiledStage {
  const nested = definition.composite === true ? nestedStages(file) : [];
  if (
    Array.isArray(file.config['stages']) &&
    definition.composite === true &&
    nested.length < file.config['stages'].length
  ) {
    throw new ConfigError('/stages', `the schema of \`${definition.name}\` does not describe its \`stages\` as stages`);
  }
  const maker = nested.findIndex(({ plugin, enabled }) => enabled && makesJobs(plugin, sources));
  if (maker >= 0) {
    const { plugin } = nested[maker] ?? file;
    throw new ConfigError(
      `/stages/${maker}`,
      `\`${plugin}\` makes jobs of whole calls: put it above \`${definition.name}\``,
    );
  }
  const compiled = compilePipeline(nested, `${pointer}/config/stages`, env, sources);
  const log = env.log.child({ stage: definition.name });
  // The config has just been validated against the definition's own schema.
  const config = file.config as never;
  const handle = definition.create(config, { ...env, log }, nestedPipeline(compiled, env.clock.monotonic));
  const { name, reads, writes } = definition;
  const replaces = (slot: SlotName): boolean => reads.includes(slot);
  return {
    name,
    writes,
    handle,
    keepsBody: definition.keepsBody,
    ...(definition.explain === undefined
      ? {}
      : { explainer: () => explainerOf(definition, config, env, nestedExplanation(compiled)) }),
    fills: [...writes.filter((slot) => !replaces(slot)), ...compiled.flatMap((stage) => stage.fills)],
    changes: [...writes.filter(replaces), ...compiled.flatMap((stage) => stage.changes)],
  };
}

function makesJobs(plugin: string, { registry }: PipelineSources): boolean {
  return registry.stages.get(plugin)?.keepsBody !== undefined;
}

function explainerOf(definition: AnyStage, config: never, env: StageEnv, nested: NestedExplanation): Explainer {
  const explainer = definition.explain?.(config, withoutEffects(env), nested);
  if (explainer === undefined) throw new TypeError(`The stage ${definition.name} does not explain itself.`);
  return explainer;
}

/** The list that a composite stage owns: stages under the schema that all of them share. */
function nestedStages(file: StageFile): readonly StageFile[] {
  const { stages } = file.config;
  return Array.isArray(stages) ? stages.filter(isStageFile) : [];
}

/** What a stage's schema makes of an item of its list; names that stayed texts were not described as stages there. */
function isStageFile(item: unknown): item is StageFile {
  return isJsonObject(item) && typeof item['plugin'] === 'string' && isJsonObject(item['config']);
}
