/** The fake is worth as much as it refuses: these tests hold it to OpenAI's own refusals. */
import OpenAI, { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeOpenAi, upstreamKey, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { apiError } from '../fixtures/openai-client.ts';
import { dataUri, formatOf, jpeg, maskPng, png, pngHeader, randomPng, sha256, webp } from '../fixtures/pictures.ts';

let fake: FakeOpenAi;
let client: OpenAI;

beforeAll(async () => {
  fake = await startFakeOpenAi();
  client = new OpenAI({ baseURL: fake.baseUrl, apiKey: upstreamKey, maxRetries: 0 });
});
afterAll(() => fake.close());

const post = (path: string, body: object): Promise<Response> =>
  fetch(`${fake.baseUrl}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${upstreamKey}` },
    body: JSON.stringify(body),
  });

describe('the fake OpenAI', () => {
  it.each([
    [{ response_format: 'url' }, 'response_format', 'unknown_parameter'],
    [{ style: 'vivid' }, 'style', 'unknown_parameter'],
    [{ seed: 1 }, 'seed', 'unknown_parameter'],
    [{ size: '1000x1000' }, 'size', 'invalid_value'],
    [{ quality: 'xhigh' }, 'quality', 'invalid_value'],
    [{ quality: 'hd' }, 'quality', 'invalid_value'],
    [{ n: 0 }, 'n', 'integer_below_min_value'],
    [{ n: 11 }, 'n', 'integer_above_max_value'],
    [{ n: '2' }, 'n', 'invalid_type'],
    [{ background: 'transparent', output_format: 'jpeg' }, 'background', 'invalid_value'],
    [{ output_compression: 50 }, 'output_compression', 'invalid_value'],
    [{ prompt: '' }, 'prompt', 'missing_required_parameter'],
    [{ prompt: 'x'.repeat(32_001) }, 'prompt', 'string_above_max_length'],
  ])('refuses a generation by gpt-image-2 with %j', async (members, param, code) => {
    const response = await post('/images/generations', { model: 'gpt-image-2', prompt: 'a cat', ...members });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param, code } });
  });

  it.each([
    [{ n: 2 }, 'n'],
    [{ output_format: 'png' }, 'output_format'],
    [{ quality: 'high' }, 'quality'],
  ])('refuses a generation by dall-e-3 with %j', async (members, param) => {
    const response = await post('/images/generations', { model: 'dall-e-3', prompt: 'a cat', ...members });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { param } });
  });

  it('refuses a missing and a wrong key, and models that do not exist', async () => {
    const keyless = await fetch(`${fake.baseUrl}/images/generations`, { method: 'POST' });
    expect(keyless.status).toBe(401);
    expect(
      await apiError(client.withOptions({ apiKey: 'sk-wrong' }).images.generate({ prompt: 'a cat' })),
    ).toMatchObject({ status: 401, code: 'invalid_api_key' });
    expect(await apiError(client.images.generate({ model: 'dall-e-2', prompt: 'a cat' }))).toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  });

  it('answers gpt-image with base64 and usage, dall-e-3 with a link', async () => {
    const billed = fake.billed;
    const modern = await client.images.generate({ model: 'gpt-image-2', prompt: 'a cat', n: 2, size: '2048x1024' });
    expect(modern).toMatchObject({ size: '2048x1024', usage: { total_tokens: 1106 } });
    expect(modern.data).toHaveLength(2);
    expect(fake.billed - billed).toBe(2);
    const legacy = await client.images.generate({ model: 'dall-e-3', prompt: 'a cat' });
    const picture = await fetch(legacy.data?.[0]?.url ?? '');
    expect(formatOf(Buffer.from(await picture.arrayBuffer()))).toBe('png');
  });

  it('takes several pictures under image[], and keeps a record of them', async () => {
    const pictures = [png(), await jpeg(), await webp()];
    const image = await Promise.all(
      pictures.map((bytes) => toFile(bytes, 'a', { type: `image/${formatOf(bytes) ?? ''}` })),
    );
    await client.images.edit({ model: 'gpt-image-2', prompt: 'a cat', image });
    expect(fake.last().pictures.map((picture) => picture.sha256)).toEqual(pictures.map(sha256));
  });

  it.each([
    ['image repeated', { image: [png(), png()] }, 'duplicate_parameter'],
    ['no picture', {}, 'missing_required_parameter'],
    ['a mask of another size', { image: [png()], mask: [maskPng(4, 4)] }, 'invalid_mask_image_format'],
    ['a mask that is no PNG', { image: [png()], mask: [Buffer.from('text')] }, 'invalid_image_file'],
    ['a picture that is none', { image: [Buffer.from('text')] }, 'invalid_image_file'],
    ['an unknown file', { image: [png()], sketch: [png()] }, 'unknown_parameter'],
  ])('refuses an edit with %s', async (_, files, code) => {
    const form = new FormData();
    form.set('model', 'gpt-image-2');
    form.set('prompt', 'a cat');
    for (const [name, pictures] of Object.entries(files)) {
      for (const bytes of pictures)
        form.append(name, new File([Uint8Array.from(bytes)], 'a.png', { type: 'image/png' }));
    }
    const response = await fetch(`${fake.baseUrl}/images/edits`, {
      method: 'POST',
      headers: { authorization: `Bearer ${upstreamKey}` },
      body: form,
    });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code } });
  });

  it('refuses octet-stream pictures and input_fidelity for gpt-image-2', async () => {
    const image = await toFile(png(), 'a.png', { type: 'application/octet-stream' });
    expect(await apiError(client.images.edit({ model: 'gpt-image-2', prompt: 'a cat', image }))).toMatchObject({
      code: 'unsupported_file_mimetype',
    });
    const typed = await toFile(png(), 'a.png', { type: 'image/png' });
    expect(
      await apiError(
        client.images.edit({ model: 'gpt-image-2', prompt: 'a cat', image: typed, input_fidelity: 'high' }),
      ),
    ).toMatchObject({ code: 'invalid_input_fidelity_model' });
  });

  it.each([
    ['both keys', [{ image_url: dataUri(png()), file_id: 'file-1' }]],
    ['bare base64', [{ image_url: png().toString('base64') }]],
    ['no pictures', []],
  ])('refuses a JSON edit with %s', async (_, images) => {
    const response = await post('/images/edits', { model: 'gpt-image-2', prompt: 'a cat', images });
    expect(response.status).toBe(400);
  });

  it('takes a JSON edit', async () => {
    const images = [{ image_url: dataUri(png()) }, { file_id: 'file-1' }];
    const response = await post('/images/edits', { model: 'gpt-image-2', prompt: 'a cat', images });
    expect(response.status).toBe(200);
    expect(fake.last().pictures[0]?.sha256).toBe(sha256(png()));
  });

  it('streams partial and completed pictures', async () => {
    const types: string[] = [];
    const stream = await client.images.generate({
      model: 'gpt-image-2',
      prompt: 'a cat',
      stream: true,
      partial_images: 1,
    });
    for await (const event of stream) types.push(event.type);
    expect(types).toEqual(['image_generation.partial_image', 'image_generation.completed']);
  });

  it('fails as scripted, once for each script', async () => {
    fake.next({ status: 429, body: { error: { message: 'slow down' } }, headers: { 'retry-after': '3' } });
    fake.next({ cut: 'mid_body' });
    const call = () => client.images.generate({ model: 'gpt-image-2', prompt: 'a cat' });
    expect(await apiError(call())).toMatchObject({ status: 429 });
    await expect(call()).rejects.toThrow();
    expect((await call()).data).toHaveLength(1);
  });
});

describe('random pictures', () => {
  it.each([10_000, 123_457, 3_000_000])('are PNGs of exactly %i bytes', (byteLength) => {
    const picture = randomPng(byteLength);
    expect(picture.byteLength).toBe(byteLength);
    expect(pngHeader(picture).width).toBe(512);
  });
});
