import { describe, expect, it } from 'vitest';
import { errorTable, type ErrorCode } from '../../../src/errors.ts';
import { bombPng, dataUri, maskPng, png, randomPng } from '../../fixtures/pictures.ts';
import {
  asForm,
  asJson,
  parsed,
  piecewise,
  raw,
  type FormEntry,
  type ParseOptions,
  type SentBody,
} from './request-bodies.ts';

const picture = png();
const uri = dataUri(picture);
const text = Buffer.from('this is not a picture');
const svg = '<svg xmlns="http://www.w3.org/2000/svg"/>';
const prompt = ['prompt', 'a lighthouse'] as const;
const json = (members: object): SentBody => asJson({ prompt: 'a lighthouse', ...members });
const image = (value: unknown): SentBody => json({ image: value });
const form = (...entries: readonly FormEntry[]): Promise<SentBody> => asForm([prompt, ...entries]);

type Refusal = [what: string, sent: SentBody | Promise<SentBody>, code: ErrorCode, param?: string];

describe('parse refuses', () => {
  describe('a body', () => {
    it.each<Refusal>([
      ['that is empty', raw('application/json', ''), 'invalid_json'],
      ['that is not JSON', raw('application/json', '{"prompt": a lighthouse}'), 'invalid_json'],
      ['that is cut', raw('application/json', '{"prompt":"a light'), 'invalid_json'],
      ['with something after its end', raw('application/json', '{"prompt":"a"} {}'), 'invalid_json'],
      ['that is a list', asJson([{ prompt: 'a lighthouse' }]), 'invalid_json'],
      ['that is null', asJson(null), 'invalid_json'],
      ['that is nested too deep', raw('application/json', '['.repeat(10_000)), 'invalid_json'],
      ['of too much besides pictures', json({ tags: Array.from({ length: 200_000 }, () => 'lamp') }), 'invalid_json'],
      ['with __proto__', raw('application/json', '{"prompt":"a","__proto__":{"n":4}}'), 'invalid_json'],
      ['with __proto__ inside', raw('application/json', '{"prompt":"a","extra":{"__proto__":1}}'), 'invalid_json'],
      [
        'with a prototype in a constructor',
        raw('application/json', '{"prompt":"a","constructor":{"prototype":{}}}'),
        'invalid_json',
      ],
      ['that is text', raw('text/plain', '{"prompt":"a"}'), 'unsupported_media_type'],
      ['of a simple form', raw('application/x-www-form-urlencoded', 'prompt=a'), 'unsupported_media_type'],
      ['of JSON lines', raw('application/jsonlines', '{"prompt":"a"}'), 'unsupported_media_type'],
      ['of a form without a boundary', raw('multipart/form-data', '--x--'), 'invalid_multipart'],
      ['of a form that is cut', raw('multipart/form-data; boundary=x', '--x\r\nContent-Dis'), 'invalid_multipart'],
      ['of a form with __proto__', form(['__proto__', 'x']), 'invalid_multipart'],
    ])('%s', async (_, sent, code, param) => refused(await sent, code, param));
  });

  describe('a parameter:', () => {
    it.each<Refusal>([
      ['a prompt that is no text', asJson({ prompt: 5 }), 'invalid_value', 'prompt'],
      ['a prompt of a MiB', asJson({ prompt: 'lamp '.repeat(200_000) }), 'invalid_value', 'prompt'],
      ['a member of a MiB', json({ extra: { hints: ['lamp '.repeat(200_000)] } }), 'invalid_value', 'extra'],
      ['no pictures', json({ n: 0 }), 'invalid_value', 'n'],
      ['more pictures than a call may ask for', json({ n: 11 }), 'invalid_value', 'n'],
      ['half a picture', json({ n: 1.5 }), 'invalid_value', 'n'],
      ['a number as text', json({ n: '2' }), 'invalid_value', 'n'],
      ['no number in a form', form(['n', 'two']), 'invalid_value', 'n'],
      ['a fraction in a form', form(['n', '1.5']), 'invalid_value', 'n'],
      ['a huge number in a form', form(['seed', '9'.repeat(30)]), 'invalid_value', 'seed'],
      ['neither true nor false in a form', form(['stream', 'yes']), 'invalid_value', 'stream'],
      ['a size in words', json({ size: 'huge' }), 'invalid_value', 'size'],
      ['compression beyond 100 %', json({ output_compression: 101 }), 'invalid_value', 'output_compression'],
      ['a response format of its own', json({ response_format: 'png' }), 'invalid_value', 'response_format'],
      ['extra that is text', json({ extra: 'steps=4' }), 'invalid_value', 'extra'],
      ['extra that is cut, in a form', form(['extra', '{"steps":']), 'invalid_value', 'extra'],
      ['extra that is a list, in a form', form(['extra', '[1]']), 'invalid_value', 'extra'],
      ['extra with __proto__, in a form', form(['extra', '{"__proto__":{}}']), 'invalid_value', 'extra'],
      ['extra nested too deep, in a form', form(['extra', '['.repeat(200)]), 'invalid_value', 'extra'],
      ['fallbacks that are text', json({ fallbacks: 'a/b' }), 'invalid_value', 'fallbacks'],
      ['fallbacks that are no models', json({ fallbacks: ['a/b', 5] }), 'invalid_value', 'fallbacks[1]'],
      ['fallbacks in extra that are no list', json({ extra: { fallbacks: 'a/b' } }), 'invalid_value', 'fallbacks'],
      ['a field that comes twice', form(['n', '1'], ['n', '2']), 'invalid_value', 'n'],
      ['a file that is no picture by its name', form(['avatar', picture]), 'invalid_value', 'avatar'],
    ])('%s', async (_, sent, code, param) => refused(await sent, code, param));
  });

  describe('a picture:', () => {
    it.each<Refusal>([
      ['a link over plain HTTP', image('http://example.com/a.png'), 'image_url_not_allowed', 'image'],
      ['a link to a file', image('file:///etc/passwd'), 'image_url_not_allowed', 'image'],
      ['a link to an FTP server', form(['image', 'ftp://example.com/a.png']), 'image_url_not_allowed', 'image'],
      [
        'a long link over plain HTTP',
        image(`http://example.com/?${'a'.repeat(2000)}`),
        'image_url_not_allowed',
        'image',
      ],
      ['a mask over plain HTTP', json({ image: uri, mask: 'http://a.test' }), 'image_url_not_allowed', 'mask'],
      ['a link without a scheme', image('//example.com/a.png'), 'image_url_not_allowed', 'image'],
      ['a link with backslashes', form(['image', '\\\\example.com\\a.png']), 'image_url_not_allowed', 'image'],
      ['a link with blanks before it', image(' \t\n https://example.com/'), 'image_url_not_allowed', 'image'],
      ['a script', form(['image[]', 'javascript:alert(1)']), 'image_url_not_allowed', 'image'],
      ['a socket', json({ images: [{ image_url: 'unix:/run/docker.sock' }] }), 'image_url_not_allowed', 'image'],
      ['a data URI with a blank before it', image(` ${uri}`), 'invalid_image', 'image'],
      ['a word', image('lighthouse.png'), 'invalid_image', 'image'],
      ['nothing', image(''), 'invalid_image', 'image'],
      ['a long word', image('lighthouse'.repeat(1000)), 'invalid_image', 'image'],
      ['a number', image(5), 'invalid_image', 'image'],
      ['an object that names none', image({ url: 'https://example.com/a.png' }), 'invalid_value', 'image'],
      ['an object that names two', image({ file_id: 'f', image_url: uri }), 'invalid_value', 'image'],
      ['a file of text', form(['image', text]), 'invalid_image', 'image'],
      ['an empty file', form(['image', new Uint8Array()]), 'invalid_image', 'image'],
      ['a mask of text', form(['image', picture], ['mask', text]), 'invalid_image', 'mask'],
      ['an SVG, which is a program', form(['image', Buffer.from(svg)]), 'invalid_image', 'image'],
      ['a data URI of text', image(`data:image/png;base64,${text.toString('base64')}`), 'invalid_image', 'image'],
      ['a data URI without base64', image(`data:image/svg+xml,${svg}`), 'invalid_image', 'image'],
      ['a data URI without data', image('data:image/png;base64'), 'invalid_image', 'image'],
      ['a data URI that is cut', image(`${uri.slice(0, uri.indexOf(',') + 1)}A`), 'invalid_image', 'image'],
      ['a data URI with other letters', image(`${uri}!`), 'invalid_image', 'image'],
      ['a long data URI of text', image(longUri(Buffer.alloc(5000, 'text'))), 'invalid_image', 'image'],
      ['a long data URI with other letters', image(`${longUri(randomPng(10_000))}!`), 'invalid_image', 'image'],
      [
        'a long mask with other letters',
        json({ image: uri, mask: `${longUri(text)}${'!'.repeat(2000)}` }),
        'invalid_image',
        'mask',
      ],
      ['a long data URI without base64', image(`data:image/svg+xml,${svg.padEnd(3000)}`), 'invalid_image', 'image'],
      ['17 pictures', image(Array.from({ length: 17 }, () => uri)), 'too_many_images', 'image'],
      [
        '17 pictures in several members',
        json({ image: Array.from({ length: 9 }, () => uri), images: Array.from({ length: 8 }, () => uri) }),
        'too_many_images',
        'image',
      ],
      [
        '17 pictures in a form',
        form(...Array.from({ length: 17 }, () => ['image[]', picture] as const)),
        'too_many_images',
        'image',
      ],
      ['two masks', json({ image: uri, mask: [uri, uri] }), 'invalid_value', 'mask'],
      [
        'two masks in a form',
        form(['image', picture], ['mask', maskPng()], ['mask[]', maskPng()]),
        'invalid_value',
        'mask',
      ],
      ['a mask without a picture', json({ mask: uri }), 'missing_required_parameter', 'image'],
    ])('%s', async (_, sent, code, param) => refused(await sent, code, param));

    it.each<[string, Buffer, number?]>([
      ['a PNG that is cut', randomPng(20_000).subarray(0, -1)],
      ['a small PNG that is cut', picture.subarray(0, 60)],
      ['a PNG without width', Buffer.from(picture.with(19, 0))],
      ['a PNG of more pixels than may be', picture, 63],
      ['a bomb of which only the header has come', bombPng(30_000).subarray(0, 100)],
      ['a bomb', bombPng(30_000)],
    ])('%s, by its parameter, in whatever form it comes', async (_, bytes, maxPixels = 67_108_864) => {
      const options = { maxPixels };
      for (const sent of [
        image(dataUri(bytes)),
        await form(['image', bytes]),
        await form(['image[]', dataUri(bytes)]),
      ]) {
        await refused(sent, 'invalid_image', 'image', options);
      }
      await refused(
        json({ image: uri, mask: dataUri(bytes) }),
        'invalid_image',
        maxPixels === 63 ? 'image' : 'mask',
        options,
      );
    });

    it('a bomb, before the rest of it is taken', async () => {
      const { contentType, bytes } = await form(['image', Buffer.concat([bombPng(30_000), Buffer.alloc(500_000)])]);
      let taken = 0;
      const pieces = function* (): Generator<Uint8Array> {
        for (let at = 0; at < bytes.byteLength; at += 10_000) {
          taken += 1;
          yield bytes.subarray(at, at + 10_000);
        }
      };
      await refused({ contentType, bytes }, 'invalid_image', 'image', { body: piecewise(pieces()) });
      expect(taken).toBe(1);
    });

    it('a link, on a route that takes none, before anybody is asked', async () => {
      const asked: unknown[] = [];
      const options: ParseOptions = {
        route: { imageUrls: false },
        pictures: { check: (link) => void asked.push(link) },
      };
      const link = 'https://example.com/a.png';
      await refused(image(link), 'image_url_not_allowed', 'image', options);
      await refused(json({ image: uri, mask: link }), 'image_url_not_allowed', 'mask', options);
      await refused(await form(['image', link]), 'image_url_not_allowed', 'image', options);
      expect(asked).toEqual([]);
      expect(await parsed(image(uri), options)).toMatchObject({ images: [{}] });
    });

    it('fewer than 17, where the stage says so', async () => {
      const options = { maxImages: 2 };
      await refused(image([uri, uri, uri]), 'too_many_images', 'image', options);
      expect(await parsed(image([uri, uri]), options)).toMatchObject({ images: [{}, {}] });
    });

    it('none at all, on a route that edits', async () => {
      const options = { route: { operation: 'edition' } } as const;
      await refused(json({}), 'missing_required_parameter', 'image', options);
      await refused(await form(), 'missing_required_parameter', 'image', options);
      await refused(json({ image: [] }), 'missing_required_parameter', 'image', options);
    });

    it('one that is larger than the route takes', async () => {
      const options = { route: { maxUploadBytes: 5000 } };
      await refused(await form(['image', randomPng(10_000)]), 'payload_too_large', 'image', options);
      await refused(image(dataUri(randomPng(10_000))), 'payload_too_large', undefined, options);
    });
  });

  it('a default of the route that is no value for its parameter', async () => {
    await refused(json({}), 'invalid_value', 'n', { route: { defaults: { n: 99 } } });
  });
});

function longUri(bytes: Buffer): string {
  return `data:image/png;base64,${bytes.toString('base64')}`;
}

/** Refused with this code, by the status that the table gives it. */
async function refused(
  sent: SentBody,
  code: ErrorCode,
  param: string | undefined,
  options?: ParseOptions,
): Promise<void> {
  await expect(parsed(sent, options)).rejects.toMatchObject({ code, status: errorTable[code].status, param });
}
