import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity, openAiRoutes } from '../fixtures/gateway-config.ts';
import { jpeg, png, randomPng, sha256, webp } from '../fixtures/pictures.ts';
import { formOf, jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;

beforeAll(async () => {
  setting = await startSetting({
    config: (fake) => {
      const raw = { methods: ['POST'], pipeline: 'images', refs: ['openai-main'], decode: true };
      return gatewayConfig([openAiEntity(fake)], {
        routes: [
          ...openAiRoutes(['openai-main']),
          { id: 'raw-generate', path: '/raw/generations', operation: 'generation', ...raw },
          { id: 'raw-edit', path: '/raw/edits', operation: 'edition', ...raw },
        ],
      });
    },
  });
});
afterAll(() => setting.stop());

const bytesOf = async (answer: Response): Promise<string> => sha256(Buffer.from(await answer.arrayBuffer()));

describe('a route with decode: true', () => {
  it.each([
    ['image/png', png],
    ['image/jpeg', jpeg],
    ['image/webp', webp],
  ])('answers a generation with raw %s, whatever was asked for [O07]', async (mediaType, make) => {
    const picture = await make();
    setting.fake.draw(picture);
    const answer = await postJson(`${setting.gateway.url}/raw/generations`, {
      prompt: 'a lighthouse',
      output_format: 'png',
    });
    setting.fake.draw(undefined);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe(mediaType);
    expect(answer.headers.get('content-length')).toBe(String(picture.byteLength));
    expect(await bytesOf(answer)).toBe(sha256(picture));
  });

  it('answers an edit with raw bytes, large ones too [O15]', async () => {
    const picture = randomPng(3_000_000);
    setting.fake.draw(picture);
    const answer = await fetch(`${setting.gateway.url}/raw/edits`, {
      method: 'POST',
      body: formOf({ prompt: 'bluer', image: png() }),
    });
    setting.fake.draw(undefined);
    expect(answer.headers.get('content-type')).toBe('image/png');
    expect(await bytesOf(answer)).toBe(sha256(picture));
  });

  it('fetches the picture where the provider gave a link', async () => {
    const answer = await postJson(`${setting.gateway.url}/raw/generations`, {
      model: 'dall-e-3',
      prompt: 'a lighthouse',
    });
    expect(answer.headers.get('content-type')).toBe('image/png');
    expect(await bytesOf(answer)).toBe(sha256(png()));
  });

  it('answers JSON when there are two pictures', async () => {
    const answer = await postJson(`${setting.gateway.url}/raw/generations`, { prompt: 'a lighthouse', n: 2 });
    expect(await jsonOf(answer)).toMatchObject({ data: [{}, {}] });
  });

  it('answers errors as JSON', async () => {
    const answer = await postJson(`${setting.gateway.url}/raw/generations`, { prompt: 'a lighthouse', size: '3x3' });
    expect(answer.status).toBe(400);
    expect(await jsonOf(answer)).toMatchObject({ error: { param: 'size' } });
  });
});

describe('the request header accept: image/…', () => {
  it('asks for raw bytes on any route', async () => {
    const answer = await postJson(
      `${setting.gateway.url}/v1/images/generations`,
      { prompt: 'a lighthouse', output_format: 'webp' },
      { accept: 'image/png, image/*' },
    );
    expect(answer.headers.get('content-type')).toBe('image/webp');
    expect(await bytesOf(answer)).toBe(sha256(await webp()));
  });

  it('works through OpenAI’s client', async () => {
    const image = await toFile(png(), 'a.png', { type: 'image/png' });
    const answer = await setting.client.images
      .edit({ image, prompt: 'bluer' }, { headers: { accept: 'image/png' } })
      .asResponse();
    expect(answer.headers.get('content-type')).toBe('image/png');
    expect(await bytesOf(answer)).toBe(sha256(png()));
  });

  it('does not change JSON for those who accept anything', async () => {
    const answer = await postJson(
      `${setting.gateway.url}/v1/images/generations`,
      { prompt: 'a lighthouse' },
      { accept: '*/*' },
    );
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
  });
});
