/** `GET /api/capabilities`: what each entity's models can do, as the gateway itself goes by it. */
import { capabilityTable, knownModel, type CapabilityTable } from '../pipeline/capability-table.ts';
import type { Operation } from '../pipeline/call.ts';
import type { Catalogue, Entity } from '../pipeline/settings.ts';

/** The answer of `/api/capabilities`. */
export interface CapabilitiesDocument {
  readonly entities: readonly {
    readonly id: string;
    readonly provider: string;
    readonly models: readonly ModelDocument[];
  }[];
}

interface ModelDocument {
  readonly model: string;
  /** The day on which the vendor shut it down, or will. */
  readonly retired?: string | undefined;
  readonly successor?: string | undefined;
  /** By operation; absent where the entity does not offer it or the model does not have it. */
  readonly operations: Partial<Record<Operation, CapabilityTable>>;
}

/** @param model asks about this one in place of those that are known; any name may be passed on to a vendor */
export function describeCapabilities(catalogue: Catalogue, model: string | null): CapabilitiesDocument {
  const entities = [...catalogue.entities.values()].map((entity) => ({
    id: entity.id,
    provider: entity.providerNames[0] ?? entity.id,
    models: (model === null ? modelsOf(entity) : [model]).map((name) => describeModel(entity, name)),
  }));
  return { entities };
}

/** The entity's own defaults, then what its provider is known to have. */
function modelsOf({ operations, knownModels }: Entity): readonly string[] {
  const own = [operations.generation.model, operations.edition.model].filter((name) => name !== undefined);
  const known = knownModels.map(({ name }) => name).filter((name) => !name.endsWith('*'));
  return [...new Set([...own, ...known])];
}

function describeModel({ provider, operations, knownModels }: Entity, model: string): ModelDocument {
  const { retired, successor } = knownModel(knownModels, model) ?? {};
  const names: readonly Operation[] = ['generation', 'edition'];
  const offered = names.flatMap((operation) => {
    const capabilities = operations[operation].enabled ? provider.capabilities(model, operation) : undefined;
    return capabilities === undefined ? [] : [[operation, capabilityTable(capabilities)] as const];
  });
  return { model, retired, successor, operations: Object.fromEntries(offered) };
}
