import { describe, expect, it } from 'vitest';
import type { BytesPayload, ImagePayload } from '../../../src/images/payload.ts';
import type { GatewayResponse, ImagesResponse } from '../../../src/pipeline/response.ts';
import { completeResult } from '../../../src/pipeline/result.ts';
import type { FetchPictureOptions } from '../../../src/pipeline/stage.ts';
import { decode } from '../../../src/transforms/decode.ts';
import { filledBy, makeEntity, makeExchange, makeRoute, makeStageEnv, makeTarget } from '../../fixtures/exchange.ts';
import { jpeg, png, randomPng, webp } from '../../fixtures/pictures.ts';
import { inPieces } from '../../fixtures/replies.ts';
import { gather } from '../body/pieces.ts';

const images: ImagesResponse = { kind: 'images', form: undefined, framing: 'json', passThrough: true, extras: [] };
const bytes = (picture: Uint8Array): BytesPayload => ({ kind: 'bytes', bytes: picture });
const base64 = (picture: Buffer): ImagePayload => {
  const text = Buffer.from(picture.toString('base64'));
  return { kind: 'base64', text: { slices: inPieces(text, 1000), byteLength: text.byteLength, escaped: false } };
};
const link: ImagePayload = { kind: 'link', url: 'https://pictures.test/1.png', trust: 'response' };

interface Given {
  readonly decode?: boolean;
  readonly accept?: string;
  readonly response?: GatewayResponse;
  readonly env?: Parameters<typeof makeStageEnv>[0];
}

async function decoded(payloads: readonly ImagePayload[], given: Given = {}): Promise<GatewayResponse> {
  const result = completeResult({
    created: 1,
    images: payloads.map((payload) => ({ payload })),
    usage: undefined,
    effective: { outputFormat: 'png' },
  });
  const entity = makeEntity();
  const target = makeTarget({ entity: { ...entity, provider: { ...entity.provider, origin: 'http://10.0.0.1' } } });
  const exchange = makeExchange(
    { target, result, response: given.response ?? images },
    {
      route: makeRoute({ decode: given.decode ?? false }),
      request: { headers: given.accept === undefined ? {} : { accept: given.accept } },
    },
  );
  return (await filledBy(decode.create({}, makeStageEnv(given.env))(exchange))).response;
}

async function sent(response: GatewayResponse): Promise<object> {
  if (response.kind !== 'body' || response.body instanceof Uint8Array) throw new Error('not a picture that flows');
  const { status, headers, body } = response;
  return { status, headers, length: body.length, bytes: await gather(body) };
}

describe('decode', () => {
  it.each([
    ['the route says so', { decode: true }],
    ['the route says so, whatever is accepted', { decode: true, accept: 'application/json' }],
    ['the caller accepts a picture', { accept: 'image/png' }],
    ['the caller accepts any picture', { accept: 'image/*' }],
    ['the caller would rather have a picture', { accept: ' Image/webp, application/json;q=0.5' }],
  ])('answers with the bytes of one picture where %s', async (_, given) => {
    const picture = png();
    expect(await sent(await decoded([bytes(picture)], given))).toEqual({
      status: 200,
      headers: { 'content-type': 'image/png', 'x-content-type-options': 'nosniff' },
      length: picture.byteLength,
      bytes: picture,
    });
  });

  it.each([
    undefined,
    '',
    '*/*',
    'application/json',
    'application/json, image/png',
    'text/html,image/webp,*/*',
    'imagery/png',
  ])('leaves the answer as it is where the caller accepts %s', async (accept) => {
    const given = accept === undefined ? {} : { accept };
    expect(await decoded([bytes(png())], given)).toBe(images);
  });

  it.each([0, 2, 3])('leaves an answer with %i pictures as it is', async (count) => {
    const pictures = Array.from({ length: count }, () => bytes(png()));
    expect(await decoded(pictures, { decode: true, accept: 'image/*' })).toBe(images);
  });

  it('leaves a stream as it is', async () => {
    const response = { ...images, framing: 'events' } as const;
    expect(await decoded([bytes(png())], { decode: true, response })).toBe(response);
  });

  it('leaves an answer of another kind as it is', async () => {
    const response = { kind: 'taken', status: 200 } as const;
    expect(await decoded([bytes(png())], { decode: true, response })).toBe(response);
  });

  it('names the type of the bytes, whatever was asked for', async () => {
    const pictures = [
      [png(), 'image/png'],
      [await jpeg(), 'image/jpeg'],
      [await webp(), 'image/webp'],
      [Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), 'image/svg+xml'],
      [Buffer.from('no picture at all'), 'application/octet-stream'],
    ] as const;
    for (const [picture, type] of pictures) {
      for (const payload of [bytes(picture), base64(picture)]) {
        const response = await sent(await decoded([payload], { decode: true }));
        expect(response).toMatchObject({ headers: { 'content-type': type }, bytes: picture });
      }
    }
  });

  it('turns base64 into bytes of a known length', async () => {
    const picture = randomPng(100_000);
    expect(await sent(await decoded([base64(picture)], { decode: true }))).toMatchObject({
      length: 100_000,
      bytes: picture,
    });
  });

  it('fetches a picture of which there is only a link, with the trust that its provider has', async () => {
    const picture = png();
    const asked: FetchPictureOptions[] = [];
    const pictures = {
      fetch(given: ImagePayload, options: FetchPictureOptions) {
        expect(given).toBe(link);
        asked.push(options);
        return Promise.resolve({ payload: bytes(picture), mediaType: 'image/png' });
      },
    };
    const response = await sent(await decoded([link], { decode: true, env: { pictures } }));
    expect(response).toMatchObject({ headers: { 'content-type': 'image/png' }, bytes: picture });
    expect(asked).toMatchObject([{ trustedOrigin: 'http://10.0.0.1' }]);
  });
});
