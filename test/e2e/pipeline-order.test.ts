import { describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity, sandboxEntity } from '../fixtures/gateway-config.ts';
import { runGateway } from '../fixtures/gateway.ts';
import { callerKey } from '../fixtures/openai-client.ts';
import { jsonOf, postJson, startSetting } from '../fixtures/setting.ts';

const sending = { plugin: 'fallback', config: { stages: ['provider-transform', 'dispatch', 'response-normalise'] } };

describe('the order of stages in the file', () => {
  it('is the order in which they run: the same request is refused by whichever gate stands first', async () => {
    const withOrder = (gates: readonly string[]) =>
      startSetting({
        config: (fake) =>
          gatewayConfig([openAiEntity(fake)], {
            consumers: [{ id: 'web-app', key: callerKey, models: { exclude: ['gpt-image-2'] } }],
            budgets: [{ id: 'nothing', limit: { images: 0 }, window: 'lifetime' }],
            pipelines: { images: ['authenticate', 'parse', 'route-resolve', ...gates, sending] },
          }),
      });
    for (const [gates, code] of [
      [['constrain', 'budget'], 'model_not_allowed'],
      [['budget', 'constrain'], 'budget_exceeded'],
    ] as const) {
      const setting = await withOrder(gates);
      const answer = await postJson(
        `${setting.gateway.url}/v1/images/generations`,
        { prompt: 'a lighthouse' },
        { 'x-api-key': callerKey },
      );
      expect(await jsonOf(answer)).toMatchObject({ error: { code } });
      await setting.stop();
    }
  });

  it('may be changed while the gateway runs, and a stage switched off', async () => {
    const pipelines = (decode: object | string) => ({
      images: ['authenticate', 'parse', 'route-resolve', 'constrain', 'budget', sending, decode],
    });
    const config = (decode: object | string) => gatewayConfig([sandboxEntity()], { pipelines: pipelines(decode) });
    const setting = await startSetting({ config: () => config('decode') });
    const mediaType = async (): Promise<string | null> => {
      const url = `${setting.gateway.url}/v1/images/generations`;
      const answer = await postJson(url, { prompt: 'a lighthouse' }, { accept: 'image/*' });
      await answer.arrayBuffer();
      return answer.headers.get('content-type');
    };
    expect(await mediaType()).toBe('image/png');
    await setting.gateway.apply(config({ plugin: 'decode', enabled: false }));
    expect(await mediaType()).toMatch(/^application\/json/);
    await setting.stop();
  });

  it('works as a flat list too', async () => {
    const flat = [
      'parse',
      'route-resolve',
      'constrain',
      'budget',
      'provider-transform',
      'dispatch',
      'response-normalise',
      'decode',
    ];
    const setting = await startSetting({
      config: (fake) => gatewayConfig([openAiEntity(fake)], { pipelines: { images: flat } }),
    });
    expect((await setting.client.images.generate({ prompt: 'a lighthouse' })).data).toHaveLength(1);
    await setting.stop();
  });

  it.each([
    [
      'constrain before route-resolve',
      ['authenticate', 'parse', 'constrain', 'route-resolve', sending],
      9,
      /route-resolve.*above.*constrain/,
    ],
    [
      'a budget that comes after the call',
      ['authenticate', 'parse', 'route-resolve', sending, 'budget'],
      11,
      /budget.*above/,
    ],
    [
      'authenticate after the gate that needs it',
      ['parse', 'route-resolve', 'constrain', 'authenticate', sending],
      9,
      /authenticate.*above.*constrain/,
    ],
    ['two calls', ['authenticate', 'parse', 'route-resolve', sending, sending], 11, /already/],
    ['no answer', ['authenticate', 'parse'], 8, /without an answer/],
  ])('is refused when it cannot work, with the place: %s', async (_, stages, line, advice) => {
    const config = [
      'version: 1',
      'server: { listen: "127.0.0.1:0" }',
      'admin: { listen: "127.0.0.1:0" }',
      'state: "memory:"',
      'image_models: [{ id: box, provider: sandbox }]',
      'pipelines: { images:  [',
      ...stages.map((stage) => `  ${JSON.stringify(stage)},`),
      '  ] }',
      'routes: [{ id: generate, path: /v1/images/generations, operation: generation, pipeline: images, refs: [box] }]',
      '',
    ].join('\n');
    const { code, stderr } = await runGateway({ config });
    expect(code).toBe(1);
    expect(stderr).toMatch(new RegExp(`gateway\\.yaml:${String(line)}:\\d+`));
    expect(stderr).toMatch(advice);
  });
});
