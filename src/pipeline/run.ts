/** Runs a compiled pipeline: the stages one after the other, in the order of the file. */
import { GatewayError } from '../errors.ts';
import type { Exchange, SlotName, Slots } from './exchange.ts';
import type { Explainer } from './explain.ts';
import { Halt, type AnyStage, type AnyStageHandler, type NestedPipeline } from './stage.ts';

/** A stage at its place, ready to run. */
export interface CompiledStage {
  readonly name: string;
  readonly writes: readonly SlotName[];
  /** Slots that are empty until it runs, those of its nested list included. */
  readonly fills: readonly SlotName[];
  /** Slots of which it replaces what it finds there, those of its nested list included. */
  readonly changes: readonly SlotName[];
  readonly handle: AnyStageHandler;
  /** As its definition has it. */
  readonly keepsBody?: AnyStage['keepsBody'];
  /** Makes what tells what the stage would do; absent where it cannot tell. */
  readonly explainer?: () => Explainer;
}

/** An exchange as the engine holds it: with its slots, and the time that each stage has taken so far. */
export type RunningExchange = Exchange & {
  -readonly [Slot in SlotName]?: Slots[Slot];
} & {
  /** Milliseconds by stage name, in the order in which stages first ran. */
  readonly timings: Map<string, number>;
};

/**
 * Runs the stages until the last, or until one gives an early answer.
 * @throws whatever a stage throws; the signal's reason once the exchange is aborted
 */
export async function runStages(
  stages: readonly CompiledStage[],
  exchange: RunningExchange,
  monotonic: () => number,
): Promise<void> {
  for (const stage of stages) {
    exchange.signal.throwIfAborted();
    const startedAtMs = monotonic();
    try {
      // The order check has made sure that the declared slots are filled.
      const outcome = await stage.handle(exchange as Parameters<AnyStageHandler>[0]);
      if (outcome instanceof Halt) {
        exchange.response = outcome.response;
        return;
      }
      if (outcome !== undefined) fill(exchange, stage, outcome);
    } finally {
      const elapsedMs = monotonic() - startedAtMs;
      exchange.timings.set(stage.name, (exchange.timings.get(stage.name) ?? 0) + elapsedMs);
    }
  }
}

/** The nested list of a composite stage: each run starts with its own slots empty, a failed one takes its changes back. */
export function nestedPipeline(stages: readonly CompiledStage[], monotonic: () => number): NestedPipeline {
  const fills = new Set(stages.flatMap((stage) => stage.fills));
  const changes = stages.flatMap((stage) => stage.changes).filter((slot) => !fills.has(slot));
  return {
    async run(exchange, given = {}) {
      const running = exchange as RunningExchange;
      const before = Object.fromEntries(changes.map((slot) => [slot, running[slot]]));
      for (const slot of fills) delete running[slot];
      Object.assign(running, given);
      try {
        await runStages(stages, running, monotonic);
      } catch (error) {
        // The next run is to change what was there, and not what this one made of it.
        Object.assign(running, before);
        throw error;
      }
    },
  };
}

function fill(exchange: RunningExchange, stage: CompiledStage, outcome: Partial<Readonly<Slots>>): void {
  for (const slot of stage.writes) {
    if (outcome[slot] === undefined) {
      throw new GatewayError('internal_error', `The stage ${stage.name} did not fill ${slot}, which it declares.`);
    }
    Object.assign(exchange, { [slot]: outcome[slot] });
  }
}
