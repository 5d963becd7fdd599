import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayConfig, imagesPipeline, openAiEntity } from '../fixtures/gateway-config.ts';
import { png } from '../fixtures/pictures.ts';
import { jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;

beforeAll(async () => {
  setting = await startSetting({
    config(fake) {
      const images = { methods: ['POST'], pipeline: 'images', operation: 'generation', refs: ['openai-main'] };
      const routes = (['drop', 'reject', 'pass'] as const).map((policy) => ({
        id: policy,
        path: `/${policy}/v1/images/generations`,
        unsupported_params: policy,
        ...images,
      }));
      const wholes = { id: 'wholes', path: '/wholes/v1/images/generations', fanout: 'all_or_nothing', ...images };
      const files = { id: 'files', path: '/v1/images/files/:name', methods: ['GET'], pipeline: ['serve-image'] };
      return gatewayConfig([openAiEntity(fake)], {
        pipelines: { images: imagesPipeline },
        routes: [...routes, wholes, files],
      });
    },
  });
});
afterAll(() => setting.stop());

const post = (route: string, body: object): Promise<Response> =>
  postJson(`${setting.gateway.url}/${route}/v1/images/generations`, {
    model: 'gpt-image-2',
    prompt: 'a lighthouse',
    ...body,
  });

describe('a parameter that the provider cannot take', () => {
  it('is left out, and named in a header', async () => {
    const answer = await post('drop', { style: 'vivid', seed: 7, size: '1024x1024' });
    expect(answer.status).toBe(200);
    expect(answer.headers.get('x-pinhole-dropped-params')).toBe('style, seed');
    expect(setting.fake.last().members).toEqual({ model: 'gpt-image-2', prompt: 'a lighthouse', size: '1024x1024' });
  });

  it('makes no header where there is none', async () => {
    const answer = await post('drop', { size: '1024x1024' });
    expect(answer.headers.has('x-pinhole-dropped-params')).toBe(false);
  });

  it('is refused by its name where the route says so, before anything is sent', async () => {
    const before = setting.fake.requests.length;
    const answer = await post('reject', { seed: 7 });
    expect(answer.status).toBe(400);
    expect(await jsonOf(answer)).toMatchObject({ error: { code: 'unsupported_parameter', param: 'seed' } });
    expect(setting.fake.requests).toHaveLength(before);
    expect((await post('reject', { response_format: 'url', n: 2 })).status).toBe(200);
  });

  it('is sent all the same where the route says so, and the provider has its say', async () => {
    const answer = await post('pass', { seed: 7 });
    expect(setting.fake.last().members).toMatchObject({ seed: 7 });
    expect(answer.status).toBe(400);
    expect(await jsonOf(answer)).toMatchObject({ error: { param: 'seed', code: 'unknown_parameter' } });
  });
});

describe('more pictures than one request to the provider can have', () => {
  const dallE = { model: 'dall-e-3', response_format: 'b64_json' };

  it('are asked for in several; what succeeds is given, the rest is named [X05]', async () => {
    const before = setting.fake.requests.length;
    setting.fake.next({ status: 500 });
    const answer = await post('drop', { ...dallE, n: 3 });
    expect(answer.status).toBe(200);
    const { data } = (await answer.json()) as { readonly data: readonly { readonly b64_json: string }[] };
    expect(data.map(({ b64_json: text }) => text)).toEqual([png().toString('base64'), png().toString('base64')]);
    expect(answer.headers.get('x-pinhole-partial')).toBe('missing=1, codes="upstream_error"');
    expect(answer.headers.get('x-pinhole-attempts')).toBe('3');
    expect(setting.fake.requests).toHaveLength(before + 3);
  });

  it('fail together where the route wants all or nothing', async () => {
    setting.fake.next({ status: 500 });
    const answer = await post('wholes', { ...dallE, n: 3 });
    expect(answer.status).toBe(502);
    expect(answer.headers.has('x-pinhole-partial')).toBe(false);
  });
});

it('what models can do is told on the admin listener [O27]', async () => {
  const { gateway } = setting;
  const all = await (await fetch(`${gateway.adminUrl}/api/capabilities`)).json();
  expect(all).toMatchObject({
    entities: [
      {
        id: 'openai-main',
        provider: 'openai',
        models: expect.arrayContaining([
          {
            model: 'gpt-image-2',
            operations: {
              generation: expect.objectContaining({
                max_images: 10,
                parameters: expect.objectContaining({
                  size: 'native',
                  style: 'dropped',
                  seed: 'dropped',
                  response_format: 'emulated',
                }),
              }),
              edition: expect.objectContaining({ max_input_images: 16 }),
            },
          },
          expect.objectContaining({ model: 'gpt-image-1', retired: '2026-10-23', successor: 'gpt-image-2' }),
        ]),
      },
    ],
  });
  const one = await (await fetch(`${gateway.adminUrl}/api/capabilities?model=gpt-image-9`)).json();
  expect(one).toMatchObject({ entities: [{ models: [{ model: 'gpt-image-9' }] }] });
});
