import { isJsonObject } from './json.ts';
import { printable, printableText } from './log-values.ts';

/** What a line of the log is made of. */
export interface LogLine {
  readonly time: Date;
  readonly level: string;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** One JSON object, and the end of the line. */
export function jsonLine({ time, level, message, fields }: LogLine): string {
  const head = { time: time.toISOString(), level, message: printableText(message) };
  const rest = printableFields(level, fields).map(([name, value]) => [
    // The line's own members are what collectors of logs rely on.
    Object.hasOwn(head, name) ? `${name}_` : name,
    value,
  ]);
  return `${JSON.stringify({ ...head, ...Object.fromEntries(rest) })}\n`;
}

/** `12:00:00.000 INFO  message name=value`. Lists of texts and the traces of errors follow, indented. */
export function prettyLine({ time, level, message, fields }: LogLine): string {
  let text = `${time.toISOString().slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${oneLine(printableText(message))}`;
  const below: string[] = [];
  for (const [name, value] of printableFields(level, fields)) {
    if (value === undefined) continue;
    if (isTextList(value)) below.push(...value);
    else if (isPrintedError(value)) text += ` ${name}=${traceError(value, below)}`;
    else text += ` ${name}=${textOf(value)}`;
  }
  return `${text}\n${below.map((line) => `    ${oneLine(line)}\n`).join('')}`;
}

function printableFields(level: string, fields: LogLine['fields']): [string, unknown][] {
  const printed = printable(fields, { stacks: level === 'error' || level === 'debug' });
  return isJsonObject(printed) ? Object.entries(printed) : [];
}

interface PrintedError {
  readonly name: string;
  readonly message: string;
  readonly stack: readonly string[];
  readonly cause?: unknown;
}

function isPrintedError(value: unknown): value is PrintedError {
  if (!isJsonObject(value)) return false;
  return typeof value['name'] === 'string' && typeof value['message'] === 'string' && isTextList(value['stack']);
}

/** Puts the trace below the line, that of the causes too, and returns what stands in the line. */
function traceError({ name, message, stack, cause }: PrintedError, below: string[]): string {
  below.push(...stack);
  if (isPrintedError(cause)) {
    const place = below.push('') - 1;
    below[place] = `caused by ${traceError(cause, below)}`;
  } else if (cause !== undefined) {
    below.push(`caused by ${textOf(cause)}`);
  }
  return textOf(`${name}: ${message}`);
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string');
}

function textOf(value: unknown): string {
  const isWord = typeof value === 'string' && /^[^\s"'=\p{Cc}]+$/u.test(value);
  return isWord ? value : oneLine(JSON.stringify(value));
}

/** Nobody but the logger starts a line, or tells the terminal what to do. */
function oneLine(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}
