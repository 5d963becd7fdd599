/** The one place that knows YAML: text in, plain data and positions out. */
import { isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument as parseYaml } from 'yaml';
import type { Alias, Document, Node, Pair, YAMLMap } from 'yaml';
import { segmentsOf } from '../json-pointer.ts';

/** A place in a text; both count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** A problem with the text itself, before anything is known of what it should say. */
export interface TextProblem extends Position {
  readonly message: string;
}

/** A parsed file. */
export interface ConfigDocument {
  /** Plain data; undefined when there are problems. */
  readonly value: unknown;
  readonly problems: readonly TextProblem[];
  /**
   * Where the value at a JSON pointer stands, or its key; for what is not there, the nearest thing around it.
   * Lists and objects that are written over several lines are found at their key.
   */
  locate(pointer: string, part?: 'value' | 'key'): Position;
  /** Whether the text itself says something at the pointer, as opposed to a default. */
  has(pointer: string): boolean;
}

/** Deeper than any sensible file, and far from the end of the stack. */
const mostLevels = 64;

/** How many values may come from aliases: enough for any reuse, too few for a bomb. */
const mostAliasedValues = 50_000;

/** Syntax errors beyond these are most likely consequences of the first. */
const mostSyntaxProblems = 10;

/** Parses a text. Never throws: what is wrong with it is among the problems. */
export function parseDocument(text: string): ConfigDocument {
  const lines = new LineCounter();
  const positionAt = (offset: number): Position => {
    const { line, col } = lines.linePos(Math.max(0, Math.min(offset, text.length)));
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const document = parseYaml(text, {
    lineCounter: lines,
    prettyErrors: false,
    schema: 'core',
    merge: false,
    resolveKnownTags: false,
    // The library compares each key with all others, which takes for ever in a large object. Ours is a set.
    uniqueKeys: false,
  });
  const problems = syntaxProblems(text, document, positionAt);
  const aliases = new Map<Alias, Node>();
  const report = (offset: number, message: string): void => {
    problems.push({ ...positionAt(offset), message });
  };
  const value = problems.length > 0 ? undefined : plainValue(document, aliases, report);
  const follow = createFollower(document.contents, aliases);

  return {
    value: problems.length > 0 ? undefined : value,
    problems,
    locate(pointer, part = 'value') {
      return positionAt(offsetOf(follow(segmentsOf(pointer)).steps, part));
    },
    has: (pointer) => follow(segmentsOf(pointer)).isComplete,
  };
}

function syntaxProblems(text: string, document: Document.Parsed, positionAt: (offset: number) => Position) {
  const problems: TextProblem[] = [];
  const control = /[^\t\n\r\x20-\x7e\x85\u{a0}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/u.exec(text);
  if (control !== null) problems.push({ ...positionAt(control.index), message: 'this character is not allowed here' });
  for (const error of [...document.errors, ...document.warnings].slice(0, mostSyntaxProblems)) {
    problems.push({ ...positionAt(error.pos[0]), message: syntaxMessage(error.code, error.message) });
  }
  if (problems.length === 0 && (document.contents === null || isEmptyScalar(document.contents))) {
    problems.push({ line: 1, column: 1, message: 'the file is empty' });
  }
  return problems;
}

function syntaxMessage(code: string, message: string): string {
  if (code === 'RESOURCE_EXHAUSTION' || message.includes('call stack')) return 'this is nested too deep';
  if (code === 'MULTIPLE_DOCS') return 'a second document begins here; the file must hold one';
  if (code === 'TAG_RESOLVE_FAILED')
    return 'this tag is not known; the file may hold plain text, numbers, lists and objects only';
  return `this is not valid YAML: ${message}`;
}

function isEmptyScalar(node: unknown): boolean {
  return isScalar(node) && node.value === null && (node.source ?? '') === '';
}

type Report = (offset: number, message: string) => void;

/** Plain data from the nodes. Done here and not by the library, for bounded aliases, and for keys that are only keys. */
function plainValue(document: Document.Parsed, aliases: Map<Alias, Node>, report: Report): unknown {
  const anchors = new Map<string, Node>();
  const open = new Set<unknown>();
  let aliasedValues = 0;
  let withinAlias = 0;
  let isTooLarge = false;

  function convert(node: unknown, level: number): unknown {
    if (withinAlias > 0 && ++aliasedValues > mostAliasedValues) {
      if (!isTooLarge) report(startOf(node), 'the aliases of this file stand for too many values');
      isTooLarge = true;
    }
    if (isTooLarge) return null;
    if (level > mostLevels) {
      report(startOf(node), `this is nested more than ${mostLevels} levels deep`);
      return null;
    }
    if (isAlias(node)) return convertAlias(node, level);
    if (isScalar(node)) {
      if (node.anchor !== undefined) anchors.set(node.anchor, node);
      return convertScalar(node.value, startOf(node));
    }
    if (!isMap(node) && !isSeq(node)) return null;
    if (node.anchor !== undefined) anchors.set(node.anchor, node);
    open.add(node);
    const value = isMap(node) ? convertMap(node, level) : node.items.map((item) => convert(item, level + 1));
    open.delete(node);
    return value;
  }

  function convertAlias(alias: Alias, level: number): unknown {
    const target = anchors.get(alias.source);
    if (target === undefined || open.has(target)) {
      report(
        startOf(alias),
        target === undefined ? 'no anchor of this name stands above' : 'this alias contains itself',
      );
      return null;
    }
    aliases.set(alias, target);
    withinAlias += 1;
    const value = convert(target, level + 1);
    withinAlias -= 1;
    return value;
  }

  function convertScalar(value: unknown, offset: number): unknown {
    if (typeof value === 'number' && !Number.isFinite(value)) report(offset, 'this number is not finite');
    return value;
  }

  function convertMap(map: YAMLMap, level: number): Record<string, unknown> {
    const result: Record<string, unknown> = {};
    for (const pair of map.items) {
      const key = keyOf(pair);
      const offset = startOf(pair.key);
      if (key === undefined) {
        report(offset, 'a key must be plain text');
      } else if (key === '__proto__') {
        report(offset, 'this key is not allowed');
      } else if (Object.hasOwn(result, key)) {
        report(offset, `\`${key}\` is here for the second time`);
      } else if (pair.value === null) {
        // Not named: after a comma in an unquoted token it is a piece of the token.
        report(offset, 'here is a key without a colon and a value');
      } else {
        result[key] = convert(pair.value, level + 1);
      }
    }
    return result;
  }

  return convert(document.contents, 0);
}

function keyOf({ key }: Pair): string | undefined {
  if (!isScalar(key) || key.value === null) return undefined;
  // A key such as 1.0 is the text that stands there, and not the number.
  return typeof key.value === 'string' ? key.value : key.source;
}

function startOf(node: unknown): number {
  return isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? (node.range?.[0] ?? 0) : 0;
}

interface Step {
  readonly key: unknown;
  readonly value: unknown;
}

/** Finds the nodes along a pointer, as far as they exist; the whole document first. */
function createFollower(root: unknown, aliases: ReadonlyMap<Alias, Node>) {
  // A file with very many problems has most of them in one object, which is not to be searched again for each.
  const pairsByMap = new WeakMap<YAMLMap, ReadonlyMap<string, Pair>>();
  const pairOf = (map: YAMLMap, key: string): Pair | undefined => {
    const pairs = pairsByMap.get(map) ?? new Map(map.items.map((pair) => [keyOf(pair) ?? '', pair]));
    pairsByMap.set(map, pairs);
    return pairs.get(key);
  };

  return (segments: readonly string[]) => {
    const steps: Step[] = [{ key: undefined, value: root }];
    let node = root;
    for (const segment of segments) {
      if (isAlias(node)) node = aliases.get(node);
      const pair = isMap(node) ? pairOf(node, segment) : undefined;
      const hasItem = isSeq(node) && /^[0-9]+$/.test(segment) && Number(segment) < node.items.length;
      if (pair === undefined && !hasItem) return { steps, isComplete: false };
      node = isSeq(node) ? node.items[Number(segment)] : pair?.value;
      steps.push({ key: pair?.key, value: node });
    }
    return { steps, isComplete: true };
  };
}

function offsetOf(steps: readonly Step[], part: 'value' | 'key'): number {
  const { key, value } = steps.at(-1) ?? { key: undefined, value: undefined };
  const isSpread = (isMap(value) || isSeq(value)) && value.flow !== true;
  const prefersKey = part === 'key' || isSpread || isEmptyScalar(value) || value === null;
  return startOf(key !== undefined && prefersKey ? key : value);
}
