import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import { collectPayload } from '../../../src/images/convert-payload.ts';
import type { InputImage, InputRules, TargetCall } from '../../../src/pipeline/call.ts';
import type { LinkSigner } from '../../../src/pipeline/settings.ts';
import type { FetchAllOptions, PictureFetcher, WantedPicture } from '../../../src/pipeline/stage.ts';
import type { OperationCapabilities } from '../../../src/providers/provider.ts';
import { createInputPreparer } from '../../../src/transforms/call-inputs.ts';
import {
  makeCapabilities,
  makeExchange,
  makeStageEnv,
  type GivenEnv,
  type TestExchange,
} from '../../fixtures/exchange.ts';
import { png } from '../../fixtures/pictures.ts';
import { linked, makeTargetCall, uploaded } from '../../fixtures/providers/calls.ts';
import { signed } from '../../fixtures/picture-files.ts';
import { fakeBlobs } from '../http/rendering.ts';

const picture = png({ colour: [1, 2, 3, 255] });
const upload = uploaded(picture, 'image/png');
const file: InputImage = { kind: 'provider-file', id: 'file-1' };
const edit = (given: Partial<TargetCall>): TargetCall => makeTargetCall({ operation: 'edition', ...given });
const takes = (as: 'bytes' | 'link', max = 4) => makeCapabilities({ inputs: { max, as } });
const prepare = (
  call: TargetCall,
  capabilities: OperationCapabilities,
  env: GivenEnv = {},
  exchange: TestExchange = makeExchange({}),
): Promise<TargetCall> => createInputPreparer(makeStageEnv(env))(call, capabilities, exchange);

/** A fetcher that finds the same picture everywhere, and notes down what it was asked. */
function fetching(found: Uint8Array = picture) {
  const asked: { readonly links: readonly WantedPicture[]; readonly options: FetchAllOptions }[] = [];
  const pictures: Partial<PictureFetcher> = {
    fetchAll(links, options) {
      asked.push({ links, options });
      return Promise.resolve(
        links.map((link) => {
          link.see?.(found);
          return { payload: { kind: 'bytes', bytes: found }, mediaType: 'image/png' };
        }),
      );
    },
  };
  return { pictures, asked };
}
const publicUrl = 'https://gateway.test';
const hosting = { catalogue: { hosting: { publicUrl, path: '/files/:name', signer: undefined } } };
const urlsOf = ({ images }: TargetCall): readonly string[] =>
  images.map((image) => (image.kind === 'image' && image.payload.kind === 'link' ? image.payload.url : ''));

describe('the pictures of a call', () => {
  it('are fetched from links where a provider wants bytes, the mask along with the others', async () => {
    const { pictures, asked } = fetching();
    const call = edit({ images: [upload, linked('https://a.test/1.png')], mask: linked('https://b.test/mask.png') });
    const { images, mask } = await prepare(call, takes('bytes'), { pictures });
    expect([...images, mask]).toEqual([upload, upload, upload]);
    expect(asked).toMatchObject([
      {
        links: [
          { url: 'https://a.test/1.png', param: 'image' },
          { url: 'https://b.test/mask.png', param: 'mask' },
        ],
        options: { maxBytes: 1_000_000 },
      },
    ]);
  });

  it('are fetched once for a call, however many candidates are tried', async () => {
    const { pictures, asked } = fetching();
    const prepareInputs = createInputPreparer(makeStageEnv({ pictures }));
    const call = edit({ images: [linked('https://a.test/1.png')], mask: linked('https://b.test/mask.png') });
    const withoutMask = makeCapabilities({ inputs: { max: 1, as: 'bytes' }, mask: undefined });
    await prepareInputs({ ...call, mask: undefined }, withoutMask, makeExchange({}));
    await prepareInputs({ ...call, model: 'another' }, takes('bytes'), makeExchange({}));
    await prepareInputs({ ...call, model: 'a third' }, takes('bytes'), makeExchange({}));
    expect(asked.map(({ links }) => links.map(({ url }) => url))).toEqual([
      ['https://a.test/1.png'],
      ['https://b.test/mask.png'],
    ]);
    await prepareInputs(edit({ images: [linked('https://a.test/1.png')] }), takes('bytes'), makeExchange({}));
    expect(asked).toHaveLength(3);
  });

  it.each([
    ['no picture', Buffer.from('this is not a picture, but long enough to be sure that it is none, as it says'), 1000],
    ['a picture that is cut', picture.subarray(0, -1), 1000],
    ['a picture that claims too much', png({ width: 40, height: 40 }), 1599],
  ])('are held to the rules of the call when they come: %s', async (_, found, maxPixels) => {
    const { pictures } = fetching(found);
    const call = edit({ images: [linked('https://a.test/1.png')], inputRules: { maxPixels, stripMetadata: false } });
    await expect(prepare(call, takes('bytes'), { pictures })).rejects.toMatchObject({
      code: 'invalid_image',
      param: 'image',
    });
  });

  it('lose their metadata when they come, if the call says so', async () => {
    const { pictures } = fetching(await signed(6).png().toBuffer());
    const inputRules: InputRules = { maxPixels: 1e6, stripMetadata: true };
    const { images } = await prepare(edit({ images: [linked('https://a.test/1.png')], inputRules }), takes('bytes'), {
      pictures,
    });
    const [image] = images;
    if (image?.kind !== 'image') throw new Error('the picture is gone');
    const bytes = Buffer.from(await collectPayload(image.payload, 1e6));
    expect(bytes.includes('somebody')).toBe(false);
    expect((await sharp(bytes).metadata()).orientation).toBe(6);
  });

  it('are hosted for as long as the call lasts where a provider wants links, and links are vouched for', async () => {
    const blobs = fakeBlobs();
    const removed: string[] = [];
    const remove = (name: string) => Promise.resolve(void removed.push(name));
    const vouch: PictureFetcher['vouch'] = ({ url, param }) => Promise.resolve(`${url}?for=${param}`);
    const exchange = makeExchange({});
    const call = edit({ images: [upload, linked('https://pictures.test/1.png')] });
    const env = { ...hosting, blobs: { ...blobs, remove }, pictures: { vouch } };
    expect(urlsOf(await prepare(call, takes('link'), env, exchange))).toEqual([
      'https://gateway.test/files/blob-1',
      'https://pictures.test/1.png?for=image',
    ]);
    // An hour, should nothing take it away at the end of the call.
    expect(blobs.kept).toEqual([{ mediaType: 'image/png', bytes: picture, expiresAtMs: 3_600_000, oneCall: true }]);
    expect(removed).toEqual([]);
    await exchange.finish();
    expect(removed).toEqual(['blob-1']);
  });

  it('are hosted and vouched for once for a call, however many candidates are tried', async () => {
    const blobs = fakeBlobs();
    const vouched: string[] = [];
    const vouch: PictureFetcher['vouch'] = ({ url }) => {
      vouched.push(url);
      return Promise.resolve(url);
    };
    const prepareInputs = createInputPreparer(makeStageEnv({ ...hosting, blobs, pictures: { vouch } }));
    const call = edit({ images: [uploaded(picture, 'image/png'), linked('https://pictures.test/1.png')] });
    const exchange = makeExchange({});
    const first = await prepareInputs(call, takes('link'), exchange);
    const second = await prepareInputs({ ...call, model: 'another' }, takes('link'), exchange);
    expect(urlsOf(second)).toEqual(urlsOf(first));
    expect([blobs.kept.length, vouched]).toEqual([1, ['https://pictures.test/1.png']]);
  });

  it('are hosted under links that are signed for as long as the picture may be there', async () => {
    const signer: LinkSigner = {
      lifetimeMs: 1_000,
      sign: (name, untilMs) => `signed=${name}&until=${String(untilMs)}`,
      check: () => undefined,
    };
    const catalogue = { hosting: { publicUrl, path: '/files/:name', signer } };
    const { images } = await prepare(edit({ images: [upload] }), takes('link'), { catalogue, blobs: fakeBlobs() });
    const url = 'https://gateway.test/files/blob-1?signed=blob-1&until=3600000';
    expect(images).toMatchObject([{ payload: { kind: 'link', url } }]);
  });

  it('leave nothing behind when one of their links is refused', async () => {
    const blobs = fakeBlobs();
    const removed: string[] = [];
    const remove = (name: string) => Promise.resolve(void removed.push(name));
    const refusal = new GatewayError('image_url_not_allowed', 'no', { param: 'image' });
    const env = { ...hosting, blobs: { ...blobs, remove }, pictures: { vouch: () => Promise.reject(refusal) } };
    const exchange = makeExchange({});
    const call = edit({ images: [linked('https://inside.test/1.png'), upload] });
    await expect(prepare(call, takes('link'), env, exchange)).rejects.toBe(refusal);
    await exchange.finish();
    expect(removed).toEqual(['blob-1']);
  });

  it('cannot be hosted by a gateway without an address of its own', async () => {
    const catalogue = { hosting: { publicUrl: undefined, path: '/files/:name', signer: undefined } };
    const prepared = prepare(edit({ images: [upload] }), takes('link'), { catalogue });
    await expect(prepared).rejects.toMatchObject({ code: 'unsupported_parameter', param: 'image', status: 400 });
  });

  it('may lie with the provider only where it keeps files', async () => {
    const call = edit({ images: [file] });
    const keeps = makeCapabilities({ inputs: { max: 4, as: 'bytes', files: true } });
    expect((await prepare(call, keeps)).images).toEqual([file]);
    await expect(prepare(call, takes('bytes'))).rejects.toMatchObject({
      code: 'unsupported_parameter',
      param: 'image',
    });
    const mask = prepare(edit({ images: [upload], mask: file }), takes('bytes'));
    await expect(mask).rejects.toMatchObject({ code: 'unsupported_parameter', param: 'mask' });
  });

  it('are at most as many as the model takes', async () => {
    const call = edit({ images: [upload, upload, upload] });
    await expect(prepare(call, takes('bytes', 2))).rejects.toMatchObject({ code: 'too_many_images', param: 'image' });
  });
});

describe('a mask', () => {
  /** 4 × 2 pixels: the left half transparent. */
  const pixels = Buffer.from([0, 100, 255, 255, 0, 127, 128, 255].flatMap((alpha) => [9, 9, 9, alpha]));
  const transparent = sharp(pixels, { raw: { width: 4, height: 2, channels: 4 } })
    .png()
    .toBuffer();
  /** The left half white. */
  const grey = Buffer.from([255, 200, 0, 10, 255, 128, 127, 0]);
  const painted = sharp(grey, { raw: { width: 4, height: 2, channels: 1 } })
    .png()
    .toBuffer();
  const first = sharp({ create: { width: 8, height: 4, channels: 3, background: '#123456' } })
    .png()
    .toBuffer();

  async function converted(mask: Buffer, form: 'alpha' | 'white' | 'black'): Promise<Buffer> {
    const call = edit({ images: [uploaded(await first, 'image/png')], mask: uploaded(mask, 'image/png') });
    const capabilities = makeCapabilities({ inputs: { max: 1, as: 'bytes' }, mask: form });
    const prepared = await prepare(call, capabilities);
    if (prepared.mask?.kind !== 'image') throw new Error('the mask is gone');
    return Buffer.from(await collectPayload(prepared.mask.payload, 1e6));
  }

  it.each([
    ['white', 'transparent', transparent, [255, 255, 0, 0, 255, 255, 0, 0]],
    ['black', 'transparent', transparent, [0, 0, 255, 255, 0, 0, 255, 255]],
    ['white', 'painted', painted, [255, 255, 0, 0, 255, 255, 0, 0]],
    ['black', 'painted', painted, [0, 0, 255, 255, 0, 0, 255, 255]],
  ] as const)(
    'becomes %s where it is to change, of one that is %s, in the size of the picture [X06]',
    async (form, _, mask, expected) => {
      const file = await converted(await mask, form);
      const { channels, width, height, depth } = await sharp(file).metadata();
      expect([channels, width, height, depth]).toEqual([1, 8, 4, 'uchar']);
      const { data } = await sharp(file)
        .extractChannel(0)
        .resize(4, 2, { kernel: 'nearest' })
        .raw()
        .toBuffer({ resolveWithObject: true });
      expect([...data]).toEqual(expected);
    },
  );

  it('with transparency goes to OpenAI as it is', async () => {
    const mask = await transparent;
    expect(await converted(mask, 'alpha')).toEqual(mask);
  });

  it('without any becomes transparent where it is white', async () => {
    const file = await converted(await painted, 'alpha');
    const { data, info } = await sharp(file).extractChannel('alpha').raw().toBuffer({ resolveWithObject: true });
    expect([info.width, info.height]).toEqual([4, 2]);
    expect([...data]).toEqual([0, 0, 255, 255, 0, 0, 255, 255]);
  });

  it('that is no picture is refused by its name', async () => {
    const broken = Buffer.concat([(await transparent).subarray(0, 40), Buffer.alloc(40)]);
    await expect(converted(broken, 'white')).rejects.toMatchObject({ code: 'invalid_image', param: 'mask' });
  });
});
