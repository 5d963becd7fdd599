/** What the checker lets pass, the engine can run: the two know nothing of each other. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { anonymous } from '../../../src/pipeline/settings.ts';
import type { Exchange, SlotName, Slots } from '../../../src/pipeline/exchange.ts';
import { checkOrder } from '../../../src/pipeline/order.ts';
import type { RunningExchange } from '../../../src/pipeline/run.ts';
import { runStages } from '../../../src/pipeline/run.ts';
import { createRegistry, type Registry } from '../../../src/pipeline/registry.ts';
import type { AnyStage, NestedPipeline } from '../../../src/pipeline/stage.ts';
import { compilePipeline } from '../../../src/runtime/pipelines.ts';
import type { StageFile } from '../../../src/generated/gateway.ts';
import { makeExchange, makeStageEnv } from '../../fixtures/exchange.ts';
import { builtIn, canonicalNames, placed, type SketchedStage } from './placed.ts';

describe('every pipeline that the checker accepts', () => {
  it('runs with all slots filled that its stages read, and ends with an answer', async () => {
    let accepted = 0;
    await fc.assert(
      fc.asyncProperty(pipelines, async (pipeline) => {
        if (checkOrder(placed(pipeline), '', () => []).length > 0) return;
        accepted += 1;
        const exchange = running();
        await runStages(compiled(pipeline), exchange, () => 0);
        expect(exchange.response).toBeDefined();
      }),
      { numRuns: 1000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });
});

/**
 * The canonical stages, most of them in place, with stages between them that look at a slot or change one, and a part of
 * the list moved into composites.
 */
const pipelines: fc.Arbitrary<readonly SketchedStage[]> = fc
  .record({
    swaps: fc.array(fc.nat({ max: canonicalNames.length - 2 }), { maxLength: 3 }),
    extras: fc.array(fc.record({ at: fc.nat({ max: 9 }), slot: slotName(), changes: fc.boolean() }), { maxLength: 3 }),
    wraps: fc.array(fc.record({ from: fc.nat({ max: 9 }), length: fc.integer({ min: 1, max: 9 }) }), { maxLength: 2 }),
  })
  .map(({ swaps, extras, wraps }) => {
    let list: readonly SketchedStage[] = canonicalNames.map((name) => builtIn(name));
    for (const at of swaps) list = list.toSpliced(at, 2, ...list.slice(at, at + 2).toReversed());
    for (const { at, slot, changes } of extras) {
      list = list.toSpliced(at, 0, { name: `extra-${slot}`, reads: [slot], writes: changes ? [slot] : [] });
    }
    for (const { from, length } of wraps) {
      const nested = list.slice(from, from + length);
      list = list.toSpliced(from, length, { name: 'twice', reads: ['target'], writes: ['target'], nested });
    }
    return list;
  });

function slotName(): fc.Arbitrary<SlotName> {
  return fc.constantFrom('caller', 'call', 'candidates', 'target', 'upstream', 'reply', 'result', 'response');
}

function running(): RunningExchange {
  return Object.assign(makeExchange({ caller: anonymous }), { timings: new Map<string, number>() });
}

/** The pipeline with stages that hold the engine to what it promises. */
function compiled(pipeline: readonly SketchedStage[]): ReturnType<typeof compilePipeline> {
  const stages = new Map<string, AnyStage>();
  const files = pipeline.map((sketch) => toFile(sketch, stages));
  const registry: Registry = { ...createRegistry({ stores: [], limiters: [], blobStores: [] }), stages };
  const report = (pointer: string, message: string): never => {
    throw new Error(`${pointer} ${message}`);
  };
  return compilePipeline(files, '', makeStageEnv(), { registry, report });
}

/** Registers a stage under a name of its own, and gives its entry in the file. */
function toFile(sketch: SketchedStage, stages: Map<string, AnyStage>, failsFirst = false): StageFile {
  const plugin = `stage-${stages.size}`;
  stages.set(plugin, strictStage({ ...sketch, name: plugin }, failsFirst));
  const nested = (sketch.nested ?? []).map((inner, index, { length }) => toFile(inner, stages, index === length - 1));
  return { plugin, enabled: true, config: { stages: nested } };
}

/**
 * Fails unless it finds what it reads, and nothing of what it fills. A composite runs its list twice, the first time in
 * vain if it can.
 * @param failsFirst at its first call it fails whatever it finds
 */
function strictStage(
  { name, reads = [], writes = [], before = [], nested }: SketchedStage,
  failsFirst: boolean,
): AnyStage {
  let calls = 0;
  const empty = new Set([...before, ...writes].filter((slot) => !reads.includes(slot) && slot !== 'caller'));
  return {
    name,
    reads,
    writes,
    before,
    schema: {},
    ...(nested === undefined ? {} : { composite: true }),
    create: (_config, _env, list) =>
      async function strict(exchange) {
        for (const slot of reads) if (!isFilled(exchange, slot)) throw new Error(`${name} finds no ${slot}`);
        for (const slot of empty) if (isFilled(exchange, slot)) throw new Error(`${name} finds ${slot} filled`);
        if (nested !== undefined) await twice(list, exchange);
        if (failsFirst && calls++ === 0) throw noLuck;
        return Object.fromEntries(writes.map((slot) => [slot, { by: name }]));
      },
  };
}

const noLuck = new Error('no luck');

async function twice(list: NestedPipeline, exchange: Exchange): Promise<void> {
  await list.run(exchange).catch((error: unknown) => {
    if (error !== noLuck) throw error;
  });
  await list.run(exchange);
}

function isFilled(exchange: object, slot: keyof Slots): boolean {
  return Object.entries(exchange).some(([name, value]) => name === slot && value !== undefined);
}
