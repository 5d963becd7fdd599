import { asBuffer } from './as-buffer.ts';
import { createGatherer, type Gatherer } from './gather.ts';
import * as json from './json-bytes.ts';
import { JsonScanError } from './json-error.ts';
import type { JsonEvents, JsonPath, LongTextSink, TokenizerLimits } from './json-events.ts';
import { createJsonUnescaper, type JsonUnescaper } from './json-unescape.ts';
import { createQuoteSearch } from './quote-search.ts';
import { createUtf8Check } from './utf8.ts';

export interface JsonTokenizer {
  /**
   * Reads on. The chunk must not change afterwards. A promise is returned only when a sink returned one, and must have
   * settled before the next call. @throws JsonScanError; and what sinks and events throw
   */
  feed(chunk: Uint8Array): void | Promise<void>;
  /** The document has ended. @throws JsonScanError when it is not complete */
  end(): void;
  /** The path of the value that is being read. */
  path(): JsonPath;
  readonly insideLongText: boolean;
}

/** A string beyond this is more likely a picture than words. */
export const defaultLongTextBytes = 4096;

type Expected = 'value' | 'first-value' | 'key' | 'first-key' | 'colon' | 'separator' | 'end';

interface OpenLongText {
  readonly sink: LongTextSink;
  readonly unescaper: JsonUnescaper;
}

const byteOrderMark = Buffer.from('\u{feff}');

/**
 * Reads JSON in whatever pieces it comes. It accepts what `JSON.parse` accepts, and a byte order mark before it; it holds
 * no more than one token. Long texts are skipped by native search, never decoded.
 */
export function createJsonTokenizer(limits: TokenizerLimits, events: JsonEvents): JsonTokenizer {
  const utf8 = createUtf8Check();
  const quotes = createQuoteSearch();
  /** A number for each open array, its current index; a string for each open object, its current name. */
  const path: (string | number)[] = [];
  let expected: Expected = 'value';
  let token: 'none' | 'key' | 'string' | 'atom' | 'long' = 'none';
  let held: Gatherer | undefined;
  let long: OpenLongText | undefined;
  let longBytes = 0;
  let fedBytes = 0;
  let markBytes = 0;

  const bad = (what: string): JsonScanError => new JsonScanError('syntax', `The document is not JSON: ${what}.`);
  const badEscape = (): JsonScanError => bad('a string has an escape that does not exist');

  function checkSkeleton(at: number): void {
    // A string that has not ended may still turn out long.
    const undecided = token === 'string' ? (held?.byteLength ?? 0) : 0;
    if (fedBytes + at - longBytes - undecided > limits.maxSkeletonBytes)
      throw new JsonScanError(
        'too_large',
        `The document has more than ${limits.maxSkeletonBytes} bytes beside long texts.`,
      );
  }

  function checkToken(moreBytes: number): void {
    if ((held?.byteLength ?? 0) + moreBytes > limits.maxTokenBytes)
      throw new JsonScanError(
        'too_large',
        `The document has a name or value of more than ${limits.maxTokenBytes} bytes.`,
      );
  }

  function hold(piece: Uint8Array): void {
    held ??= createGatherer();
    held.add(piece);
  }

  /** The token's bytes: what earlier chunks held of it, and what this one has. */
  function take(chunk: Buffer, from: number, to: number): Buffer {
    const piece = chunk.subarray(from, to);
    if (held === undefined) return piece;
    held.add(piece);
    const whole = asBuffer(held.joined());
    held = undefined;
    return whole;
  }

  /** As `take`, but as text. Most tokens lie within one chunk and need no object of their own. */
  function takeText(chunk: Buffer, from: number, to: number): string {
    return held === undefined ? chunk.toString('utf8', from, to) : take(chunk, from, to).toString('utf8');
  }

  function valueBegins(): void {
    const index = path.at(-1);
    if (typeof index === 'number') path[path.length - 1] = index + 1;
  }

  function valueEnds(): void {
    token = 'none';
    expected = path.length === 0 ? 'end' : 'separator';
  }

  function open(kind: 'object' | 'array'): void {
    if (path.length >= limits.maxDepth)
      throw new JsonScanError('too_deep', `The document is nested more than ${limits.maxDepth} levels deep.`);
    path.push(kind === 'array' ? -1 : '');
    expected = kind === 'array' ? 'first-value' : 'first-key';
    events.open(kind);
  }

  function close(): void {
    path.pop();
    events.close();
    valueEnds();
  }

  /** Reads the byte between tokens. Returns where to read on. */
  function structure(byte: number, at: number): number {
    if (json.isBlank(byte)) return at + 1;
    switch (expected) {
      case 'first-value':
        if (byte === json.closeBracket) close();
        else return beginValue(byte, at);
        break;
      case 'value':
        return beginValue(byte, at);
      case 'first-key':
        if (byte === json.closeBrace) close();
        else if (byte === json.quote) token = 'key';
        else throw bad('a name is missing');
        break;
      case 'key':
        if (byte !== json.quote) throw bad('a name is missing');
        token = 'key';
        break;
      case 'colon':
        if (byte !== json.colon) throw bad('a colon is missing');
        expected = 'value';
        break;
      case 'separator':
        separator(byte, typeof path.at(-1) === 'number');
        break;
      case 'end':
        throw bad('something follows its end');
    }
    return at + 1;
  }

  function separator(byte: number, inArray: boolean): void {
    if (byte === json.comma) expected = inArray ? 'value' : 'key';
    else if (byte === (inArray ? json.closeBracket : json.closeBrace)) close();
    else throw bad('a comma or a closing bracket is missing');
  }

  function beginValue(byte: number, at: number): number {
    valueBegins();
    if (byte === json.quote) token = 'string';
    else if (byte === json.openBrace) open('object');
    else if (byte === json.openBracket) open('array');
    else if (json.isAtomByte(byte)) token = 'atom';
    else throw bad('a value is missing');
    return token === 'atom' ? at : at + 1;
  }

  function atom(chunk: Buffer, from: number): number {
    let at = from;
    while (at < chunk.length && json.isAtomByte(chunk[at] ?? 0)) at += 1;
    checkToken(at - from);
    if (at === chunk.length) hold(chunk.subarray(from));
    else endAtom(chunk, from, at);
    return at;
  }

  function endAtom(chunk: Buffer, from: number, to: number): void {
    const value = json.atomValue(takeText(chunk, from, to));
    if (value === undefined) throw bad('a value is neither a number nor true, false or null');
    events.value(value);
    valueEnds();
  }

  /** Reads on in a string that is not, or not yet, a long text. */
  function shortText(chunk: Buffer, from: number, to: number, ended: boolean): void | Promise<void> {
    if ((held?.byteLength ?? 0) + to - from > limits.longTextBytes) return beginLongText(take(chunk, from, to), ended);
    if (!ended) return hold(chunk.subarray(from, to));
    events.value(decode(takeText(chunk, from, to)));
    return valueEnds();
  }

  function name(chunk: Buffer, from: number, to: number, ended: boolean): void {
    checkToken(to - from);
    if (!ended) return hold(chunk.subarray(from, to));
    const text = decode(takeText(chunk, from, to));
    path[path.length - 1] = text;
    token = 'none';
    expected = 'colon';
    return events.key(text);
  }

  function decode(raw: string): string {
    if (!json.needsParsing(raw)) return raw;
    try {
      return JSON.parse(`"${raw}"`);
    } catch {
      throw bad('a string has an escape or a character that it cannot have');
    }
  }

  function beginLongText(raw: Buffer, ended: boolean): void | Promise<void> {
    const unescaper = createJsonUnescaper(badEscape);
    const headBytes = raw.subarray(0, limits.longTextBytes);
    checkLongText(headBytes);
    const head = unescaper.write(headBytes);
    token = 'long';
    long = { sink: events.longText(head), unescaper };
    const { sink } = long;
    return afterwards(emit(sink, head), () => longText(raw.subarray(headBytes.byteLength), ended));
  }

  function longText(piece: Uint8Array, ended: boolean): void | Promise<void> {
    if (long === undefined) return undefined;
    const { sink, unescaper } = long;
    checkLongText(piece);
    const written = emit(sink, unescaper.write(piece));
    if (!ended) return written;
    const last = afterwards(written, () => emit(sink, unescaper.end()));
    return afterwards(last, () => endLongText(sink.finish()));
  }

  function checkLongText(raw: Uint8Array): void {
    longBytes += raw.byteLength;
    if (json.hasControlCharacter(raw)) throw bad('a string has a control character');
  }

  function endLongText(result: unknown): void | Promise<void> {
    if (result instanceof Promise) return result.then(endLongText);
    long = undefined;
    events.value(result);
    return valueEnds();
  }

  function text(chunk: Buffer, from: number, to: number, ended: boolean): void | Promise<void> {
    if (token === 'key') return name(chunk, from, to, ended);
    if (token === 'string') return shortText(chunk, from, to, ended);
    return longText(chunk.subarray(from, to), ended);
  }

  function advance(chunk: Buffer, from: number): void | Promise<void> {
    let at = from;
    while (at < chunk.length) {
      checkSkeleton(at);
      if (token === 'none') {
        at = structure(chunk[at] ?? 0, at);
      } else if (token === 'atom') {
        at = atom(chunk, at);
      } else {
        const quote = quotes.find(chunk, at);
        const ended = quote !== -1;
        const end = ended ? quote : chunk.length;
        const next = ended ? quote + 1 : chunk.length;
        const pending = text(chunk, at, end, ended);
        if (pending !== undefined) return pending.then(() => advance(chunk, next));
        at = next;
      }
    }
    checkSkeleton(chunk.length);
    fedBytes += chunk.length;
    return undefined;
  }

  /** The position after the part of a byte order mark that this chunk begins with. Half a mark is not UTF-8. */
  function afterMark(chunk: Buffer): number {
    let at = 0;
    while (markBytes < byteOrderMark.length && at < chunk.length && chunk[at] === byteOrderMark[markBytes]) {
      markBytes += 1;
      at += 1;
    }
    if (at < chunk.length) markBytes = byteOrderMark.length;
    return at;
  }

  return {
    feed(chunk) {
      if (!utf8.write(chunk)) throw bad('it is not UTF-8');
      const buffer = asBuffer(chunk);
      return advance(buffer, afterMark(buffer));
    },
    end() {
      if (!utf8.end()) throw bad('it is not UTF-8');
      if (token === 'atom') endAtom(Buffer.alloc(0), 0, 0);
      if (token !== 'none' || expected !== 'end') throw bad('it is not complete');
    },
    path: () => [...path],
    get insideLongText() {
      return token === 'long';
    },
  };
}

function emit(sink: LongTextSink, bytes: Uint8Array): void | Promise<void> {
  return bytes.byteLength === 0 ? undefined : sink.write(bytes);
}

/** Goes on at once where it can: a scan whose sinks do not wait does not wait either. */
function afterwards(first: void | Promise<void>, next: () => void | Promise<void>): void | Promise<void> {
  return first === undefined ? next() : first.then(next);
}
