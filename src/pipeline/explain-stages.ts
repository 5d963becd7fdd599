/** Goes through a compiled pipeline as requests do, and has each stage tell what it would do. */
import { GatewayError } from '../errors.ts';
import type { ImageCall } from './call.ts';
import type { Slots } from './exchange.ts';
import type { Account, NestedExplanation, StageAccount, ThoughtExchange } from './explain.ts';
import type { CompiledStage } from './run.ts';

/** What the stages say, in their order, and the call as it was understood. The account says what would refuse it. */
export async function explainStages(
  stages: readonly CompiledStage[],
  exchange: ThoughtExchange,
  account: Account,
): Promise<{ readonly told: readonly StageAccount[]; readonly call: ImageCall | undefined }> {
  const { told, filled, refusal } = await goThrough(stages, exchange, account);
  if (refusal !== undefined) account.refuse(refusal);
  return { told, call: filled.call };
}

/** The list of a composite stage. What one run fills is empty again for the next. */
export function nestedExplanation(stages: readonly CompiledStage[]): NestedExplanation {
  return {
    async explain(exchange, composite, given) {
      const { told, refusal } = await goThrough(stages, { ...exchange, ...given }, composite.account);
      // Of several runs the first one that comes to its end says most.
      const isFirst = composite.stages.length === 0;
      const saysMore = refusal === undefined && composite.stages.some(({ outcome }) => outcome === 'not_reached');
      if (isFirst || saysMore) composite.stages = told;
      return refusal;
    },
  };
}

interface Outcome {
  readonly told: readonly StageAccount[];
  readonly filled: Partial<Slots>;
  readonly refusal: GatewayError | undefined;
}

async function goThrough(
  stages: readonly CompiledStage[],
  exchange: ThoughtExchange,
  account: Account,
): Promise<Outcome> {
  const told = stages.map(({ name }): StageAccount => ({
    name,
    outcome: 'not_reached',
    notes: [],
    stages: [],
    account,
  }));
  const filled: Partial<Slots> = {};
  for (const [index, stage] of stages.entries()) {
    const entry = told[index];
    if (entry === undefined) continue;
    const explainer = stage.explainer?.();
    entry.outcome = explainer === undefined ? 'runs' : 'told';
    try {
      Object.assign(filled, await explainer?.({ ...exchange, ...filled }, entry));
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      entry.outcome = 'refuses';
      return { told, filled, refusal: error };
    }
  }
  return { told, filled, refusal: undefined };
}
