import type { Target } from './settings.ts';

/** Every spelling under which a rule may mean a target: bare model, `entity-id/model`, `slug/model`, and the alias as asked. */
export function targetNames({ entity, model, alias }: Target): readonly string[] {
  const prefixes = [entity.id, ...entity.slugs];
  return [model, ...prefixes.map((prefix) => `${prefix}/${model}`), ...(alias === undefined ? [] : [alias])];
}
