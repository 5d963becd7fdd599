/** Which entity or provider a price is asked for. */
import { createPriceBook, type PriceBook } from '../budget/pricing.ts';
import type { GatewayFile } from '../generated/gateway.ts';
import { builtIn } from '../gateway.ts';
import { knownModel } from '../pipeline/capability-table.ts';
import type { Registry } from '../pipeline/registry.ts';
import type { Catalogue, Entity } from '../pipeline/settings.ts';
import type { ProviderDefinition } from '../providers/provider.ts';
import { slugsOf } from '../runtime/slug.ts';

/** What prices are looked up in: a file, or what comes with the gateway. */
export interface PriceScope {
  readonly prices: PriceBook;
  /** In the order of the file. */
  readonly places: readonly Place[];
  readonly aliases: Catalogue['aliases'];
}

/** An entity, or a provider of which the file has none. */
interface Place {
  /** Id and slugs; none for a provider by itself. */
  readonly names: readonly string[];
  readonly entityId: string | undefined;
  readonly definition: ProviderDefinition;
  /** Undefined also for an entity that is inactive. */
  readonly entity: Entity | undefined;
}

/** One model at one place. */
export interface PriceTarget {
  readonly entityId: string | undefined;
  readonly provider: string;
  readonly entity: Entity | undefined;
  readonly model: string;
}

export function scopeOfFile({
  config,
  registry,
  catalogue,
}: {
  readonly config: GatewayFile;
  readonly registry: Registry;
  readonly catalogue: Catalogue;
}): PriceScope {
  const entities = config.image_models.flatMap((file): Place[] => {
    const definition = registry.providers.get(file.provider);
    if (definition === undefined) return [];
    const names = [file.id, ...slugsOf(file.name ?? file.id)];
    return [{ names, entityId: file.id, definition, entity: catalogue.entities.get(file.id) }];
  });
  const present = new Set(entities.map(({ definition }) => definition));
  const others = placesOf(registry).filter(({ definition }) => !present.has(definition));
  return { prices: catalogue.prices, places: [...entities, ...others], aliases: catalogue.aliases };
}

export function scopeOfBuiltIn(): PriceScope {
  return { prices: createPriceBook([]), places: placesOf(builtIn), aliases: new Map() };
}

function placesOf({ providers }: Registry): readonly Place[] {
  const definitions = [...new Set(providers.values())];
  return definitions.map((definition) => ({ names: [], entityId: undefined, definition, entity: undefined }));
}

/** As a route reads it: an entity by its id or slug, else the first of that kind of provider. */
function placeNamed(name: string, places: readonly Place[]): Place | undefined {
  const namesOf = ({ definition, entity }: Place): readonly string[] =>
    entity?.providerNames ?? [definition.name, ...definition.aliases];
  return places.find(({ names }) => names.includes(name)) ?? places.find((place) => namesOf(place).includes(name));
}

/**
 * What a name may mean, the likeliest first, much as a route reads it: an alias; a model of the entity or provider before
 * the first slash; else a model that an entity or a provider is known to have. None: nobody knows it.
 */
export function priceTargets(asked: string, { prices, places, aliases }: PriceScope): readonly PriceTarget[] {
  const alias = aliases.get(asked);
  const spelt = alias?.targets.map(({ entityId, model }) => `${entityId}/${model}`) ?? [asked];
  const named = spelt.flatMap((name) => {
    const [, prefix, model] = /^(.+?)(?:###|\/)(.+)$/s.exec(name) ?? [];
    const place = prefix === undefined ? undefined : placeNamed(prefix, places);
    return place === undefined || model === undefined ? [] : [targetAt(place, model)];
  });
  const isKnown = ({ definition, entityId = '' }: Place, model: string): boolean => {
    const { entry } = explain(prices, definition.name, entityId, model);
    const isListed = entry !== undefined && !entry.endsWith('/*');
    return isListed || knownModel(definition.models, model) !== undefined;
  };
  const known = places.filter((place) => isKnown(place, asked));
  // Names of models have slashes themselves, and may begin like the name of another vendor.
  const isCertain = named.some(
    ({ provider, entityId = '', model }) => explain(prices, provider, entityId, model).origin !== 'none',
  );
  const bare = alias === undefined && !isCertain ? known.map((place) => targetAt(place, asked)) : [];
  return [...bare, ...named];
}

function targetAt({ definition, entityId, entity }: Place, model: string): PriceTarget {
  return { provider: entity?.providerNames[0] ?? definition.name, entityId, entity, model };
}

function explain(prices: PriceBook, provider: string, entity: string, model: string) {
  const open = { operation: 'generation', size: undefined, quality: undefined, n: 1, inputImages: 0 } as const;
  return prices.explain({ ...open, provider, entity, model });
}
