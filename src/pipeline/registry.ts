/** What the file can name: stages, providers and stores, by name. Filled by the composition root and by extensions. */
import type { BlobStoreDefinition } from '../blobs/blob-store.ts';
import type { ProviderDefinition } from '../providers/provider.ts';
import type { LimiterDefinition } from '../stores/limiter.ts';
import type { StoreDefinition } from '../stores/store.ts';
import type { AnyStage } from './stage.ts';

export interface Registry {
  readonly stages: ReadonlyMap<string, AnyStage>;
  /** By name and by every alias. */
  readonly providers: ReadonlyMap<string, ProviderDefinition>;
  /** By scheme. */
  readonly stores: ReadonlyMap<string, StoreDefinition>;
  /** By scheme. */
  readonly limiters: ReadonlyMap<string, LimiterDefinition>;
  /** By scheme. */
  readonly blobStores: ReadonlyMap<string, BlobStoreDefinition>;
}

/** What an extension module exports; both lists are optional. */
export interface Extension {
  readonly stages?: readonly AnyStage[];
  readonly providers?: readonly ProviderDefinition[];
}

const emptyRegistry: Registry = {
  stages: new Map(),
  providers: new Map(),
  stores: new Map(),
  limiters: new Map(),
  blobStores: new Map(),
};

/** What comes with the gateway. @throws Error when a name is taken twice */
export function createRegistry(
  builtIn: Extension & {
    readonly stores: readonly StoreDefinition[];
    readonly limiters: readonly LimiterDefinition[];
    readonly blobStores: readonly BlobStoreDefinition[];
  },
): Registry {
  const byScheme = <Definition extends { readonly scheme: string }>(definitions: readonly Definition[]) =>
    new Map(definitions.map((definition) => [definition.scheme, definition]));
  return {
    ...extendRegistry(emptyRegistry, builtIn),
    stores: byScheme(builtIn.stores),
    limiters: byScheme(builtIn.limiters),
    blobStores: byScheme(builtIn.blobStores),
  };
}

/**
 * A registry with an extension's stages and providers in it. The one given stays as it is.
 * @throws Error when a name is taken already
 */
export function extendRegistry(registry: Registry, extension: Extension): Registry {
  const stages = new Map(registry.stages);
  for (const stage of extension.stages ?? []) add(stages, 'stage', stage.name, stage);
  const providers = new Map(registry.providers);
  for (const provider of extension.providers ?? []) {
    for (const name of [provider.name, ...provider.aliases]) add(providers, 'provider', name, provider);
  }
  return { ...registry, stages, providers };
}

function add<Value>(map: Map<string, Value>, kind: string, name: string, value: Value): void {
  if (map.has(name)) throw new Error(`there are two ${kind}s of the name ${name}`);
  map.set(name, value);
}
