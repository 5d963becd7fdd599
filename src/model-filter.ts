import type { Pattern } from './pattern.ts';

/** The `models: { include, exclude }` of an entity, a consumer, a user or a route. */
export interface ModelFilter {
  readonly include: readonly Pattern[];
  readonly exclude: readonly Pattern[];
}

/** A filter that lets everything through. */
export const everyModel: ModelFilter = { include: [], exclude: [] };

/**
 * Whether a model passes: no include list or one of it matches, and nothing of the exclude list does.
 * @param names all spellings under which rules may mean this model
 */
export function filterAllows(filter: ModelFilter, names: readonly string[]): boolean {
  const matches = (pattern: Pattern): boolean => names.some((name) => pattern.matches(name));
  return (filter.include.length === 0 || filter.include.some(matches)) && !filter.exclude.some(matches);
}
