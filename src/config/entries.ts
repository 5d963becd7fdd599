/** Ways into data that may not be what it should be: checks go on where the schema has found a mistake elsewhere. */
import { isJsonObject } from '../json.ts';
import { pointerTo } from '../json-pointer.ts';

/** An object of the file, with its place. */
export interface Entry {
  readonly pointer: string;
  /** The last segment of the pointer: the key, or the position in the list. */
  readonly name: string;
  readonly value: Record<string, unknown>;
}

/** The objects in the list or object that stands under a key; none if there is nothing of the kind. */
export function entriesAt(parent: Record<string, unknown>, key: string, pointer = ''): Entry[] {
  return entriesOf(parent[key], pointerTo(pointer, key));
}

/** The objects in a list or an object; none if the value is neither. */
export function entriesOf(value: unknown, pointer: string): Entry[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]: [string, unknown]) =>
    isJsonObject(member) ? [{ pointer: pointerTo(pointer, name), name, value: member }] : [],
  );
}

/** The texts in the list that stands under a key, with their places. */
export function textsAt(parent: Record<string, unknown>, key: string, pointer: string) {
  const list = parent[key];
  if (!Array.isArray(list)) return [];
  return list.flatMap((text: unknown, index) =>
    typeof text === 'string' ? [{ text, pointer: pointerTo(pointer, key, index) }] : [],
  );
}

/** The text under a key; undefined if there is none. */
export function textAt(parent: Record<string, unknown>, key: string): string | undefined {
  const value = parent[key];
  return typeof value === 'string' ? value : undefined;
}

/** The object under a key; an empty one if there is none. */
export function objectAt(parent: Record<string, unknown>, key: string): Record<string, unknown> {
  const value = parent[key];
  return isJsonObject(value) ? value : {};
}
