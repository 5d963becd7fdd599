/**
 * Keeps secrets out of what is shown of a file. The file may be broken in any way, so this trusts no structure: a text is
 * hidden because of the key before it, because of what it looks like, or because it is known to be secret. Hiding too
 * much costs a reader a look into the file; hiding too little cannot be undone.
 */
import { isJsonObject } from '../json.ts';
import { suggest } from './suggest.ts';

export const redacted = '[redacted]';

const secretWords = ['token', 'key', 'secret', 'password', 'passwd', 'authorization', 'credential', 'cookie'];

/** Texts that are secrets by their look, wherever they stand. */
const secretLooks = [
  /(?<=\/\/)[^\s/@"']+(?=@)/g,
  // A password need not be escaped everywhere, and may hold what ends it elsewhere.
  /(?<=\/\/)[^\s/@"']*:[^\s"']+(?=@)/g,
  /(?<=[?&](?:[\w.-]*[_.-])?(?:token|key|signature|sig|password|secret|credential)=)[^&#\s"']+/gi,
  /(?<=\b(?:Bearer|Basic)\s+)[^\s"',}]+/gi,
  /\b(?:sk|pk|rk|xai|ghp|gho|hf|r8|glpat|AIza|AKIA|eyJ)[-_]?[A-Za-z0-9_-]{6,}/g,
  /\b(?=[\w-]*[A-Z])(?=[\w-]*[a-z])(?=[\w-]*[0-9])[\w-]{20,128}/g,
  /\b[0-9A-Fa-f]{32,}\b/g,
];

/** Shorter texts than this stand in a file for many reasons, and are hidden by their key only. */
const fewestKnownCharacters = 4;

/** Whether a key is, or was meant to be, the name of a secret. */
export function isSecretKey(key: string): boolean {
  const word = key.toLowerCase();
  return secretWords.some((secret) => word.includes(secret)) || suggest(word, secretWords) !== undefined;
}

/** Files repeat their few keys thousands of times. */
function rememberVerdicts(judge: (key: string) => boolean): (key: string) => boolean {
  const verdicts = new Map<string, boolean>();
  return (key) => {
    const verdict = verdicts.get(key) ?? judge(key);
    verdicts.set(key, verdict);
    return verdict;
  };
}

/** The texts of a value that stand under a secret's name. */
export function secretTextsIn(value: unknown): string[] {
  const texts: string[] = [];
  const isSecret = rememberVerdicts(isSecretKey);
  const visit = (node: unknown, isHidden: boolean): void => {
    if (typeof node === 'string' && isHidden) texts.push(node);
    else if (Array.isArray(node)) for (const item of node) visit(item, isHidden);
    else if (isJsonObject(node)) {
      for (const [key, item] of Object.entries(node)) {
        const mayHoldText = typeof item === 'string' || typeof item === 'object';
        if (mayHoldText) visit(item, isHidden || isSecret(key));
      }
    }
  };
  visit(value, false);
  return texts;
}

export interface Redactor {
  /** A message, without secrets. */
  message(text: string): string;
  /** A line of the file (counted from 1), without secrets, and where a column of it now stands. */
  line(number: number, column: number): { readonly text: string; readonly column: number };
  readonly lineCount: number;
  /** Whether there is nothing to show. */
  readonly isEmpty: boolean;
}

type Span = readonly [start: number, end: number];

/**
 * @param source the file's text
 * @param secrets texts that are known to be secret
 */
export function createRedactor(source: string, secrets: Iterable<string>): Redactor {
  const lines = source.split(/\r\n|\n|\r/);
  const known = indexSecrets(secrets);
  let spansByLine: readonly (readonly Span[])[] | undefined;

  function spansOf(text: string): Span[] {
    const spans: Span[] = [];
    for (let start = 0; start + fewestKnownCharacters <= text.length; start += 1) {
      const candidates = known.get(text.slice(start, start + fewestKnownCharacters)) ?? [];
      for (const secret of candidates) if (text.startsWith(secret, start)) spans.push([start, start + secret.length]);
    }
    for (const look of secretLooks) {
      for (const match of text.matchAll(look)) spans.push([match.index, match.index + match[0].length]);
    }
    return spans;
  }

  return {
    lineCount: lines.length,
    isEmpty: source.trim() === '',
    message: (text) => hide(text, spansOf(text), 0).text,
    line(number, column) {
      const text = lines[number - 1] ?? '';
      spansByLine ??= spansByKey(lines);
      return hide(text, [...(spansByLine[number - 1] ?? []), ...spansOf(text)], column);
    },
  };
}

/** Secrets by their first characters: there may be thousands, and each text is searched for all of them. */
function indexSecrets(secrets: Iterable<string>): ReadonlyMap<string, readonly string[]> {
  // A list of tokens, or a secret over several lines, may show up in pieces.
  const pieces = [...secrets].flatMap((secret) => [secret, ...secret.split(/[\r\n,]+/)].map((piece) => piece.trim()));
  const known = [...new Set(pieces)].filter((piece) => piece.length >= fewestKnownCharacters);
  return Map.groupBy(known, (secret) => secret.slice(0, fewestKnownCharacters));
}

/** A text without its spans, and where a column of it now stands. */
function hide(text: string, spans: readonly Span[], column: number): { text: string; column: number } {
  let shown = '';
  let position = 0;
  let newColumn = column;
  for (const [start, end] of spans.toSorted((left, right) => left[0] - right[0])) {
    if (end <= position) continue;
    if (start >= position) {
      shown += text.slice(position, start);
      if (column - 1 >= start) newColumn = shown.length + 1;
      shown += redacted;
    }
    position = end;
    if (column - 1 >= end) newColumn = shown.length + 1 + (column - 1 - end);
  }
  return { text: shown + text.slice(position), column: newColumn };
}

/** Where values begin that have a secret's name before them; the name is in the first group. */
const keyBeforeValue = /["']?([\w.-]+)["']?\s*:\s*/g;

/** For each line, what stands under a secret's name: on the same line, or on the lines below that belong to it. */
function spansByKey(lines: readonly string[]): Span[][] {
  /** The quote that an unfinished secret ends with. */
  let openQuote: string | undefined;
  /** The column of an unfinished secret's key. */
  let keyColumn: number | undefined;
  const isSecret = rememberVerdicts(isSecretKey);

  return lines.map((line) => {
    const spans: Span[] = [];
    let position = 0;
    if (openQuote !== undefined) {
      const end = line.indexOf(openQuote);
      if (end < 0) return [[0, line.length]];
      spans.push([0, end]);
      openQuote = undefined;
      position = end + 1;
    } else if (keyColumn !== undefined) {
      const indent = line.search(/\S/);
      if (indent < 0 || indent > keyColumn || (indent === keyColumn && /^\s*-(\s|$)/.test(line))) {
        return [[Math.max(indent, 0), line.length]];
      }
      keyColumn = undefined;
    }
    for (const match of line.matchAll(keyBeforeValue)) {
      if (match.index < position || !isSecret(match[1] ?? '')) continue;
      const start = match.index + match[0].length;
      const value = valueAt(line, start, match.index);
      if (value.end > start) spans.push([start, value.end]);
      position = value.end;
      openQuote = value.openQuote;
      keyColumn = value.mayGoOn ? match.index : undefined;
    }
    return spans;
  });
}

/** Where a value ends that begins in a line, as far as can be told without parsing. */
function valueAt(line: string, start: number, keyStart: number) {
  const quote = line[start];
  if (quote === '"' || quote === "'") {
    const closed = quote === '"' ? /"(?:[^"\\]|\\.)*"/y : /'(?:[^']|'')*'/y;
    closed.lastIndex = start;
    const match = closed.exec(line);
    if (match === null) return { end: line.length, openQuote: quote, mayGoOn: false };
    return { end: start + match[0].length, openQuote: undefined, mayGoOn: false };
  }
  const before = line.slice(0, keyStart);
  const isInBraces = before.lastIndexOf('{') > before.lastIndexOf('}');
  const next = isInBraces ? line.slice(start).search(/,\s*["']?[\w.-]+["']?\s*:(\s|$)|\s*[}\]]/) : -1;
  return { end: next < 0 ? line.length : start + next, openQuote: undefined, mayGoOn: next < 0 };
}
