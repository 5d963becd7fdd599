import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import type { FilePayload } from '../../../src/images/payload.ts';
import type { ImageCall } from '../../../src/pipeline/call.ts';
import { dataUri, jpeg, maskPng, png, randomPng, webp } from '../../fixtures/pictures.ts';
import { samples, signed } from '../../fixtures/picture-files.ts';
import { asForm, asJson, parsed, piecewise, prepareParse, type FormEntry, type SentBody } from './request-bodies.ts';

const picture = png();
const uri = dataUri(picture);
const taken = { bytes: picture, mediaType: 'image/png' };
const mask = maskPng();
const takenMask = { bytes: mask, mediaType: 'image/png' };
const json = (members: object): SentBody => asJson({ prompt: 'a lighthouse', ...members });
const form = (...entries: readonly FormEntry[]): Promise<SentBody> => asForm([['prompt', 'a lighthouse'], ...entries]);

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pinhole-parse-'));
});
afterEach(() => rm(directory, { recursive: true }));

describe('parse', () => {
  describe('finds a picture', () => {
    it.each<[string, SentBody | Promise<SentBody>]>([
      ['as `image`', json({ image: uri })],
      ['as a list of one', json({ image: [uri] })],
      ['as `image[]`', json({ 'image[]': [uri] })],
      ['as `images`', json({ images: [uri] })],
      ['as OpenAI’s `{image_url}`', json({ images: [{ image_url: uri }] })],
      ['with a null beside it', json({ images: [{ image_url: uri, file_id: null }] })],
      ['as the chat form of it', json({ images: [{ type: 'image_url', image_url: { url: uri, detail: 'auto' } }] })],
      [
        'whatever case the scheme is in',
        json({ image: uri.replace('data:image/png;base64', 'DATA:IMAGE/PNG;BASE64') }),
      ],
      ['whatever type its data URI declares', json({ image: uri.replace('image/png', 'text/html;charset=utf-8') })],
      [
        'whose base64 is broken into lines',
        json({ image: uri.replaceAll(/.{40}/g, '$&\r\n').replace(/^data\r\n/, 'data') }),
      ],
      [
        'whose base64 is for URLs',
        json({ image: uri.replaceAll('+', '-').replaceAll('/', '_').replace('image_png', 'image/png') }),
      ],
      ['without padding', json({ image: uri.replaceAll(/=+$/g, '') })],
      ['as a file `image`', form(['image', picture])],
      ['as a file `image[]`', form(['image[]', picture])],
      ['as a file `image[0]`', form(['image[0]', picture])],
      ['as a file `images`', form(['images', picture])],
      ['as text in a form', form(['image', uri])],
      ['as text `image[]` in a form', form(['image[]', uri])],
    ])('%s', async (_, sent) => {
      expect(await parsed(await sent)).toMatchObject({ operation: 'edition', images: [taken] });
    });
  });

  describe('finds a mask', () => {
    it.each<[string, SentBody | Promise<SentBody>]>([
      ['as `mask`', json({ image: uri, mask: dataUri(mask) })],
      ['as `mask[]`', json({ image: uri, 'mask[]': [dataUri(mask)] })],
      ['as OpenAI’s `{image_url}`', json({ image: uri, mask: { image_url: dataUri(mask) } })],
      ['as a file `mask`', form(['mask', mask], ['image', picture])],
      ['as a file `mask[]`', form(['mask[]', mask], ['image', picture])],
      ['as text in a form', form(['mask', dataUri(mask)], ['image', picture])],
    ])('%s', async (_, sent) => {
      expect(await parsed(await sent)).toMatchObject({ images: [taken], mask: takenMask });
    });
  });

  it('takes 16 pictures in all forms, in the order of their members', async () => {
    const link = 'https://example.com/a.png';
    const document = json({
      image: [...Array.from({ length: 13 }, () => uri), link],
      images: [{ file_id: 'file-1' }, uri],
    });
    const { images } = (await parsed(document)) as ImageCall;
    expect(images).toHaveLength(16);
    expect(images.slice(13)).toEqual([
      { kind: 'image', payload: { kind: 'link', url: link, trust: 'caller' }, mediaType: undefined },
      { kind: 'provider-file', id: 'file-1' },
      taken,
    ]);
  });

  it('takes a file that lies with the provider for an image and for the mask', async () => {
    const document = json({ images: [{ file_id: 'file-1', image_url: null }], mask: { file_id: 'file-2' } });
    expect(await parsed(document)).toMatchObject({
      operation: 'edition',
      images: [{ kind: 'provider-file', id: 'file-1' }],
      mask: { kind: 'provider-file', id: 'file-2' },
    });
  });

  it.each(['https://example.com/a.png', `https://example.com/a.png?signature=${'a'.repeat(3000)}`])(
    'keeps a link as it is: %s',
    async (url) => {
      const payload = { kind: 'link', url, trust: 'caller' };
      for (const sent of [json({ image: url }), json({ images: [{ image_url: url }] }), await form(['image', url])]) {
        expect(await parsed(sent)).toMatchObject({ images: [{ kind: 'image', payload, mediaType: undefined }] });
      }
    },
  );

  it('goes by the magic number, not by what a picture says about itself', async () => {
    const pictures = [
      [await jpeg(), 'image/jpeg'],
      [await webp(), 'image/webp'],
      [await samples.gif(), 'image/gif'],
      [await samples.avif(), 'image/avif'],
      [png(), 'image/png'],
    ] as const;
    for (const [bytes, mediaType] of pictures) {
      const base64 = `data:image/bmp;base64,${bytes.toString('base64')}`;
      for (const sent of [json({ image: base64 }), await form(['image', bytes])]) {
        expect(await parsed(sent)).toMatchObject({ images: [{ mediaType }] });
      }
    }
  });

  it('keeps pictures in the order of the form, whichever of them are files, links and data URIs', async () => {
    const link = 'https://example.com/a.png';
    const [one, two, three] = [1, 2, 3].map((red) => png({ colour: [red, 0, 0, 255] }));
    if (one === undefined || two === undefined || three === undefined) throw new Error('never');
    const large = randomPng(5000);
    const sent = await form(
      ['image[]', one],
      ['image[]', dataUri(two)],
      ['image[]', link],
      ['image[]', dataUri(large)],
      ['image[]', three],
    );
    expect(await parsed(sent)).toMatchObject({
      images: [{ bytes: one }, { bytes: two }, { payload: { url: link } }, { bytes: large }, { bytes: three }],
    });
  });

  it('takes animated pictures as they are', async () => {
    for (const make of [samples['animated gif'], samples['animated webp']]) {
      const bytes = await make();
      expect(await parsed(await form(['image', bytes]))).toMatchObject({ images: [{ bytes }] });
    }
  });

  it('takes the metadata out if it is told to, and else leaves every byte', async () => {
    const bytes = await signed(6).jpeg().toBuffer();
    const large = Buffer.concat([bytes, randomPng(1_100_000)]);
    for (const sent of [json({ image: dataUri(bytes) }), await form(['image', bytes], ['mask', bytes])]) {
      expect(await parsed(sent)).toMatchObject({ images: [{ bytes }] });
      const { images, mask } = (await parsed(sent, { stripMetadata: true })) as { images: object[]; mask?: object };
      for (const picture of [...images, ...(mask === undefined ? [] : [mask])]) {
        const stripped = 'bytes' in picture ? Buffer.from(picture.bytes as Uint8Array) : Buffer.alloc(0);
        expect(stripped.includes('somebody')).toBe(false);
        expect((await sharp(stripped).metadata()).orientation).toBe(6);
        expect(await sharp(stripped).raw().toBuffer()).toEqual(await sharp(bytes).raw().toBuffer());
      }
    }
    const route = { maxUploadBytes: 2_000_000 };
    const inFile = await parsed(await form(['image', large]), { route, stripMetadata: true, spool: { directory } });
    expect(inFile).toMatchObject({ images: [{ bytes: expect.toSatisfy(({ length }: Buffer) => length < 2000) }] });
  });

  it('tells the later stages what holds for pictures that are still to be fetched', async () => {
    const { run } = prepareParse(json({ image: 'https://example.com/a.png' }), { maxPixels: 99, stripMetadata: true });
    expect((await run()).inputRules).toEqual({ maxPixels: 99, stripMetadata: true });
  });

  it('leaves a picture in a member that it does not know as the text that it is', async () => {
    const control_image = dataUri(randomPng(20_000));
    expect(await parsed(json({ control_image }))).toMatchObject({ images: [], unknown: { control_image } });
  });

  it.each([1, 2, 3, 4, 5, 6])('knows a data URI in a form of which %i bytes came first', async (first) => {
    const large = randomPng(10_000);
    const { contentType, bytes } = await form(['image', dataUri(large)]);
    const at = Buffer.from(bytes).indexOf('data:') + first;
    const body = piecewise([bytes.subarray(0, at), bytes.subarray(at)]);
    expect(await parsed({ contentType, bytes }, { body })).toMatchObject({ images: [{ bytes: large }] });
  });

  describe('keeps a large picture in a file without a name', () => {
    const large = randomPng(5 * 1024 * 1024);
    const route = { maxUploadBytes: 8 * 1024 * 1024 };

    it.each<[string, () => SentBody | Promise<SentBody>]>([
      ['from a data URI', () => json({ image: dataUri(large) })],
      ['from OpenAI’s JSON form', () => json({ images: [{ image_url: dataUri(large) }] })],
      ['from a file', () => form(['image', large])],
      ['from text in a form', () => form(['image', dataUri(large)])],
    ])('%s, until the exchange is over', async (_, make) => {
      const { exchange, run } = prepareParse(await make(), { route, spool: { directory } });
      const file = fileOf(await run());
      expect(await readdir(directory)).toEqual([]);
      expect(large.equals(Buffer.from(await collect(file.read())))).toBe(true);
      await exchange.finish();
      await expect(collect(file.read())).rejects.toThrow('closed');
      expect(await readdir(directory)).toEqual([]);
    });

    it('also when the rest of the body turns out bad', async () => {
      const { contentType, bytes } = json({ image: dataUri(large) });
      const { exchange, run } = prepareParse(
        { contentType, bytes: bytes.subarray(0, -1) },
        { route, spool: { directory } },
      );
      await expect(run()).rejects.toMatchObject({ code: 'invalid_json' });
      await exchange.finish();
      expect(await readdir(directory)).toEqual([]);
    });

    it('and says so when there is no room for it', async () => {
      const { exchange, run } = prepareParse(json({ image: dataUri(large) }), {
        route,
        spool: { directory: '/dev/null/spool' },
      });
      await expect(run()).rejects.toMatchObject({ code: 'overloaded', status: 503 });
      await exchange.finish();
    });
  });

  it('keeps a picture in memory up to the bound', async () => {
    const bytes = randomPng(100_000);
    const kinds = [];
    for (const memoryBytes of [100_000, 99_999]) {
      const { exchange, run } = prepareParse(json({ image: dataUri(bytes) }), { spool: { directory, memoryBytes } });
      const [image] = (await run()).images;
      kinds.push(image?.kind === 'image' ? image.payload.kind : undefined);
      await exchange.finish();
    }
    expect(kinds).toEqual(['bytes', 'file']);
  });
});

function fileOf({ images: [image] }: ImageCall): FilePayload['file'] {
  if (image?.kind !== 'image' || image.payload.kind !== 'file') throw new Error('not a picture in a file');
  return image.payload.file;
}
