import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { apiError, picturesOf } from '../fixtures/openai-client.ts';
import { dataUri, jpeg, maskPng, png, randomPng, sha256, webp } from '../fixtures/pictures.ts';
import { formOf, jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;
let dir: string;
const red = png({ colour: [255, 0, 0, 255] });
const blue = png({ colour: [0, 0, 255, 255] });

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pinhole-edits-'));
  setting = await startSetting();
});
afterAll(async () => {
  await setting.stop();
  await rm(dir, { recursive: true });
});

const editsUrl = (): string => `${setting.gateway.url}/v1/images/edits`;
const sentDigests = (): string[] => setting.fake.last().pictures.map((picture) => picture.sha256);

describe('POST /v1/images/edits with OpenAI’s client', () => {
  it('edits one File', async () => {
    const image = new File([Uint8Array.from(red)], 'red.png', { type: 'image/png' });
    const response = await setting.client.images.edit({ image, prompt: 'bluer', n: 2, size: '1024x1024' });
    expect(picturesOf(response)).toHaveLength(2);
    expect(setting.fake.last()).toMatchObject({
      path: '/v1/images/edits',
      members: { model: 'gpt-image-2', prompt: 'bluer', n: '2', size: '1024x1024' },
      pictures: [{ name: 'image', mediaType: 'image/png', sha256: sha256(red) }],
    });
  });

  it('edits a file stream, whose type the client does not know', async () => {
    const path = join(dir, 'photo.webp');
    const bytes = await webp();
    await writeFile(path, bytes);
    await setting.client.images.edit({ image: createReadStream(path), prompt: 'bluer' });
    expect(setting.fake.last().pictures).toMatchObject([{ mediaType: 'image/webp', sha256: sha256(bytes) }]);
  });

  it('edits a buffer that lies about its type', async () => {
    const bytes = await jpeg();
    const image = await toFile(bytes, 'photo.png', { type: 'image/png' });
    await setting.client.images.edit({ image, prompt: 'bluer' });
    expect(setting.fake.last().pictures).toMatchObject([{ mediaType: 'image/jpeg', sha256: sha256(bytes) }]);
  });

  it('edits several pictures in their order, with a mask [I15, I19]', async () => {
    const bytes = [red, await jpeg(), blue];
    const image = await Promise.all(bytes.map((picture) => toFile(picture, 'picture')));
    const mask = await toFile(maskPng(), 'mask.png', { type: 'image/png' });
    await setting.client.images.edit({ image, mask, prompt: 'bluer', quality: 'high' });
    expect(
      setting.fake
        .last()
        .pictures.filter(({ name }) => name === 'image[]')
        .map((sent) => sent.sha256),
    ).toEqual(bytes.map(sha256));
    expect(setting.fake.last().pictures.filter(({ name }) => name === 'mask')).toMatchObject([
      { mediaType: 'image/png', sha256: sha256(maskPng()) },
    ]);
  });

  it('leaves the bytes of a large picture as they are', async () => {
    const picture = randomPng(8_000_000);
    await setting.client.images.edit({ image: await toFile(picture, 'noise.png'), prompt: 'bluer' });
    expect(sentDigests()).toEqual([sha256(picture)]);
  });

  it('resolves a model with a prefix in a form as well', async () => {
    const image = await toFile(red, 'red.png', { type: 'image/png' });
    await setting.client.images.edit({
      model: 'openai-main###gpt-image-1',
      image,
      prompt: 'bluer',
      input_fidelity: 'high',
    });
    expect(setting.fake.last().members).toMatchObject({ model: 'gpt-image-1', input_fidelity: 'high' });
  });
});

describe('POST /v1/images/edits in the other forms', () => {
  it('takes OpenAI’s JSON: images[].image_url and mask.image_url', async () => {
    const answer = await postJson(editsUrl(), {
      model: 'gpt-image-2',
      prompt: 'bluer',
      images: [{ image_url: dataUri(red) }, { image_url: dataUri(blue) }],
      mask: { image_url: dataUri(maskPng()) },
    });
    expect(answer.status).toBe(200);
    expect(sentDigests().toSorted()).toEqual([red, blue, maskPng()].map(sha256).toSorted());
  });

  it('takes null for not said', async () => {
    const images = [{ image_url: dataUri(red) }];
    const nothing = { n: null, size: null, mask: null, input_fidelity: null, stream: null, response_format: null };
    const answer = await postJson(editsUrl(), { prompt: 'bluer', images, ...nothing });
    expect(answer.status).toBe(200);
    expect(setting.fake.last().members).toEqual({ model: 'gpt-image-2', prompt: 'bluer' });
  });

  it('passes OpenAI’s file ids on', async () => {
    const answer = await postJson(editsUrl(), { prompt: 'bluer', images: [{ file_id: 'file-abc' }] });
    expect(answer.status).toBe(200);
    expect(setting.fake.last().pictures).toMatchObject([{ name: 'images[0]', fileName: 'file-abc' }]);
  });

  it.each([
    ['a string', dataUri(red), [red]],
    ['a list', [dataUri(blue), dataUri(red)], [blue, red]],
  ])('takes ImageRouter’s JSON: image as %s of data URIs, and a mask [I16]', async (_, image, expected) => {
    const answer = await postJson(editsUrl(), { prompt: 'bluer', image, mask: dataUri(maskPng()) });
    expect(answer.status).toBe(200);
    expect(sentDigests()).toEqual([...expected, maskPng()].map(sha256));
  });

  it('takes a data URI of ten megabytes in JSON', async () => {
    const picture = randomPng(10_000_000);
    const answer = await postJson(editsUrl(), { prompt: 'bluer', image: dataUri(picture) });
    expect(answer.status).toBe(200);
    expect(sentDigests()).toEqual([sha256(picture)]);
  });

  it('takes data URIs in the text parts of a form, and image repeated', async () => {
    const form = formOf({ prompt: 'bluer', image: dataUri(red) });
    form.append('image', new File([Uint8Array.from(blue)], 'blue.png'));
    const answer = await fetch(editsUrl(), { method: 'POST', body: form });
    expect(answer.status).toBe(200);
    expect(sentDigests()).toEqual([red, blue].map(sha256));
  });

  it('answers 400 when there is no picture', async () => {
    const answer = await postJson(editsUrl(), { prompt: 'bluer' });
    expect(answer.status).toBe(400);
    expect(await jsonOf(answer)).toMatchObject({ error: { param: 'image', code: 'missing_required_parameter' } });
  });
});

describe('an edit that cannot be', () => {
  it('is refused when the bytes are not a picture', async () => {
    const requests = setting.fake.requests.length;
    const image = await toFile(Buffer.from('just text'), 'a.png', { type: 'image/png' });
    expect(await apiError(setting.client.images.edit({ image, prompt: 'bluer' }))).toMatchObject({
      status: 400,
      code: 'invalid_image',
    });
    expect(setting.fake.requests).toHaveLength(requests);
  });

  it('is refused with more than sixteen pictures', async () => {
    const image = await Promise.all(Array.from({ length: 17 }, () => toFile(red, 'red.png', { type: 'image/png' })));
    expect(await apiError(setting.client.images.edit({ image, prompt: 'bluer' }))).toMatchObject({
      status: 400,
      code: 'too_many_images',
      param: 'image',
    });
  });

  it('is refused before anything is sent when no entity of the route can edit [O29, O30]', async () => {
    const generationOnly = await startSetting({
      config: (fake) =>
        gatewayConfig([
          openAiEntity(fake, {
            config: { connection: { base_url: fake.baseUrl, token: 'sk-unused-1' }, options: { generation: {} } },
          }),
        ]),
    });
    try {
      const image = await toFile(red, 'red.png', { type: 'image/png' });
      expect(await apiError(generationOnly.client.images.edit({ image, prompt: 'bluer' }))).toMatchObject({
        status: 400,
        code: 'operation_not_enabled',
      });
      expect(generationOnly.fake.requests).toEqual([]);
    } finally {
      await generationOnly.stop();
    }
  });
});
