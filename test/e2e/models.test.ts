import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeOpenAi, upstreamKey, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { apiError } from '../fixtures/openai-client.ts';
import { startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;
let flux: FakeOpenAi;

beforeAll(async () => {
  const slashed = ['black-forest-labs/flux-schnell', 'z-image:16b'];
  flux = await startFakeOpenAi({ alsoKnown: slashed });
  setting = await startSetting({
    fake: { alsoKnown: slashed },
    config: (fake) =>
      gatewayConfig(
        [
          openAiEntity(fake),
          {
            id: 'flux-main',
            name: 'Flux, locally',
            provider: 'openai-compatible',
            config: {
              connection: { base_url: flux.baseUrl, token: upstreamKey, provider_name: 'flux-lab' },
              options: { generation: { model: 'z-image:16b' } },
            },
          },
        ],
        {
          aliases: {
            'image-prod': { targets: ['openai-main/gpt-image-1'] },
            'image-any': { strategy: 'failover', targets: ['openai-main/gpt-image-2', 'flux-main/z-image:16b'] },
          },
        },
      ),
  });
});
afterAll(async () => {
  await setting.stop();
  await flux.close();
});

describe('the model of a request', () => {
  it.each([
    ['an alias', 'image-prod', 'openai', 'gpt-image-1'],
    ['id###model', 'flux-main###z-image:16b', 'flux', 'z-image:16b'],
    ['id/model', 'flux-main/z-image:16b', 'flux', 'z-image:16b'],
    ['slug/model with hyphens', 'openai-provider/gpt-image-1', 'openai', 'gpt-image-1'],
    ['slug/model with underscores', 'openai_provider/gpt-image-1', 'openai', 'gpt-image-1'],
    ['provider type/model', 'openai/gpt-image-1.5', 'openai', 'gpt-image-1.5'],
    ['provider name/model', 'flux-lab/z-image:16b', 'flux', 'z-image:16b'],
    ['a bare model, which goes to the first ref', 'gpt-image-1-mini', 'openai', 'gpt-image-1-mini'],
    [
      'a model with slashes of its own, which goes to the first ref',
      'black-forest-labs/flux-schnell',
      'openai',
      'black-forest-labs/flux-schnell',
    ],
    [
      'a prefix before a model with slashes',
      'flux-main/black-forest-labs/flux-schnell',
      'flux',
      'black-forest-labs/flux-schnell',
    ],
  ])('may be %s [O06, O17, O18, O19, O20, G06]', async (_, model, server, upstreamModel) => {
    const fake = server === 'flux' ? flux : setting.fake;
    const { requests } = fake;
    await setting.client.images.generate({ model, prompt: 'a lighthouse' });
    expect(fake.requests).toHaveLength(requests.length + 1);
    expect(fake.last().members['model']).toBe(upstreamModel);
  });

  it('of an alias falls back to the next target when the first fails, and bills once', async () => {
    setting.fake.next({ status: 500, body: { error: { message: 'boom' } } });
    const { data, response } = await setting.client.images
      .generate({ model: 'image-any', prompt: 'a lighthouse' })
      .withResponse();
    expect(data.data).toHaveLength(1);
    expect(response.headers.get('x-pinhole-entity')).toBe('flux-main');
    expect(response.headers.get('x-pinhole-attempts')).toBe('2');
  });

  it('of an alias does not fall back when the request is at fault', async () => {
    const { requests } = flux;
    const error = await apiError(
      setting.client.images.generate({ model: 'image-any', prompt: 'a lighthouse', size: '1000x1000' }),
    );
    expect(error).toMatchObject({ status: 400, param: 'size' });
    expect(flux.requests).toHaveLength(requests.length);
  });
});

describe('GET /v1/models', () => {
  it('lists aliases and models in OpenAI’s form', async () => {
    const models = [];
    for await (const model of setting.client.models.list()) models.push(model);
    expect(models.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['image-prod', 'image-any', 'openai-main/gpt-image-2', 'flux-main/z-image:16b']),
    );
    for (const model of models) {
      expect(model).toEqual({
        id: expect.any(String),
        object: 'model',
        created: expect.toSatisfy(Number.isInteger),
        owned_by: expect.any(String),
      });
    }
  });

  it('gives one of them by its id, whose slash comes as %2F', async () => {
    expect(await setting.client.models.retrieve('openai-main/gpt-image-2')).toMatchObject({
      id: 'openai-main/gpt-image-2',
    });
    expect(await setting.client.models.retrieve('image-prod')).toMatchObject({ id: 'image-prod' });
  });

  it('answers 404 for an id that is not there', async () => {
    expect(await apiError(setting.client.models.retrieve('nobody/nothing'))).toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  });
});
