/**
 * What calls cost: the file's `prices` before the built-in table. Nothing here knows a clock or a network. Money is
 * nano-dollars, in BigInt within and as safe integers without.
 */
import type { Estimate, PriceBook } from '../pipeline/prices.ts';
import { billOf, largestBill, nanoUsdOf, type Bill } from './bill.ts';
import { explainBill, explainSource } from './price-explanation.ts';
import { createPriceFinder, type PriceOverride } from './price-source.ts';

export type {
  Delivered,
  Estimate,
  PriceBasis,
  PriceBook,
  PriceExplanation,
  PriceQuestion,
  PriceRule,
} from '../pipeline/prices.ts';
export type { PriceOverride } from './price-source.ts';

/**
 * @param overrides the file's `prices`, valid against its schema
 * @param providerNames all names of each entity's provider, by the entity's id: a price for any of them holds
 * @throws RangeError for an amount that is not one of whole nano-dollars
 */
export function createPriceBook(
  overrides: readonly PriceOverride[],
  providerNames: ReadonlyMap<string, readonly string[]> = new Map(),
): PriceBook {
  const find = createPriceFinder(overrides, providerNames);
  return {
    estimate: remembered((question) => {
      const source = find(question);
      return estimateOf(source && largestBill(source.tariff, question));
    }),
    actual(question, delivered) {
      const { reportedNanoUsd } = delivered;
      if (reportedNanoUsd !== undefined) return { kind: 'priced', nanoUsd: reportedNanoUsd, basis: 'reported' };
      const source = find(question);
      return estimateOf(source && billOf(source.tariff, question, delivered));
    },
    explain(question) {
      const source = find(question);
      return { ...explainSource(source, question), ...explainBill(source && largestBill(source.tariff, question)) };
    },
  };
}

/** Questions that are remembered, in all. Callers make them up, so there is no end to them. */
const mostRemembered = 256;

/** The budget, the ledger and the request itself each ask what the same call can cost. */
function remembered(estimate: PriceBook['estimate']): PriceBook['estimate'] {
  const known = new Map<string, Estimate>();
  return function rememberedEstimate(question) {
    const { provider, entity, model, operation, size, quality, n, inputImages, steps, promptBytes, partialImages } =
      question;
    const texts = [provider, entity, model, operation, size, quality];
    const key = JSON.stringify([...texts, n, inputImages, steps, promptBytes, partialImages]);
    const found = known.get(key);
    if (found !== undefined) return found;
    if (known.size >= mostRemembered) known.clear();
    const made = estimate(question);
    known.set(key, made);
    return made;
  };
}

function estimateOf(bill: Bill | undefined): Estimate {
  return bill === undefined ? { kind: 'unpriced' } : { kind: 'priced', nanoUsd: nanoUsdOf(bill), basis: bill.basis };
}
