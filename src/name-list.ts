import { compilePattern } from './pattern.ts';

/** The names that a list of a scope means. */
export interface NameList {
  has(name: string): boolean;
}

const plainName = /^[\w.:@-]+$/;

/** Whether an entry of a list is a name, rather than a pattern of names. Ids are made of nothing else. */
export function isPlainName(entry: string): boolean {
  return plainName.test(entry);
}

/**
 * @param entries names, and patterns that must match a whole name
 * @throws Error when a pattern is not valid
 */
export function compileNames(entries: readonly string[]): NameList {
  const names = new Set(entries.filter(isPlainName));
  const patterns = entries.filter((entry) => !isPlainName(entry)).map(compilePattern);
  return { has: (name) => names.has(name) || patterns.some((pattern) => pattern.matches(name)) };
}
