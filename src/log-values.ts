import { createHash } from 'node:crypto';
import { Secret } from './secret.ts';

/** A text longer than this is replaced by a note of what it was, in characters. */
const longestText = 4096;

/** Text that is base64 for so long is taken for a picture or a credential, in characters. */
const longestBase64 = 256;

/** Bounds on one line's data: nesting, members of one value, and values in all. */
const mostDepth = 6;
const mostMembers = 100;
const mostValues = 1000;

const redacted = '[redacted]';

/** Fields whose text is a credential, should one get here in plain. */
const secretField =
  /^(?:(?:proxy-)?authorization|(?:set-)?cookie|(?:x-)?api[-_]?key|x-goog-api-key|token|password|secret)$/i;

/** A whole `data:` address. */
const dataAddress = /data:[a-z]+\/[^\s"'<>\\]{200,}/gi;

/** Base64 in either alphabet, also broken into lines, also with the line ends escaped. */
const base64Run = /(?:[A-Za-z0-9+/_-]{40,}={0,2}(?:\\[rn]|\s)*)+/g;

export interface PrintOptions {
  /** Whether errors show where they were made. */
  readonly stacks: boolean;
}

/**
 * Plain data for a line of the log, whatever it is given: never throws, never runs on, and shows no picture, whether as
 * bytes or as text, and no secret. Bytes and long texts leave a note of their size and digest, which tells equal ones.
 */
export function printable(value: unknown, options: PrintOptions): unknown {
  let values = 0;

  function print(value: unknown, depth: number): unknown {
    values += 1;
    if (values > mostValues) return '[…]';
    if (typeof value === 'string') return printableText(value);
    if (typeof value === 'function') return `[function ${value.name}]`;
    if (typeof value === 'object') return value === null ? null : printObject(value, depth);
    // None of these is a value in JSON.
    if (typeof value === 'bigint' || typeof value === 'symbol') return String(value);
    return typeof value === 'number' && !Number.isFinite(value) ? String(value) : value;
  }

  function printObject(value: object, depth: number): unknown {
    if (value instanceof Secret) return redacted;
    if (depth >= mostDepth) return '[…]';
    try {
      if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return bytesNote(new Uint8Array(value));
      if (ArrayBuffer.isView(value)) return bytesNote(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
      if (value instanceof Error) return printError(value, depth);
      if (Array.isArray(value) || value instanceof Set) return printList(value, depth);
      if (value instanceof Map) return printMembers(value, depth);
      if (value instanceof URL) return print(withoutPassword(value), depth);
      if ('toJSON' in value && typeof value.toJSON === 'function') return print(value.toJSON(), depth + 1);
      return printMembers(Object.entries(value), depth);
    } catch {
      // A getter or a `toJSON` that throws: the line is worth more than the value.
      return '[unreadable]';
    }
  }

  function printList(list: Iterable<unknown>, depth: number): unknown[] {
    const printed: unknown[] = [];
    for (const item of list) {
      if (printed.length === mostMembers) {
        printed.push('[…]');
        break;
      }
      printed.push(print(item, depth + 1));
    }
    return printed;
  }

  function printMembers(members: Iterable<readonly [unknown, unknown]>, depth: number): object {
    const printed: [string, unknown][] = [];
    for (const [key, item] of members) {
      if (printed.length === mostMembers) {
        printed.push(['…', '[…]']);
        break;
      }
      const name = printableText(String(key));
      printed.push([name, typeof item === 'string' && secretField.test(name) ? redacted : print(item, depth + 1)]);
    }
    return Object.fromEntries(printed);
  }

  function printError(error: Error, depth: number): object {
    const frames = options.stacks ? framesOf(error) : undefined;
    return {
      name: error.name,
      message: printableText(error.message),
      ...('code' in error && { code: print(error.code, depth + 1) }),
      ...(frames !== undefined && { stack: frames }),
      ...(error instanceof AggregateError && { errors: printList(error.errors, depth) }),
      ...(error.cause !== undefined && { cause: print(error.cause, depth + 1) }),
    };
  }

  return print(value, 0);
}

/** A text for a line of the log, in which what may be a picture is replaced by a note. */
export function printableText(text: string): string {
  if (text.length < longestBase64) return text;
  if (text.length > longestText) return textNote(kindOf(text), text);
  return withoutPictures(text);
}

/** A text in which each run that may be a picture, in base64 or as a data URI, is replaced by a note of its size and digest. */
export function withoutPictures(text: string): string {
  const note = (type: string) => (found: string) => (found.length < longestBase64 ? found : textNote(type, found));
  return text.replaceAll(dataAddress, note('data-uri')).replaceAll(base64Run, note('base64'));
}

function kindOf(text: string): string {
  if (text.startsWith('data:')) return 'data-uri';
  return /^[A-Za-z0-9+/_=\r\n-]{256}/.test(text) ? 'base64' : 'text';
}

function textNote(type: string, text: string): string {
  return `[${type}, ${text.length} characters, sha256 ${shortDigest(text)}]`;
}

function bytesNote(bytes: Uint8Array): object {
  return { type: 'bytes', size: bytes.byteLength, digest: shortDigest(bytes) };
}

function shortDigest(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex').slice(0, 12);
}

/** Where the error was made. The message in front of it is left out, since it stands in a field of its own. */
function framesOf(error: Error): readonly string[] | undefined {
  return error.stack
    ?.split('\n')
    .filter((line) => /^\s+at /.test(line))
    .slice(0, 20)
    .map((line) => printableText(line.trim()));
}

function withoutPassword(url: URL): string {
  if (url.password === '') return url.href;
  const copy = new URL(url);
  copy.password = 'redacted';
  return copy.href;
}
