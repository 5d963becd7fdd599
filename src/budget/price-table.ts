/** The built-in table, src/budget/image-prices.json: prices as they were found on the day that it names. */
import table from './image-prices.json' with { type: 'json' };
import type { ImagePrices, PricedModelFile } from '../generated/image-prices.ts';
import { listedModel, listedProviders } from './price-names.ts';
import { readTariff, type Tariff } from './tariff.ts';

/** An entry of the table, ready for use. */
export interface TableEntry {
  readonly facts: PricedModelFile;
  readonly tariff: Tariff;
}

// A test holds the file against schemas/image-prices.schema.json.
const { meta, models } = table as ImagePrices;

/** What the table does not have, since nobody sells it: our own provider, which draws on this machine. */
const own: readonly PricedModelFile[] = [
  {
    provider: 'sandbox',
    model: '*',
    unit: 'usd_per_image',
    per_image: { '*': { '*': 0 } },
    source: [],
    confidence: 'self-hosted: drawn by the gateway itself',
  },
];

export const tableFacts: ImagePrices['meta'] = meta;

const entries: ReadonlyMap<string, TableEntry> = new Map(
  [...models, ...own].flatMap((facts) => {
    const entry = { facts, tariff: readTariff(facts) };
    const names = [facts.model, ...(facts.aliases ?? [])];
    return names.map((name): [string, TableEntry] => [keyOf(facts.provider, name), entry]);
  }),
);

/** The entry for a model: one of its own before one for all of the vendor's; undefined when there is neither. */
export function findEntry(providers: readonly string[], model: string): TableEntry | undefined {
  const listed = providers.flatMap(listedProviders);
  for (const provider of listed) {
    const entry = entries.get(keyOf(provider, model)) ?? entries.get(keyOf(provider, listedModel(provider, model)));
    if (entry !== undefined) return entry;
  }
  for (const provider of listed) {
    const entry = entries.get(keyOf(provider, '*'));
    if (entry !== undefined) return entry;
  }
  return undefined;
}

function keyOf(provider: string, model: string): string {
  return `${provider}\n${model}`;
}
