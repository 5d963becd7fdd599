import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { renderImages } from '../../../src/http/images-response.ts';
import type { ImagePayload } from '../../../src/images/payload.ts';
import type { ImageAnswer } from '../../../src/pipeline/result.ts';
import type { CountedBudget } from '../../../src/pipeline/exchange.ts';
import { makeAttempt } from '../../fixtures/exchange.ts';
import { jpeg, png, randomPng, sha256, webp } from '../../fixtures/pictures.ts';
import { answerOf, base64, contextOf, fakeBlobs, hostIn, json, rendered, spooled, textOf } from './rendering.ts';
import { recordingLog, type RecordingLog } from '../runtime/recording-log.ts';

const picture = png();
const link = (url: string): ImagePayload => ({ kind: 'link', url, trust: 'response' });
const bytes = (data: Uint8Array): ImagePayload => ({ kind: 'bytes', bytes: data });

describe('an images response as JSON', () => {
  it('has the pictures as base64, with everything that is known of them', async () => {
    const answer: ImageAnswer = {
      created: 1_763_000_000,
      images: [
        { payload: bytes(picture), revisedPrompt: 'a "quoted"\nfox \u{1f98a}' },
        { payload: bytes(await webp()) },
      ],
      usage: { inputTokens: 5, outputTokens: 7, totalTokens: 12, outputImageTokens: 7 },
      effective: { size: '8x8', quality: 'low', background: 'opaque', outputFormat: 'jpeg' },
    };
    const { status, headers, text } = await rendered(answer);
    expect([status, headers]).toEqual([200, { 'content-type': 'application/json' }]);
    expect(JSON.parse(text)).toEqual({
      created: 1_763_000_000,
      background: 'opaque',
      // By the magic number, whatever the provider says.
      output_format: 'png',
      quality: 'low',
      size: '8x8',
      data: [
        { b64_json: picture.toString('base64'), revised_prompt: 'a "quoted"\nfox \u{1f98a}' },
        { b64_json: (await webp()).toString('base64') },
      ],
      usage: {
        input_tokens: 5,
        output_tokens: 7,
        total_tokens: 12,
        input_tokens_details: { text_tokens: 0, image_tokens: 0 },
        output_tokens_details: { text_tokens: 0, image_tokens: 7 },
      },
    });
  });

  it('has no member for what is not known, and no null', async () => {
    const { text } = await rendered(answerOf(link('https://provider.example/a')));
    expect(JSON.parse(text)).toEqual({ created: 1_763_123_456, data: [{ url: 'https://provider.example/a' }] });
    expect(text).not.toContain('null');
  });

  it('has the gateway’s time where the provider tells none, in seconds', async () => {
    expect(JSON.parse((await rendered(answerOf(bytes(picture)))).text)).toMatchObject({ created: 1_763_123_456 });
  });

  it.each([
    ['png', () => Promise.resolve(picture)],
    ['jpeg', jpeg],
    ['webp', webp],
  ])('tells the format by the bytes: %s', async (format, make) => {
    expect(JSON.parse((await rendered(answerOf(bytes(await make())))).text)).toMatchObject({ output_format: format });
  });

  it('tells the format that the provider names where the bytes tell none', async () => {
    const answer = { ...answerOf(bytes(Buffer.from('not a picture'))), effective: { outputFormat: 'avif' } };
    expect(JSON.parse((await rendered(answer)).text)).toMatchObject({ output_format: 'avif' });
  });

  it('gives each picture as it is, when the caller did not say', async () => {
    const answer = {
      ...answerOf(bytes(picture)),
      images: [{ payload: link('https://a.example/?a="b"') }, { payload: bytes(picture) }],
    };
    expect(JSON.parse((await rendered(answer)).text)).toMatchObject({
      data: [{ url: 'https://a.example/?a="b"' }, { b64_json: picture.toString('base64') }],
    });
  });

  it('takes a link that should be bytes by now for a bug of ours', async () => {
    const answer = answerOf(link('https://provider.example/a'));
    await expect(rendered(answer, { form: 'b64_json' })).rejects.toMatchObject({ code: 'internal_error' });
  });

  it('blames the provider for base64 that is none, before anything is sent', async () => {
    for (const text of ['iVBORw0KGgo!', `${picture.toString('base64').slice(0, -4)}====`, 'A'.repeat(100_001)]) {
      for (const form of ['b64_json', 'url'] as const) {
        const broken = rendered(answerOf(base64(Buffer.from(text))), { form });
        await expect(broken).rejects.toMatchObject({ code: 'upstream_invalid_response' });
      }
    }
  });

  it('has extras only when asked for', async () => {
    const context = {
      attempts: [
        makeAttempt({ status: 503, images: 0 }),
        makeAttempt({ entity: 'second', provider: 'sandbox', model: 'm', status: undefined }),
      ],
      elapsedMs: 1234.6,
    };
    const plain = JSON.parse((await rendered(answerOf(bytes(picture)), {}, context)).text);
    expect(Object.keys(plain).toSorted()).toEqual(['created', 'data', 'output_format']);
    const told = JSON.parse(
      (await rendered(answerOf(bytes(picture)), { extras: ['latency', 'routing'] }, context)).text,
    );
    expect(told).toMatchObject({ latency: 1235 });
    expect(told.extra).toEqual({
      routing: {
        attempts: [
          { provider: 'openai', entity: 'main', model: 'gpt-image-2', region: null, status: 503 },
          { provider: 'sandbox', entity: 'second', model: 'm', region: null, status: null },
        ],
      },
    });
  });
});

describe('the budgets of an answer', () => {
  const budget: CountedBudget = {
    id: 'growth-month',
    per: 'team',
    value: 'growth',
    unit: 'images',
    limit: 10,
    windowEndMs: Date.parse('2026-12-01'),
    used: () => Promise.resolve(12),
  };
  const told = async (budgets: readonly CountedBudget[], log?: RecordingLog): Promise<unknown> => {
    const context = { budgets, ...(log === undefined ? {} : { log }) };
    return JSON.parse((await rendered(answerOf(bytes(picture)), { extras: ['budget'] }, context)).text).budget;
  };

  it('are told with what is used and what remains', async () => {
    const dollars = { ...budget, unit: 'usd', limit: 2_000_000_000, used: () => Promise.resolve(1) };
    const forAll = { ...dollars, id: 'all', per: undefined, value: undefined, windowEndMs: Infinity };
    expect(await told([budget, forAll])).toEqual([
      {
        id: 'growth-month',
        per: 'team',
        value: 'growth',
        unit: 'images',
        used: 12,
        limit: 10,
        remaining: 0,
        window_end: '2026-12-01T00:00:00.000Z',
      },
      { id: 'all', unit: 'usd', used: '0.000000001', limit: '2', remaining: '1.999999999', window_end: null },
    ]);
  });

  it('are those alone that count what was tried', async () => {
    expect(await told([{ ...budget, used: () => Promise.resolve(undefined) }])).toEqual([]);
  });

  it('are left out when they cannot be told, and the pictures go out', async () => {
    const log = recordingLog();
    expect(await told([{ ...budget, used: () => Promise.reject(new Error('no')) }], log)).toBeUndefined();
    expect(log.lines).toMatchObject([{ level: 'error', message: 'an answer goes out without its budgets' }]);
  });
});

describe('the cost of an answer', () => {
  const told = async (...costs: readonly (number | undefined)[]): Promise<unknown> => {
    const attempts = costs.map((costNanoUsd) => makeAttempt({ costNanoUsd }));
    const { text } = await rendered(answerOf(bytes(picture)), { extras: ['cost'] }, { attempts });
    return JSON.parse(text).cost;
  };

  it('is what the providers said, in dollars, when all of them said it [I21]', async () => {
    expect(await told(20_000_000, 1)).toBe(0.020000001);
    expect(await told(0)).toBe(0);
    expect(await told(20_000_000, undefined)).toBeUndefined();
  });
});

describe('the length of an answer', () => {
  it('is exact, whatever the pictures are', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(payload, { minLength: 1, maxLength: 4 }), async (payloads) => {
        const { length, body } = await rendered(answerOf(...payloads));
        expect(length).toBe(body.byteLength);
      }),
    );
  });

  it('is exact for pictures in files', async () => {
    const file = { kind: 'file', file: spooled(randomPng(300_001)) } as const;
    const { length, body } = await rendered(answerOf(file, file));
    expect(length).toBe(body.byteLength);
  });
});

describe('large pictures', () => {
  it('go out in the very slices in which they came, when they are plain base64', async () => {
    const text = Buffer.from(randomPng(5_000_001).toString('base64'));
    const slices = [0, 65_536, 65_537, 4_000_000].map((from, index, starts) => text.subarray(from, starts[index + 1]));
    const { body } = await renderImages(answerOf({ kind: 'base64', text: textOf(slices) }), json, contextOf());
    const chunks: Uint8Array[] = [];
    if (body instanceof Uint8Array) throw new Error('this answer is to be streamed');
    for await (const chunk of body) chunks.push(chunk);
    expect(slices.map((slice) => chunks.includes(slice))).toEqual([true, true, true, true]);
    expect(body.length).toBe(Buffer.concat(chunks).byteLength);
  });

  it('come out of escaped and unpadded base64 unharmed', async () => {
    const original = randomPng(1_000_000);
    const wild = original.toString('base64').replaceAll('/', '\\/').replace(/=+$/, '');
    const text = { ...textOf([Buffer.from(wild.slice(0, 500_001)), Buffer.from(wild.slice(500_001))]), escaped: true };
    const document = JSON.parse((await rendered(answerOf({ kind: 'base64', text }))).text);
    expect(sha256(Buffer.from(document.data[0].b64_json, 'base64'))).toBe(sha256(original));
    expect(document.output_format).toBe('png');
  });
});

describe('pictures as links', () => {
  it('are hosted when the provider gave bytes, and left alone when it gave a link', async () => {
    const store = fakeBlobs();
    const answer = answerOf(
      bytes(picture),
      link('https://provider.example/b.png'),
      base64(Buffer.from((await jpeg()).toString('base64'))),
    );
    const { text } = await rendered(answer, { form: 'url' }, { host: hostIn(store) });
    expect(JSON.parse(text)).toEqual({
      created: 1_763_123_456,
      output_format: 'png',
      data: [
        { url: 'https://pictures.example/files/blob-1' },
        { url: 'https://provider.example/b.png' },
        { url: 'https://pictures.example/files/blob-2' },
      ],
    });
    expect(store.kept).toEqual([
      { mediaType: 'image/png', bytes: picture },
      { mediaType: 'image/jpeg', bytes: await jpeg() },
    ]);
  });

  it('of an unknown kind are hosted as bytes', async () => {
    const store = fakeBlobs();
    await rendered(answerOf(bytes(Buffer.from('?'))), { form: 'url' }, { host: hostIn(store) });
    expect(store.kept.map(({ mediaType }) => mediaType)).toEqual(['application/octet-stream']);
  });

  it('are refused by name where no route serves them', async () => {
    const refused = rendered(answerOf(bytes(picture)), { form: 'url' }, { host: undefined });
    await expect(refused).rejects.toMatchObject({ code: 'unsupported_parameter', param: 'response_format' });
  });

  it('fail with the store’s own error', async () => {
    const full = new Error('disk full');
    const blobs = { ...fakeBlobs(), put: () => Promise.reject(full) };
    await expect(rendered(answerOf(bytes(picture)), { form: 'url' }, { host: hostIn(blobs) })).rejects.toBe(full);
  });
});

const payload: fc.Arbitrary<ImagePayload> = fc
  .record({
    data: fc.uint8Array({ maxLength: 200 }),
    kind: fc.constantFrom('bytes', 'file', 'plain', 'unpadded', 'url'),
  })
  .map(({ data, kind }) => {
    if (kind === 'bytes') return bytes(data);
    if (kind === 'file') return { kind: 'file', file: spooled(data) };
    const text = Buffer.from(data).toString(kind === 'url' ? 'base64url' : 'base64');
    return base64(Buffer.from(kind === 'unpadded' ? text.replace(/=+$/, '') : text));
  });
