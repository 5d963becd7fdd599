import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import { renderEvents } from '../../../src/http/events-response.ts';
import type { ImagePayload } from '../../../src/images/payload.ts';
import type { ImageAnswer, ImageEvent } from '../../../src/pipeline/result.ts';
import { makeCall } from '../../fixtures/exchange.ts';
import { png, randomPng, webp } from '../../fixtures/pictures.ts';
import {
  answerOf,
  base64,
  contextOf,
  eventsOf,
  fakeBlobs,
  hostIn,
  inEvents,
  renderedEvents,
  testClock,
  textOf,
} from './rendering.ts';

const picture = png();
const bytes = (data: Uint8Array): ImagePayload => ({ kind: 'bytes', bytes: data });

const partial = (index = 0, given: Partial<ImageEvent> = {}): ImageEvent =>
  ({
    kind: 'partial',
    image: { payload: bytes(picture) },
    created: undefined,
    effective: {},
    index,
    ...given,
  }) as ImageEvent;
const completed = (given: Partial<ImageEvent> = {}): ImageEvent =>
  ({
    kind: 'completed',
    image: { payload: bytes(picture) },
    created: undefined,
    effective: {},
    usage: undefined,
    ...given,
  }) as ImageEvent;

async function* streamOf(...items: readonly (ImageEvent | Error)[]): AsyncGenerator<ImageEvent> {
  for (const item of items) {
    if (item instanceof Error) throw item;
    yield item;
  }
}

describe('pictures as events', () => {
  it('are one completed event each, with all members that clients expect', async () => {
    const answer: ImageAnswer = {
      ...answerOf(bytes(picture), bytes(await webp())),
      created: 1_763_000_000,
      usage: { inputTokens: 5, outputTokens: 7, totalTokens: 12 },
      effective: { size: '8x8', quality: 'low', background: 'transparent' },
    };
    const { status, headers, text, failure } = await renderedEvents(answer);
    expect([status, failure]).toEqual([200, undefined]);
    expect(headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
    });
    const members = {
      type: 'image_generation.completed',
      created_at: 1_763_000_000,
      size: '8x8',
      quality: 'low',
      background: 'transparent',
      usage: {
        input_tokens: 5,
        output_tokens: 7,
        total_tokens: 12,
        input_tokens_details: { text_tokens: 0, image_tokens: 0 },
      },
    };
    expect(eventsOf(text)).toEqual([
      { event: members.type, data: { ...members, output_format: 'png', b64_json: picture.toString('base64') } },
      { event: members.type, data: { ...members, output_format: 'webp', b64_json: (await webp()).toString('base64') } },
    ]);
  });

  it('have what was asked for where the provider does not tell what it made', async () => {
    const parameters = { size: '1024x1024', quality: 'high', background: 'opaque', outputFormat: 'webp' };
    const call = makeCall({ operation: 'edition', parameters });
    const { text } = await renderedEvents(answerOf(bytes(Buffer.from('?'))), {}, { call });
    expect(eventsOf(text)).toEqual([
      {
        event: 'image_edit.completed',
        data: {
          type: 'image_edit.completed',
          b64_json: 'Pw==',
          created_at: 1_763_123_456,
          size: '1024x1024',
          quality: 'high',
          background: 'opaque',
          output_format: 'webp',
        },
      },
    ]);
  });

  it('have defaults where nobody says anything, and no null', async () => {
    const { text } = await renderedEvents(answerOf(bytes(Buffer.from('?'))));
    expect(eventsOf(text)).toMatchObject([
      { data: { size: 'auto', quality: 'auto', background: 'auto', output_format: 'png' } },
    ]);
    expect(text).not.toContain('null');
  });

  it('keep several MB in one line', async () => {
    const large = randomPng(3_000_000);
    const { text } = await renderedEvents(answerOf(base64(Buffer.from(large.toString('base64')))));
    const [event] = eventsOf(text);
    expect(event?.data['b64_json'] === large.toString('base64')).toBe(true);
  });

  it('tell which of the unfinished ones they are', async () => {
    const { text } = await renderedEvents(streamOf(partial(0), partial(1), completed()));
    expect(eventsOf(text).map(({ event, data }) => [event, data['partial_image_index']])).toEqual([
      ['image_generation.partial_image', 0],
      ['image_generation.partial_image', 1],
      ['image_generation.completed', undefined],
    ]);
  });

  it('go out as the provider wrote them where they may', async () => {
    const data = `{"type":"image_generation.completed","b64_json":"aGk=","new":[1,null]}`;
    const wire = { type: 'image_generation.completed', text: textOf([Buffer.from(data)]) };
    const { text } = await renderedEvents(streamOf(completed({ wire })));
    expect(text).toBe(`event: image_generation.completed\ndata: ${data}\n\n`);
    const call = makeCall({ operation: 'edition' });
    const other = await renderedEvents(streamOf(completed({ wire })), {}, { call });
    expect(eventsOf(other.text)).toMatchObject([{ event: 'image_edit.completed', data: { output_format: 'png' } }]);
  });

  it('are links for who asks for links; those to unfinished ones are good for an hour', async () => {
    const blobs = fakeBlobs();
    const { text } = await renderedEvents(streamOf(partial(), completed()), { form: 'url' }, { host: hostIn(blobs) });
    expect(eventsOf(text).map(({ data }) => [data['url'], data['b64_json']])).toEqual([
      [expect.stringMatching(/^https:\/\/pictures\.example\/files\/./), undefined],
      [expect.stringMatching(/^https:\/\/pictures\.example\/files\/./), undefined],
    ]);
    expect(blobs.kept.map(({ expiresAtMs }) => expiresAtMs)).toEqual([3_600_000, undefined]);
  });

  it('take a link that should be bytes by now for a bug of ours', async () => {
    const answer = answerOf({ kind: 'link', url: 'https://provider.example/a', trust: 'response' });
    await expect(renderedEvents(answer)).rejects.toMatchObject({ code: 'internal_error' });
  });

  it('say in a comment what is missing', async () => {
    const missing = { kind: 'missing', missing: 2, codes: ['upstream_error', 'odd "\n one'] } as const;
    const { text } = await renderedEvents(streamOf(completed(), missing));
    expect(text.endsWith('\n\n: missing=2, codes="upstream_error odd____one"\n\n')).toBe(true);
  });

  it('are asked for one by one, as they are taken', async () => {
    let asked = 0;
    async function* source(): AsyncGenerator<ImageEvent> {
      for (;;) {
        asked += 1;
        yield partial(asked);
      }
    }
    const { call, nowSeconds, host } = contextOf();
    const { body } = renderEvents(source(), inEvents, {
      call,
      nowSeconds,
      host,
      clock: testClock(),
      pingEveryMs: 15_000,
      hasBegun: false,
      signal: new AbortController().signal,
    });
    if (body instanceof Uint8Array) throw new Error('this answer is to be streamed');
    const chunks = body[Symbol.asyncIterator]();
    for (let read = ''; !read.endsWith('\n\n');) {
      const { value } = await chunks.next();
      read += Buffer.from(value ?? []).toString();
      expect(asked).toBe(1);
    }
    await chunks.next();
    expect(asked).toBe(2);
  });
});

describe('a stream that fails', () => {
  const broken = new GatewayError('upstream_error', 'The provider failed.', { param: 'n' });

  it('before anything of it has gone out can still be an ordinary error', async () => {
    await expect(renderedEvents(streamOf(broken))).rejects.toBe(broken);
  });

  it('ends with the error in OpenAI’s form, and tells it', async () => {
    const { text, failure } = await renderedEvents(streamOf(partial(), broken));
    expect(failure).toBe(broken);
    expect(eventsOf(text).at(-1)).toEqual({
      event: 'error',
      data: {
        type: 'error',
        error: { message: 'The provider failed.', type: 'upstream_error', param: 'n', code: 'upstream_error' },
      },
    });
  });

  it('does so as well where only pings have gone out', async () => {
    const { text, failure } = await renderedEvents(streamOf(broken), {}, { hasBegun: true });
    expect([eventsOf(text).length, failure]).toEqual([1, broken]);
  });

  it('tells why the exchange was given up, whatever that looks like from here', async () => {
    const late = new GatewayError('upstream_timeout', 'The request took too long.');
    const signal = AbortSignal.abort(late);
    const { text } = await renderedEvents(streamOf(partial(), new Error('aborted')), {}, { signal });
    expect(eventsOf(text).at(-1)).toMatchObject({ data: { error: { code: 'upstream_timeout' } } });
  });

  it('tells nobody when the caller has left', async () => {
    const signal = AbortSignal.abort(new GatewayError('client_closed_request', 'The client went away.'));
    await expect(renderedEvents(streamOf(partial(), broken), {}, { signal })).rejects.toBe(broken);
  });

  it('breaks off in the midst of a picture', async () => {
    const large = randomPng(300_000);
    const failing = {
      byteLength: large.byteLength,
      async *read(): AsyncGenerator<Uint8Array> {
        yield large.subarray(0, 200_000);
        throw broken;
      },
      close: () => Promise.resolve(),
    };
    const seen: Uint8Array[] = [];
    const event = completed({ image: { payload: { kind: 'file', file: failing } } });
    const see = (chunk: Uint8Array): void => void seen.push(chunk);
    // Its head is read once before anything is sent.
    await expect(renderedEvents(streamOf(partial(), event), {}, { see })).rejects.toBe(broken);
    expect(Buffer.concat(seen).toString()).not.toContain('event: error');
  });
});

describe('a ping', () => {
  it('goes out each time that no picture has come for so long, and never within one', async () => {
    const clock = testClock();
    const gate = Promise.withResolvers<void>();
    async function* source(): AsyncGenerator<ImageEvent> {
      yield partial();
      await gate.promise;
      yield completed();
    }
    const seen: string[] = [];
    const all = renderedEvents(
      source(),
      {},
      {
        clock,
        pingEveryMs: 10,
        see(chunk) {
          seen.push(Buffer.from(chunk).toString());
        },
      },
    );
    for (const pings of [1, 2]) {
      while (seen.filter((each) => each === ': ping\n\n').length < pings) {
        clock.ring();
        await turn();
      }
    }
    gate.resolve();
    const { text } = await all;
    expect(text.split('\n\n').filter((block) => block === ': ping').length).toBeGreaterThanOrEqual(2);
    const events = text.split('\n\n').filter((block) => block.startsWith('event: '));
    for (const event of events) expect(event).toMatch(/^event: \S+\ndata: \{[^\n]*\}$/);
    expect(events).toHaveLength(2);
  });
});
