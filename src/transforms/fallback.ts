import schema from '../../schemas/stages/fallback.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import type { TryGate } from '../pipeline/exchange.ts';
import type { Target } from '../pipeline/settings.ts';
import { defineComposite } from '../pipeline/stage.ts';

/** Runs its own `stages` for one candidate after the other, until one answers or fails in a way that another would too. */
export const fallback = defineComposite({
  name: 'fallback',
  schema,
  reads: ['candidates', 'target'],
  writes: ['target'],
  create(_config, _env, nested) {
    return async function fallback(exchange) {
      let failure: unknown;
      for (const [place, target] of exchange.candidates.entries()) {
        if (place > 0 && !(await mayTry(exchange.gates, target))) break;
        try {
          await nested.run(exchange, { target });
          return { target };
        } catch (error) {
          const curable = error instanceof GatewayError && error.curable;
          if (!curable || exchange.signal.aborted) throw error;
          failure = error;
          exchange.log.warn('candidate failed', { entity: target.entity.id, model: target.model, error });
        }
      }
      throw failure;
    };
  },
  explain(_config, _env, nested) {
    return async function explainFallback(exchange, told) {
      const { candidates = [] } = exchange;
      const outcomes: { readonly target: Target; readonly refusal: GatewayError | undefined }[] = [];
      for (const target of candidates) {
        const refusal = await nested.explain(exchange, told, { target });
        told.account.candidate(target).refusal ??= refusal;
        outcomes.push({ target, refusal: told.account.candidate(target).refusal });
      }
      // Up to the first that could be sent, or that fails in a way that no other would mend.
      const decisive = outcomes.find(({ refusal }) => refusal?.curable !== true) ?? outcomes.at(-1);
      if (decisive === undefined) return undefined;
      if (decisive.refusal !== undefined) throw decisive.refusal;
      return { target: decisive.target };
    };
  },
});

async function mayTry(gates: readonly TryGate[], target: Target): Promise<boolean> {
  for (const gate of gates) if (!(await gate(target))) return false;
  return true;
}
