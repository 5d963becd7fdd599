import { isFolder, isSecretMark } from './describe.ts';
import type { Description } from './describe.ts';

/** Lines of a diff; a file that is replaced by quite another one needs no more to say so. */
const mostLines = 100;

/** Characters of a value in a line. */
const mostCharacters = 80;

/** What the sections of the file hold, in one word. Entities go by their id alone. */
const nouns: ReadonlyMap<string, string> = new Map([
  ['image_models', 'entity'],
  ['aliases', 'alias'],
  ['consumers', 'consumer'],
  ['users', 'user'],
  ['budgets', 'budget'],
  ['pipelines', 'pipeline'],
  ['routes', 'route'],
]);

/** Sections whose items are named by their key, not by an `id` in a list. */
const namedSections: ReadonlySet<string> = new Set(['aliases', 'pipelines']);

/**
 * What changed between two configurations, one line each: `+ route edit`, `- consumer web-app`,
 * `~ openai-main: connection.token rotated`, `~ server.timeouts.drain: 30s → 10s`. Holds no secrets, as descriptions hold none.
 */
export function diffDescriptions(before: Description, after: Description): readonly string[] {
  const lines: string[] = [];
  for (const section of keysOf(before, after)) {
    const [old, now] = [member(before, section), member(after, section)];
    const noun = nouns.get(section);
    if (noun === undefined) {
      compare(old, now, section, ({ path, text }) => lines.push(`~ ${path}: ${text}`));
    } else {
      diffSection(itemsOf(section, old), itemsOf(section, now), noun, lines);
    }
  }
  if (lines.length <= mostLines) return lines;
  return [...lines.slice(0, mostLines), `… and ${lines.length - mostLines} more`];
}

type Items = ReadonlyMap<string, Description>;

function diffSection(before: Items, after: Items, noun: string, lines: string[]): void {
  for (const [name, old] of before) {
    const now = after.get(name);
    if (now === undefined) {
      lines.push(`- ${noun} ${name}`);
      continue;
    }
    const label = noun === 'entity' ? name : `${noun} ${name}`;
    compare(old, now, '', ({ path, text }) => {
      lines.push(`~ ${label}: ${[path.replace(/^config\./, ''), text].filter((part) => part !== '').join(' ')}`);
    });
  }
  for (const name of after.keys()) if (!before.has(name)) lines.push(`+ ${noun} ${name}`);
}

interface Change {
  /** Where, such as `timeouts.drain`; empty for the whole. */
  readonly path: string;
  /** What, such as `30s → 10s` or `rotated`. */
  readonly text: string;
}

function compare(before: Description, after: Description, path: string, tell: (change: Change) => void): void {
  if (isSecretMark(before) || isSecretMark(after)) {
    const text = changeOfSecret(before, after);
    if (text !== undefined) tell({ path, text });
  } else if (isList(before) && isList(after)) {
    compareLists(before, after, path, tell);
  } else if (isFolder(before) && isFolder(after)) {
    for (const key of keysOf(before, after)) {
      compare(member(before, key), member(after, key), path === '' ? key : `${path}.${key}`, tell);
    }
  } else if (before !== after) {
    tell({ path, text: changeOfValue(before, after) });
  }
}

function changeOfSecret(before: Description, after: Description): string | undefined {
  if (isSecretMark(before) && isSecretMark(after)) {
    if (before.shown !== after.shown) return `${show(before)} → ${show(after)}`;
    return before.secret === after.secret ? undefined : 'rotated';
  }
  if (isSecretMark(after)) return isEmpty(before) ? 'set' : 'replaced by a secret';
  return isEmpty(after) ? 'removed' : 'no longer a secret';
}

function changeOfValue(before: Description, after: Description): string {
  if (isScalar(before) && isScalar(after)) return `${show(before)} → ${show(after)}`;
  if (before === undefined) return 'added';
  return after === undefined ? 'removed' : 'changed';
}

/** A list whose items have names is compared by name and then by order; any other one position by position. */
function compareLists(
  before: readonly Description[],
  after: readonly Description[],
  path: string,
  tell: (change: Change) => void,
): void {
  const [old, now] = [named(before), named(after)];
  if (old === undefined || now === undefined) {
    if (before.length !== after.length) tell({ path, text: `${before.length} → ${after.length} entries` });
    else before.forEach((item, index) => compare(item, after[index], `${path}[${index}]`, tell));
    return;
  }
  for (const [name, item] of old) {
    if (!now.has(name)) tell({ path, text: `- ${shorten(name)}` });
    else compare(item, now.get(name), path === '' ? name : `${path}.${name}`, tell);
  }
  for (const name of now.keys()) if (!old.has(name)) tell({ path, text: `+ ${shorten(name)}` });
  const kept = [...old.keys()].filter((name) => now.has(name));
  const keptNow = [...now.keys()].filter((name) => old.has(name));
  if (kept.some((name, index) => name !== keptNow[index]))
    tell({ path, text: `order: ${shorten([...now.keys()].join(', '))}` });
}

/** The items of a list by name, if each one has a name; a second one of a name is `name#2`. */
function named(list: readonly Description[]): Items | undefined {
  const items = new Map<string, Description>();
  for (const item of list) {
    const name = nameOf(item);
    if (name === undefined) return undefined;
    let unique = name;
    for (let count = 2; items.has(unique); count += 1) unique = `${name}#${count}`;
    items.set(unique, item);
  }
  return items;
}

/** A word stands for itself, a stage for its plugin, anything else for its id. */
function nameOf(item: Description): string | undefined {
  if (typeof item === 'string') return item;
  const name = member(item, 'id') ?? member(item, 'plugin');
  return typeof name === 'string' ? name : undefined;
}

function itemsOf(section: string, value: Description): Items {
  if (isList(value)) return named(value) ?? new Map();
  if (namedSections.has(section) && isFolder(value)) return new Map(Object.entries(value));
  return new Map();
}

function keysOf(before: Description, after: Description): Iterable<string> {
  return new Set([...Object.keys(isFolder(before) ? before : {}), ...Object.keys(isFolder(after) ? after : {})]);
}

function member(value: Description, key: string): Description {
  return isFolder(value) && Object.hasOwn(value, key) ? value[key] : undefined;
}

/** As `Array.isArray`, which does not know of readonly arrays. */
function isList(value: Description): value is readonly Description[] {
  return Array.isArray(value);
}

function isScalar(value: Description): boolean {
  return !isList(value) && !isFolder(value);
}

function isEmpty(value: Description): boolean {
  return value === undefined || value === null || value === '';
}

function show(value: Description): string {
  if (value === undefined) return 'unset';
  if (isSecretMark(value)) return shorten(value.shown);
  const isWord = typeof value === 'string' && /^[^\s\p{Cc}](?:[^\p{Cc}]*[^\s\p{Cc}])?$/u.test(value);
  return shorten(isWord ? value : JSON.stringify(value));
}

function shorten(text: string): string {
  return text.length <= mostCharacters ? text : `${text.slice(0, mostCharacters)}…`;
}
