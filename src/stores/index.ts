import type { LimiterDefinition } from './limiter.ts';
import { memoryStore } from './memory.ts';
import { postgresLimiter, postgresqlLimiter } from './postgres-limiter.ts';
import { postgresqlStore, postgresStore } from './postgres.ts';
import { memoryLimiter, processLimiter } from './process-limiter.ts';
import { redisLimiter, redissLimiter } from './redis-limiter.ts';
import { sqliteLimiter } from './sqlite-limiter.ts';
import { sqliteStore } from './sqlite.ts';
import type { StoreDefinition } from './store.ts';

/** Every kind of state store that `state:` can name. */
export const stores: readonly StoreDefinition[] = [sqliteStore, postgresStore, postgresqlStore, memoryStore];

/** Every kind of limiter that `rate_limits:` can name, or that goes with a kind of state. */
export const limiters: readonly LimiterDefinition[] = [
  processLimiter,
  memoryLimiter,
  sqliteLimiter,
  postgresLimiter,
  postgresqlLimiter,
  redisLimiter,
  redissLimiter,
];
