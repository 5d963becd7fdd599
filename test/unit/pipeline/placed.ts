import type { PlacedStage } from '../../../src/pipeline/order.ts';
import type { AnyStage } from '../../../src/pipeline/stage.ts';
import { stages } from '../../../src/transforms/index.ts';

/** A stage as these tests write it: what it does to the slots, without a place. */
export interface SketchedStage {
  readonly name: string;
  readonly reads?: PlacedStage['reads'];
  readonly writes?: PlacedStage['writes'];
  readonly before?: PlacedStage['before'];
  readonly nested?: readonly SketchedStage[];
}

/** Gives each stage of a list the pointer that it has in the file. */
export function placed(pipeline: readonly SketchedStage[], pointer = '/pipelines/images'): readonly PlacedStage[] {
  return pipeline.map(({ name, reads = [], writes = [], before = [], nested }, index) => {
    const here = `${pointer}/${index}`;
    const list = nested === undefined ? {} : { nested: placed(nested, `${here}/config/stages`) };
    return { name, reads, writes, before, pointer: here, ...list };
  });
}

const byName: ReadonlyMap<string, AnyStage> = new Map(stages.map((stage) => [stage.name, stage]));

/** The slots of a stage that comes with the gateway. @throws Error when there is none of the name */
export function builtIn(name: string, nested?: readonly SketchedStage[]): SketchedStage {
  const stage = byName.get(name);
  if (stage === undefined) throw new Error(`there is no stage ${name}`);
  const { reads, writes, before = [] } = stage;
  return { name, reads, writes, before, ...(nested === undefined ? {} : { nested }) };
}

/** What a flat pipeline for pictures is made of, in the order of the documentation. */
export const canonicalNames = [
  'authenticate',
  'parse',
  'route-resolve',
  'constrain',
  'budget',
  'provider-transform',
  'dispatch',
  'response-normalise',
  'decode',
] as const;
