/** Renders images responses, and reads them back. */
import { expect } from 'vitest';
import type { BlobStore, PutOptions } from '../../../src/blobs/blob-store.ts';
import { collect } from '../../../src/body/byte-source.ts';
import { eventsOfResult, renderEvents, type EventsContext } from '../../../src/http/events-response.ts';
import { renderImages, type RenderContext } from '../../../src/http/images-response.ts';
import type { ByteText, ImagePayload, SpooledFile } from '../../../src/images/payload.ts';
import { isJsonObject } from '../../../src/json.ts';
import type { ImagesResponse } from '../../../src/pipeline/response.ts';
import { completeResult, type ImageAnswer, type ImageEvent } from '../../../src/pipeline/result.ts';
import type { Clock } from '../../../src/pipeline/stage.ts';
import { makeCall, silentLog } from '../../fixtures/exchange.ts';

/** What the caller wants when it says nothing. */
export const json: ImagesResponse = {
  kind: 'images',
  form: undefined,
  framing: 'json',
  passThrough: false,
  extras: [],
};

/** What a caller gets who wants events. */
export const inEvents: ImagesResponse = { ...json, form: 'b64_json', framing: 'events' };

/** A clock that stands still, but for the timers that a test lets ring. */
export function testClock(): Clock & { readonly ring: () => void } {
  const timers = new Set<() => void>();
  return {
    now: () => 0,
    monotonic: () => 0,
    sleep: () => Promise.reject(new Error('This test did not expect to sleep.')),
    timer(_milliseconds, callback) {
      const due = (): void => {
        timers.delete(due);
        callback();
      };
      timers.add(due);
      return { cancel: () => void timers.delete(due) };
    },
    ring() {
      for (const due of timers) due();
    },
  };
}

/** An answer of which nothing is known but its pictures. */
export function answerOf(...payloads: readonly ImagePayload[]): ImageAnswer {
  return { created: undefined, images: payloads.map((payload) => ({ payload })), usage: undefined, effective: {} };
}

/** A long text as it arrived, in slices. */
export function textOf(slices: readonly Uint8Array[]): ByteText {
  return { slices, byteLength: slices.reduce((sum, { byteLength }) => sum + byteLength, 0), escaped: false };
}

/** A picture as base64 text in one slice. */
export function base64(text: Uint8Array): ImagePayload {
  return { kind: 'base64', text: textOf([text]) };
}

/** A picture in a file, as far as its readers can tell. */
export function spooled(data: Uint8Array): SpooledFile {
  return {
    byteLength: data.byteLength,
    async *read() {
      yield data.subarray(0, 1000);
      yield data.subarray(1000);
    },
    close: () => Promise.resolve(),
  };
}

/** A picture that a fake blob store was given. */
interface KeptPicture extends PutOptions {
  readonly mediaType: string;
  readonly bytes: Buffer;
}

/** A blob store that keeps everything in memory, under names that it counts. */
export function fakeBlobs(): BlobStore & { readonly kept: KeptPicture[] } {
  const kept: KeptPicture[] = [];
  let names = 0;
  return {
    kept,
    async put(content, mediaType, { signal: _signal, ...options } = {}) {
      names += 1;
      const name = `blob-${names}`;
      const bytes = Buffer.from(await collect(content.read()));
      expect(bytes.byteLength).toBe(content.byteLength);
      kept[Number(name.slice('blob-'.length)) - 1] = { mediaType, bytes, ...options };
      return name;
    },
    open: () => Promise.resolve(undefined),
    remove: () => Promise.resolve(),
    list: () => Promise.resolve([]),
    sweep: () => Promise.resolve({ removed: 0, more: false }),
    close: () => Promise.resolve(),
  };
}

/** Keeps pictures in a store, and makes links of their names. */
export function hostIn(blobs: BlobStore): NonNullable<RenderContext['host']> {
  return async (content, mediaType, mostMs) => {
    const name = await blobs.put(content, mediaType, { expiresAtMs: mostMs });
    return `https://pictures.example/files/${name}`;
  };
}

/** What stands around an answer: a gateway that hosts pictures, in the year 2025. */
export function contextOf(given: Partial<RenderContext> = {}): RenderContext {
  return {
    call: makeCall(),
    attempts: [],
    budgets: [],
    log: silentLog,
    elapsedMs: 0,
    nowSeconds: 1_763_123_456,
    host: hostIn(fakeBlobs()),
    ...given,
  };
}

/** Renders an answer, and reads it to its end. */
export async function rendered(
  answer: ImageAnswer,
  response: Partial<ImagesResponse> = {},
  context: Partial<RenderContext> = {},
) {
  const { status, headers, body } = await renderImages(answer, { ...json, ...response }, contextOf(context));
  if (body instanceof Uint8Array) throw new Error('this answer is to be streamed');
  const { length } = body;
  const collected = Buffer.from(await collect(body));
  return { status, headers, length, body: collected, text: collected.toString() };
}

export interface GivenEventsContext extends Partial<EventsContext> {
  /** Called with each of the items of the body. */
  see?(chunk: Uint8Array): void;
}

/** Renders events, and reads them to their end. */
export async function renderedEvents(
  events: AsyncIterable<ImageEvent> | ImageAnswer,
  response: Partial<ImagesResponse> = {},
  { see, ...given }: GivenEventsContext = {},
) {
  const { call, nowSeconds, host } = contextOf();
  const context: EventsContext = {
    call,
    nowSeconds,
    host,
    clock: testClock(),
    pingEveryMs: undefined,
    hasBegun: false,
    signal: new AbortController().signal,
    ...given,
  };
  const source = 'images' in events ? eventsOfResult(completeResult(events)) : events;
  const { status, headers, body, failure } = renderEvents(source, { ...inEvents, ...response }, context);
  if (body instanceof Uint8Array) throw new Error('this answer is to be streamed');
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) {
    see?.(chunk);
    chunks.push(chunk);
  }
  return { status, headers, text: Buffer.concat(chunks).toString(), failure: failure?.() };
}

/** The events of a stream, by the rules of the HTML standard as far as they are used here. */
export function eventsOf(
  text: string,
): readonly { readonly event: string; readonly data: Readonly<Record<string, unknown>> }[] {
  expect(text.endsWith('\n\n')).toBe(true);
  return text
    .slice(0, -2)
    .split('\n\n')
    .map((block) => {
      const fields = block.split('\n').map((line) => /^(\w+): (.*)$/.exec(line)?.slice(1) ?? [line]);
      expect(fields.map(([name]) => name)).toEqual(['event', 'data']);
      const [event = '', data = ''] = fields.map(([, value]) => value);
      const document: unknown = JSON.parse(data);
      if (!isJsonObject(document)) throw new Error('the data of an event is not an object');
      return { event, data: document };
    });
}
