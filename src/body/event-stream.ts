/**
 * Server-sent events on their way in, as the HTML standard reads them: https://html.spec.whatwg.org/multipage/server-sent-events.html.
 * An event's data stays the bytes in which it arrived, since there may be a picture in it.
 */
import { createGatherer, type Gatherer } from './gather.ts';

/** An event that is complete. */
export interface StreamedEvent {
  /** Its name, `message` where it has none. */
  readonly name: string;
  /** What stood in its `data` lines, with a line feed between two of them. Never empty. */
  readonly data: readonly Uint8Array[];
  readonly byteLength: number;
  /** How many `data` lines it had. */
  readonly lines: number;
}

/** Whether an answer with these headers is a stream of events. @param headers with lower-case names */
export function isEventStream(headers: Readonly<Record<string, string>>): boolean {
  return /^\s*text\/event-stream\s*(;|$)/i.test(headers['content-type'] ?? '');
}

/**
 * The events of a stream, each when its last byte has come. One event is held at a time, so the source's own bound holds for
 * it. The last one counts even when the blank line after it is missing.
 */
export async function* readEventStream(source: AsyncIterable<Uint8Array>): AsyncGenerator<StreamedEvent, void> {
  const parser = createEventParser();
  for await (const chunk of source) yield* parser.feed(chunk);
  yield* parser.end();
}

interface EventParser {
  /** The events that end in this chunk, which must not change afterwards. */
  feed(chunk: Uint8Array): Iterable<StreamedEvent>;
  end(): Iterable<StreamedEvent>;
}

const lineFeed = 0x0a;
const carriageReturn = 0x0d;
const colon = 0x3a;
const space = 0x20;
const byteOrderMark = '\u00ef\u00bb\u00bf';
/** The longest name of a field that we look at is `event`; the first line may have a byte order mark before it. */
const maxFieldBytes = 'event'.length + byteOrderMark.length;
/** A longer name of an event is cut: it is none that we know. */
const maxNameBytes = 256;
const newLine = Uint8Array.of(lineFeed);

function createEventParser(): EventParser {
  let isFirstLine = true;
  /** The field of the line at hand: not known before its colon, or its end. */
  let field: 'unknown' | 'data' | 'event' | 'other' = 'unknown';
  let fieldText = '';
  let hasValue = false;
  let name: Gatherer | undefined;
  let data: Gatherer | undefined;
  let lines = 0;
  /** The last chunk ended in a carriage return: a line feed that follows belongs to it. */
  let endedInReturn = false;

  function openField(text: string): void {
    const known = isFirstLine && text.startsWith(byteOrderMark) ? text.slice(byteOrderMark.length) : text;
    field = known === 'data' || known === 'event' ? known : 'other';
    if (field === 'event') name = undefined;
    if (field !== 'data') return;
    lines += 1;
    if (lines > 1) (data ??= createGatherer()).add(newLine);
  }

  /** Reads a piece of a line. */
  function take(piece: Uint8Array): void {
    let value = piece;
    if (field === 'unknown') {
      const start = piece.subarray(0, maxFieldBytes + 1 - fieldText.length);
      const end = start.indexOf(colon);
      fieldText += Buffer.from(end < 0 ? start : start.subarray(0, end)).toString('latin1');
      if (end < 0) {
        if (fieldText.length > maxFieldBytes) field = 'other';
        return;
      }
      openField(fieldText);
      value = piece.subarray(end + 1);
    }
    if (field === 'other' || value.byteLength === 0) return;
    const kept = !hasValue && value[0] === space ? value.subarray(1) : value;
    hasValue = true;
    if (field === 'data') {
      (data ??= createGatherer()).add(kept);
    } else {
      name ??= createGatherer();
      if (name.byteLength < maxNameBytes) name.add(kept.subarray(0, maxNameBytes - name.byteLength));
    }
  }

  function endLine(): StreamedEvent | undefined {
    const isBlank = field === 'unknown' && (fieldText === '' || (isFirstLine && fieldText === byteOrderMark));
    // A field without a colon has an empty value.
    if (field === 'unknown' && !isBlank) openField(fieldText);
    field = 'unknown';
    fieldText = '';
    hasValue = false;
    isFirstLine = false;
    return isBlank ? endEvent() : undefined;
  }

  function endEvent(): StreamedEvent | undefined {
    const event = data === undefined || data.byteLength === 0 ? undefined : finished(name, data, lines);
    name = undefined;
    data = undefined;
    lines = 0;
    return event;
  }

  return {
    *feed(chunk) {
      if (chunk.byteLength === 0) return;
      let at = endedInReturn && chunk[0] === lineFeed ? 1 : 0;
      endedInReturn = false;
      // Looked for once each until they are reached, so that many lines of one kind do not search for the other again and again.
      const nextFeed = createSearch(chunk, lineFeed);
      const nextReturn = createSearch(chunk, carriageReturn);
      while (at < chunk.byteLength) {
        const end = Math.min(nextFeed(at), nextReturn(at));
        if (end > at) take(chunk.subarray(at, end));
        if (end === chunk.byteLength) return;
        const event = endLine();
        if (event !== undefined) yield event;
        at = end + 1;
        if (chunk[end] !== carriageReturn) continue;
        if (at === chunk.byteLength) endedInReturn = true;
        else if (chunk[at] === lineFeed) at += 1;
      }
    },
    *end() {
      const last = field === 'unknown' && fieldText === '' ? undefined : endLine();
      const event = last ?? endEvent();
      if (event !== undefined) yield event;
    },
  };
}

function finished(name: Gatherer | undefined, data: Gatherer, lines: number): StreamedEvent {
  const text = name === undefined ? '' : Buffer.from(name.joined()).toString('utf8');
  return { name: text === '' ? 'message' : text, data: data.slices(), byteLength: data.byteLength, lines };
}

/** Finds a byte from a place on that only goes forward; the chunk's length where there is none. */
function createSearch(chunk: Uint8Array, byte: number): (from: number) => number {
  let found = -1;
  return function next(from) {
    if (found >= from) return found;
    const at = chunk.indexOf(byte, from);
    found = at < 0 ? chunk.byteLength : at;
    return found;
  };
}
