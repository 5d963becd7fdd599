import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesSource, type ByteSource } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import { collectPayload } from '../../../src/images/convert-payload.ts';
import type { InputImage } from '../../../src/pipeline/call.ts';
import type { ImageAnswer } from '../../../src/pipeline/result.ts';
import { PictureText, type WireBody } from '../../../src/pipeline/upstream.ts';
import { createOpenAiDialect, imagesPath, ratioInPixels } from '../../../src/providers/openai-dialect.ts';
import { Secret } from '../../../src/secret.ts';
import { png, randomPng } from '../../fixtures/pictures.ts';
import { makeTargetCall, uploaded } from '../../fixtures/providers/calls.ts';
import { cut, cuts, stream } from '../body/pieces.ts';

const dialect = createOpenAiDialect({
  url: (operation, model) => `https://provider.test/${encodeURIComponent(model)}${imagesPath(operation)}`,
  headers: { 'x-own': 'yes' },
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
      expect([request.method, request.url]).toEqual(['POST', 'https://provider.test/gpt-image-2/images/generations']);
    });

    it('has nothing that the caller did not say', () => {
      expect(bodyOf({ parameters: { n: undefined, size: undefined }, partialImages: 2 })).toEqual({
        kind: 'json',
        value: { model: 'gpt-image-2', prompt: 'a lighthouse' },
      });
    });

    it('asks for events when the call does, and for unfinished pictures', () => {
      const value = { model: 'gpt-image-2', prompt: 'a lighthouse', stream: true };
      expect(bodyOf({ stream: true })).toEqual({ kind: 'json', value });
      expect(bodyOf({ stream: true, partialImages: 2 })).toEqual({
        kind: 'json',
        value: { ...value, partial_images: 2 },
      });
      expect(dialect.encode(makeTargetCall({ stream: true })).request.headers['accept']).toMatch(/^text\/event-stream/);
    });

    it('has the vendor’s headers, and no credential', () => {
      const { headers } = dialect.encode(makeTargetCall()).request;
      expect(headers).toEqual({ 'x-own': 'yes', accept: 'application/json' });
      expect(dialect.authorise(new Secret('sk-1'))).toEqual({ authorization: 'Bearer sk-1' });
      expect(dialect.authorise(undefined)).toEqual({});
    });

    it('is what the vendor makes of it, at last', () => {
      const vendor = createOpenAiDialect({
        url: () => 'https://provider.test',
        authorise: () => ({ 'x-key': 'k' }),
        fit: ({ size, responseFormat }, { model }) => ({ fitted: { size: `${size}@${model}`, responseFormat } }),
        finish: ({ size, ...members }, { parameters }) => ({ ...members, measure: size, count: parameters.n }),
      });
      const call = makeTargetCall({
        parameters: { n: 3, size: '8x8', quality: 'low' },
        responseFormat: 'b64_ephemeral',
      });
      expect(vendor.encode(call)).toMatchObject({
        request: {
          body: {
            value: {
              model: 'gpt-image-2',
              prompt: 'a lighthouse',
              measure: '8x8@gpt-image-2',
              count: 3,
              response_format: 'b64_json',
            },
          },
        },
        dropped: [],
      });
      expect(vendor.authorise(undefined)).toEqual({ 'x-key': 'k' });
    });

    it('edits by JSON with `moderation`, which a form has no place for, as far as the pictures are not too large', () => {
      const sent = (image: InputImage): readonly [string, readonly string[]] => {
        const parameters = { moderation: 'low' };
        const { request, dropped } = dialect.encode(
          makeTargetCall({ operation: 'edition', images: [image], parameters }),
        );
        return [request.body.kind, dropped];
      };
      const ofLength = (byteLength: number): InputImage => uploaded(new Uint8Array(byteLength), 'image/png');
      const text = (byteLength: number): InputImage => ({
        kind: 'image',
        payload: { kind: 'base64', text: { slices: [], byteLength, escaped: false } },
        mediaType: 'image/jpeg',
      });
      for (const image of [ofLength(15_728_622), text(20_971_497)]) {
        expect(sent(image)).toEqual(['json', []]);
      }
      for (const image of [ofLength(15_728_623), text(20_971_498)]) {
        expect(sent(image)).toEqual(['multipart', ['moderation']]);
      }
    });

    it.each([
      [undefined, undefined],
      ['auto', 'auto'],
      ['1000x999', '1000x999'],
      ['1:1', '1024x1024'],
      ['16:9', '1360x768'],
      ['9:16', '768x1360'],
      ['3:1', '1776x592'],
    ])('has %s for pixels as %s', (size, expected) => {
      expect(ratioInPixels(size)).toBe(expected);
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
      ['a file that lies there', [{ kind: 'provider-file', id: 'file-1' }] as const, undefined],
      ['a mask that lies there', [uploaded(picture, 'image/png')], { kind: 'provider-file', id: 'file-1' } as const],
    ])('edits by JSON with %s, which a form cannot carry', (_, images, mask) => {
      expect(bodyOf({ operation: 'edition', images, mask }).kind).toBe('json');
    });

    it('edits by JSON wherever the vendor wants it', () => {
      const vendor = createOpenAiDialect({ url: () => 'https://provider.test', jsonEdits: true });
      const call = makeTargetCall({ operation: 'edition', images: [uploaded(picture, 'image/png')] });
      const { body } = vendor.encode(call).request;
      const data = new PictureText({ kind: 'bytes', bytes: picture }, 'data:image/png;base64,');
      expect(body).toMatchObject({ kind: 'json', value: { images: [{ image_url: data }] } });
    });

    it('carries an uploaded picture in JSON as a data URI, never as text of ours', () => {
      const images: readonly InputImage[] = [{ kind: 'provider-file', id: 'file-1' }, uploaded(picture, 'image/webp')];
      const body = bodyOf({ operation: 'edition', images, mask: uploaded(picture, 'image/png') });
      const value = body.kind === 'json' ? body.value : undefined;
      const text = (prefix: string): PictureText => new PictureText({ kind: 'bytes', bytes: picture }, prefix);
      expect(value).toMatchObject({
        images: [{ file_id: 'file-1' }, { image_url: text('data:image/webp;base64,') }],
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

    it('fails, or tells more, as the vendor says', async () => {
      const vendor = createOpenAiDialect({
        url: () => 'https://provider.test',
        failure: ({ sorry }) => (sorry === undefined ? undefined : new GatewayError('rate_limit_exceeded', 'Later.')),
        told: ({ price }) => ({ costNanoUsd: Number(price) }),
      });
      const read = (document: object): Promise<ImageAnswer> =>
        vendor.decode({ status: 200, headers: {}, body: answer(document) }, makeTargetCall());
      expect(await read({ data: [{ b64_json: base64 }], price: 5 })).toMatchObject({ costNanoUsd: 5 });
      await expect(read({ sorry: true })).rejects.toMatchObject({ code: 'rate_limit_exceeded' });
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
          publicCode: 'content_policy_violation',
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
