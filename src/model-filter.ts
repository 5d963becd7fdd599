import type { Pattern } from './pattern.ts';

/** The `models: { include, exclude }` of an entity, a consumer, a user or a route. */
export interface ModelFilter {
  readonly include: readonly Pattern[];
  readonly exclude: readonly Pattern[];
}

/** The pattern of a filter that keeps a model out, or lets it in, for people; undefined when there is no pattern at all. */
export function decidingRule({ include, exclude }: ModelFilter, names: readonly string[]): string | undefined {
  const hits = ({ matches }: Pattern): boolean => names.some((name) => matches(name));
  const excluded = exclude.find(hits);
  if (excluded !== undefined) return `exclude ${excluded.source}`;
  const included = include.find(hits);
  if (included !== undefined) return `include ${included.source}`;
  const sources = include.map(({ source }) => source).join(', ');
  return include.length === 0 ? undefined : `include ${sources}, of which none matches`;
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
