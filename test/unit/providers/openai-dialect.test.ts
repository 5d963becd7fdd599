import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesSource, type ByteSource } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import { collectPayload } from '../../../src/images/convert-payload.ts';
import type { ImageAnswer } from '../../../src/pipeline/result.ts';
import { PictureText, type WireBody } from '../../../src/pipeline/upstream.ts';
import { createOpenAiDialect } from '../../../src/providers/openai-dialect.ts';
import { Secret } from '../../../src/secret.ts';
import { png, randomPng } from '../../fixtures/pictures.ts';
import { linked, makeTargetCall, uploaded } from '../../fixtures/providers/calls.ts';
import { cut, cuts, stream } from '../body/pieces.ts';

const dialect = createOpenAiDialect({
  baseUrl: 'https://provider.test/v1',
  headers: { 'x-own': 'yes' },
  fit: (parameters) => ({ fitted: parameters, dropped: [] }),
});
const picture = png();
const base64 = picture.toString('base64');

const bodyOf = (call: Parameters<typeof makeTargetCall>[0]): WireBody =>
  dialect.encode(makeTargetCall(call)).request.body;

describe('the OpenAI dialect', () => {
  describe('in a request', () => {
    it('has the model and the prompt of the call, whatever else it was sent under these names', () => {
      const unknown = { model: 'other', prompt: 'other', url: 'other', method: 'GET' };
      expect(bodyOf({ unknown })).toEqual({
        kind: 'json',
        value: { model: 'gpt-image-2', prompt: 'a lighthouse', url: 'other', method: 'GET' },
      });
      const { request } = dialect.encode(makeTargetCall({ unknown }));
      expect([request.method, request.url]).toEqual(['POST', 'https://provider.test/v1/images/generations']);
    });

    it('has nothing that the caller did not say', () => {
      expect(bodyOf({ parameters: { n: undefined, size: undefined }, stream: true, partialImages: 2 })).toEqual({
        kind: 'json',
        value: { model: 'gpt-image-2', prompt: 'a lighthouse' },
      });
    });

    it('has the vendor’s headers, and no credential', () => {
      const { headers } = dialect.encode(makeTargetCall()).request;
      expect(headers).toEqual({ 'x-own': 'yes', accept: 'application/json' });
      expect(dialect.authorise(new Secret('sk-1'))).toEqual({ authorization: 'Bearer sk-1' });
      expect(dialect.authorise(undefined)).toEqual({});
    });

    it.each([
      ['image/png', 'image-0.png'],
      ['image/jpeg', 'image-0.jpg'],
      ['image/webp', 'image-0.webp'],
    ])('names a picture by its true type: %s', (mediaType, fileName) => {
      const body = bodyOf({ operation: 'edition', images: [uploaded(picture, mediaType)] });
      expect(body.kind === 'multipart' ? body.parts.at(-1) : body).toEqual({
        kind: 'file',
        name: 'image',
        fileName,
        mediaType,
        payload: { kind: 'bytes', bytes: picture },
      });
    });

    it.each([1, 2, 16])('sends %i pictures under the name that OpenAI takes for so many', (count) => {
      const images = Array.from({ length: count }, () => uploaded(picture, 'image/png'));
      const body = bodyOf({ operation: 'edition', images });
      const names =
        body.kind === 'multipart' ? body.parts.flatMap((part) => (part.kind === 'file' ? part.name : [])) : [];
      expect(names).toEqual(images.map(() => (count === 1 ? 'image' : 'image[]')));
    });

    it.each([
      ['a link', [linked('https://a.test/')], undefined],
      ['a file that lies there', [{ kind: 'provider-file', id: 'file-1' }] as const, undefined],
      ['a linked mask', [uploaded(picture, 'image/png')], linked('https://a.test/')],
      ['a mask that lies there', [uploaded(picture, 'image/png')], { kind: 'provider-file', id: 'file-1' } as const],
    ])('edits by JSON with %s, which a form cannot carry', (_, images, mask) => {
      expect(bodyOf({ operation: 'edition', images, mask }).kind).toBe('json');
    });

    it('carries an uploaded picture in JSON as a data URI, never as text of ours', () => {
      const images = [linked('https://a.test/'), uploaded(picture, 'image/webp')];
      const body = bodyOf({ operation: 'edition', images, mask: uploaded(picture, 'image/png') });
      const value = body.kind === 'json' ? body.value : undefined;
      const text = (prefix: string): PictureText => new PictureText({ kind: 'bytes', bytes: picture }, prefix);
      expect(value).toMatchObject({
        images: [{ image_url: 'https://a.test/' }, { image_url: text('data:image/webp;base64,') }],
        mask: { image_url: text('data:image/png;base64,') },
      });
    });
  });

  describe('in an answer', () => {
    it('finds pictures and words, long or short, in whatever pieces they come', async () => {
      const large = randomPng(20_000);
      const revised = 'A tall, white lighthouse — at night. '.repeat(300);
      const data = [{ b64_json: base64 }, { b64_json: large.toString('base64'), revised_prompt: revised }];
      const document = Buffer.from(JSON.stringify({ data, created: 5 }));
      await fc.assert(
        fc.asyncProperty(cuts, async (positions) => {
          const { images, created } = await decode({ ...bytesSource(document), ...pieces(cut(document, positions)) });
          const found = images.map(async ({ payload }) => Buffer.from(await collectPayload(payload, 1_000_000)));
          expect(await Promise.all(found)).toEqual([picture, large]);
          expect(images.map(({ revisedPrompt }) => revisedPrompt)).toEqual([undefined, revised]);
          expect(created).toBe(5);
        }),
        { numRuns: 30 },
      );
    });

    it('keeps a large picture as the bytes in which it came', async () => {
      const text = randomPng(20_000).toString('base64');
      const { images } = await decode(answer({ data: [{ b64_json: text }] }));
      const { payload } = images[0] ?? {};
      if (payload?.kind !== 'base64') throw new Error('the picture changed its form');
      expect(Buffer.concat(payload.text.slices).equals(Buffer.from(text))).toBe(true);
    });

    it('prefers the picture to the link, and takes a picture in the link for one', async () => {
      const link = 'https://pictures.test/1.png';
      const data = [
        { b64_json: base64, url: link },
        { b64_json: '', url: link },
        { url: `data:image/png;base64,${base64}` },
      ];
      const { images } = await decode(answer({ data }));
      expect(images.map(({ payload }) => payload.kind)).toEqual(['base64', 'link', 'base64']);
      expect(images[1]?.payload).toEqual({ kind: 'link', url: link, trust: 'response' });
    });

    it.each([
      [{ created: '1713833628' }, { created: undefined }],
      [{ created: -1 }, { created: undefined }],
      [{ created: 17.5 }, { created: undefined }],
      [{ size: '', quality: 5, background: null }, { effective: {} }],
      [
        { size: '8x8', quality: 'low', output_format: 'webp' },
        { effective: { size: '8x8', quality: 'low', outputFormat: 'webp' } },
      ],
      [{ usage: null }, { usage: undefined }],
      [{ usage: 'much' }, { usage: undefined }],
      [{ usage: { input_tokens: -5, output_tokens: 1 } }, { usage: undefined }],
      [{ usage: { input_tokens: 1e300, output_tokens: 1 } }, { usage: undefined }],
      [
        { usage: { input_tokens: 2, output_tokens: 3 } },
        { usage: { inputTokens: 2, outputTokens: 3, totalTokens: 5 } },
      ],
    ])('reads %j as far as it makes sense', async (members, expected) => {
      const read = await decode(answer({ data: [{ b64_json: base64 }], ...members }));
      expect(read).toEqual({ ...read, ...expected });
    });

    it.each([
      ['no JSON', Buffer.from('<html>')],
      ['a cut document', Buffer.from(`{"data":[{"b64_json":"${base64}"`)],
      ['no data', Buffer.from('{"created":1}')],
      ['an error that came as a 200', Buffer.from('{"error":{"message":"no"}}')],
      ['a picture that is none', Buffer.from(`{"data":[{"b64_json":"${base64}"},{"text":"sorry"}]}`)],
      [
        'more words than pictures',
        Buffer.from(JSON.stringify({ data: Array.from({ length: 200_000 }, () => ({ url: 'a' })) })),
      ],
    ])('does not take %s for one', async (_, bytes) => {
      await expect(decode(bytesSource(bytes))).rejects.toMatchObject({
        code: 'upstream_invalid_response',
        status: 502,
      });
    });
  });

  describe('in a refusal', () => {
    it.each([
      [
        { error: { message: 'No.', param: 'size', code: 'bad_size' } },
        { message: 'No.', param: 'size', publicCode: 'bad_size' },
      ],
      [
        { error: { message: 'No.', param: null, code: null } },
        { message: 'No.', param: undefined, publicCode: 'invalid_value' },
      ],
      [{ code: 'bad', error: 'No.' }, { message: 'No.' }],
      [
        { message: 'No.', code: 'bad' },
        { message: 'No.', publicCode: 'bad' },
      ],
      [{ detail: 'No.' }, { message: 'No.' }],
      [
        { error: { code: 400, status: 'INVALID_ARGUMENT', message: 'No.' } },
        { message: 'No.', publicCode: 'invalid_value' },
      ],
      [{ error: {} }, { message: 'The provider answered with status 400.' }],
      [['No.'], { message: 'The provider answered with status 400.' }],
      [null, { message: 'The provider answered with status 400.' }],
    ])('finds the words in %j', async (document, expected) => {
      const error = await dialect.fault({ status: 400, headers: {}, body: answer(document) });
      expect(error).toMatchObject({ code: 'invalid_value', status: 400, ...expected });
    });

    it.each(['moderation_blocked', 'content_policy_violation', 'content_filter'])(
      'knows a refusal of the content: %s',
      async (code) => {
        const body = answer({ error: { message: 'Not this.', code } });
        const error = await dialect.fault({ status: 400, headers: {}, body });
        expect(error).toMatchObject({
          code: 'content_policy_violation',
          publicCode: code,
          message: 'Not this.',
          curable: false,
        });
      },
    );

    it.each([
      ['HTML', bytesSource(Buffer.from('<html>nginx</html>'))],
      ['nothing', bytesSource(new Uint8Array())],
      ['a document of 100 KiB', answer({ error: { message: 'x'.repeat(100 * 1024) } })],
      ['a body that breaks off', pieces([Buffer.from('{"error":')], new GatewayError('upstream_error', 'broke'))],
    ])('goes by the status where the body is %s', async (_, body) => {
      const error = await dialect.fault({ status: 422, headers: {}, body });
      expect(error).toMatchObject({ code: 'invalid_value', message: 'The provider answered with status 422.' });
    });
  });
});

function decode(body: ByteSource): Promise<ImageAnswer> {
  return dialect.decode({ status: 200, headers: {}, body }, makeTargetCall());
}

function answer(document: unknown): ByteSource {
  return bytesSource(Buffer.from(JSON.stringify(document)));
}

/** A body that comes in these pieces, and then fails. */
function pieces(given: readonly Uint8Array[], failure?: Error): ByteSource {
  return {
    length: undefined,
    cancel() {},
    async *[Symbol.asyncIterator]() {
      yield* stream(given);
      if (failure !== undefined) throw failure;
    },
  };
}
