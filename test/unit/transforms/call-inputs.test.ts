import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { collectPayload } from '../../../src/images/convert-payload.ts';
import type { InputImage, TargetCall } from '../../../src/pipeline/call.ts';
import type { LinkSigner } from '../../../src/pipeline/settings.ts';
import type { StageEnv } from '../../../src/pipeline/stage.ts';
import { prepareInputs } from '../../../src/transforms/call-inputs.ts';
import { makeCapabilities, makeExchange, makeStageEnv } from '../../fixtures/exchange.ts';
import { png } from '../../fixtures/pictures.ts';
import { linked, makeTargetCall, uploaded } from '../../fixtures/providers/calls.ts';
import { fakeBlobs } from '../http/rendering.ts';

const picture = png({ colour: [1, 2, 3, 255] });
const upload = uploaded(picture, 'image/png');
const file: InputImage = { kind: 'provider-file', id: 'file-1' };
const edit = (given: Partial<TargetCall>): TargetCall => makeTargetCall({ operation: 'edition', ...given });
const takes = (as: 'bytes' | 'link' | 'either', max = 4) => makeCapabilities({ inputs: { max, as } });

/** Fetches `picture` from everywhere. */
const fetching: Partial<StageEnv> = {
  pictures: {
    fetch: () => Promise.resolve({ payload: { kind: 'bytes', bytes: picture }, mediaType: 'image/png' }),
  },
};
const publicUrl = 'https://gateway.test';
const hosting = { catalogue: { hosting: { publicUrl, path: '/files/:name', signer: undefined } } };

describe('the pictures of a call', () => {
  it('are fetched from links where a provider wants bytes', async () => {
    const call = edit({ images: [upload, linked('https://pictures.test/1.png')] });
    const { images } = await prepareInputs(call, takes('bytes'), makeExchange({}), makeStageEnv(fetching));
    expect(images).toEqual([upload, upload]);
  });

  it('are hosted for as long as the call lasts where a provider wants links', async () => {
    const blobs = fakeBlobs();
    const removed: string[] = [];
    const remove = (name: string) => Promise.resolve(void removed.push(name));
    const env = makeStageEnv({ ...hosting, blobs: { ...blobs, remove } });
    const exchange = makeExchange({});
    const call = edit({ images: [upload, linked('https://pictures.test/1.png')] });
    const { images } = await prepareInputs(call, takes('link'), exchange, env);
    const links = images.map((image) =>
      image.kind === 'image' && image.payload.kind === 'link' ? image.payload.url : '',
    );
    expect(links).toEqual(['https://gateway.test/files/blob-1', 'https://pictures.test/1.png']);
    // An hour, should nothing take it away at the end of the call.
    expect(blobs.kept).toEqual([{ mediaType: 'image/png', bytes: picture, expiresAtMs: 3_600_000, oneCall: true }]);
    expect(removed).toEqual([]);
    await exchange.finish();
    expect(removed).toEqual(['blob-1']);
  });

  it('are hosted under links that are signed for as long as the picture may be there', async () => {
    const signer: LinkSigner = {
      lifetimeMs: 1_000,
      sign: (name, untilMs) => `signed=${name}&until=${String(untilMs)}`,
      check: () => undefined,
    };
    const catalogue = { hosting: { publicUrl, path: '/files/:name', signer } };
    const env = makeStageEnv({ catalogue, blobs: fakeBlobs() });
    const { images } = await prepareInputs(edit({ images: [upload] }), takes('link'), makeExchange({}), env);
    const url = 'https://gateway.test/files/blob-1?signed=blob-1&until=3600000';
    expect(images).toMatchObject([{ payload: { kind: 'link', url } }]);
  });

  it('cannot be hosted by a gateway without an address of its own', async () => {
    const hosting = { publicUrl: undefined, path: '/files/:name', signer: undefined };
    const env = makeStageEnv({ catalogue: { hosting } });
    const prepared = prepareInputs(edit({ images: [upload] }), takes('link'), makeExchange({}), env);
    await expect(prepared).rejects.toMatchObject({ code: 'unsupported_parameter', param: 'image', status: 400 });
  });

  it('stay as they came where a provider takes both', async () => {
    const images = [upload, linked('https://pictures.test/1.png')];
    const call = edit({ images });
    expect((await prepareInputs(call, takes('either'), makeExchange({}), makeStageEnv())).images).toEqual(images);
  });

  it('may lie with the provider only where it keeps files', async () => {
    const call = edit({ images: [file] });
    const keeps = makeCapabilities({ inputs: { max: 4, as: 'either', files: true } });
    expect((await prepareInputs(call, keeps, makeExchange({}), makeStageEnv())).images).toEqual([file]);
    const refused = prepareInputs(call, takes('either'), makeExchange({}), makeStageEnv());
    await expect(refused).rejects.toMatchObject({ code: 'unsupported_parameter', param: 'image' });
  });

  it('are at most as many as the model takes', async () => {
    const call = edit({ images: [upload, upload, upload] });
    const refused = prepareInputs(call, takes('bytes', 2), makeExchange({}), makeStageEnv());
    await expect(refused).rejects.toMatchObject({ code: 'too_many_images', param: 'image' });
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
    const prepared = await prepareInputs(call, capabilities, makeExchange({}), makeStageEnv());
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
