import type { PriceFile } from '../generated/gateway.ts';
import type { PriceQuestion } from '../pipeline/prices.ts';
import { findEntry, type TableEntry } from './price-table.ts';
import { readTariff, type Tariff } from './tariff.ts';

/** A price of the file's, as it is written there. */
export type PriceOverride = PriceFile;

/** Where the price for a call was found. */
export type PriceSource =
  | { readonly origin: 'file'; readonly override: PriceOverride; readonly tariff: Tariff }
  | { readonly origin: 'table'; readonly entry: TableEntry; readonly tariff: Tariff };

/**
 * The price that holds for a call: one for its entity before one for its provider, one for its model before one for all;
 * then the built-in table. What the table knows under another name, a dated one for instance, goes by both.
 * @throws RangeError for an amount that is not one of whole nano-dollars
 */
export function createPriceFinder(
  overrides: readonly PriceOverride[],
  providerNames: ReadonlyMap<string, readonly string[]>,
): (question: PriceQuestion) => PriceSource | undefined {
  const written = new Map<string, PriceSource>(
    overrides.map((override) => [keyOf(override), { origin: 'file', override, tariff: readTariff(override) }]),
  );

  return function find({ entity, model, provider }) {
    const providers = new Set([provider, ...(providerNames.get(entity) ?? [])]);
    const entry = findEntry([...providers], model);
    const listed: PriceSource | undefined = entry && { origin: 'table', entry, tariff: entry.tariff };
    if (written.size === 0) return listed;

    const models = new Set([model, entry?.facts.model ?? '*', '*']);
    const keys = [
      ...[...models].map((name) => keyOf({ entity, model: name })),
      ...[...models].flatMap((name) => [...providers].map((each) => keyOf({ provider: each, model: name }))),
    ];
    const key = keys.find((candidate) => written.has(candidate));
    return key === undefined ? listed : written.get(key);
  };
}

function keyOf({ entity, provider, model }: Pick<PriceOverride, 'entity' | 'provider' | 'model'>): string {
  return JSON.stringify(entity === undefined ? ['provider', provider, model] : ['entity', entity, model]);
}
