import { memoryStore } from './memory.ts';
import { postgresqlStore, postgresStore } from './postgres.ts';
import { sqliteStore } from './sqlite.ts';
import type { StoreDefinition } from './store.ts';

/** Every kind of state store that `state:` can name. */
export const stores: readonly StoreDefinition[] = [sqliteStore, postgresStore, postgresqlStore, memoryStore];
