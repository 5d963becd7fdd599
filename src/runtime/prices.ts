import { createPriceBook } from '../budget/pricing.ts';
import type { GatewayFile } from '../generated/gateway.ts';
import type { PriceBook } from '../pipeline/prices.ts';
import type { Registry } from '../pipeline/registry.ts';
import type { Entity } from '../pipeline/settings.ts';

/** What everything costs under a file. @param active the entities that have a provider of their own */
export function compilePrices(
  config: Pick<GatewayFile, 'prices' | 'image_models'>,
  registry: Pick<Registry, 'providers'>,
  active: ReadonlyMap<string, Entity>,
): PriceBook {
  const nameOf = (provider: string): string => registry.providers.get(provider)?.name ?? provider;
  // By its own name, whichever of its names stands in the file.
  const prices = config.prices.map((price) =>
    price.provider === undefined ? price : { ...price, provider: nameOf(price.provider) },
  );
  const names = config.image_models.map(({ id, provider }): [string, readonly string[]] => {
    const definition = registry.providers.get(provider);
    const known = definition === undefined ? [provider] : [definition.name, ...definition.aliases];
    return [id, active.get(id)?.providerNames ?? known];
  });
  return createPriceBook(prices, new Map(names));
}
