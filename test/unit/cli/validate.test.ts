import { describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity, sandboxEntity } from '../../fixtures/gateway-config.ts';
import { configFolder } from './folder.ts';
import { fakeTerminal, run } from './fake-terminal.ts';

describe('validate', () => {
  it('says so when the file is valid', async () => {
    await using folder = await configFolder(gatewayConfig([sandboxEntity()]));
    expect(await run(['validate', '--config', folder.config])).toEqual({
      code: 0,
      out: `${folder.config} is valid.\n`,
      err: '',
    });
  });

  it('warns of models that their vendors have shut down, and takes the file all the same', async () => {
    const fake = { baseUrl: 'http://127.0.0.1:9/v1' };
    const options = { generation: { model: 'gpt-image-1' }, edition: { enabled: true, model: 'gpt-image-2' } };
    const entity = openAiEntity(fake, { config: { connection: { token: 'sk-x' }, options } });
    const targets = ['openai-main/dall-e-3', 'openai-main/gpt-image-2', 'openai-main/some-day'];
    await using folder = await configFolder(gatewayConfig([entity], { aliases: { best: { targets } } }));
    const { code, out, err } = await run(['validate', '--config', folder.config]);
    expect([code, out]).toEqual([0, `${folder.config} is valid.\n`]);
    expect(err).toContain(
      'the model `gpt-image-1` was shut down by its vendor on 2026-10-23; `gpt-image-2` takes its place',
    );
    expect(err).toContain('the model `dall-e-3` was shut down');
    expect(err).toMatch(/\n\n2 warnings\.\n$/);
  });

  it('takes the shipped file', async () => {
    expect((await run(['validate', '-c', new URL('../../../gateway.yaml', import.meta.url).pathname])).code).toBe(0);
  });

  it('shows all problems with their places and the lines around them', async () => {
    const lines = [
      'version: 1',
      'serber: { listen: 127.0.0.1:0 }',
      'image_models: [{ id: box, provider: sandbocks }]',
      '',
    ];
    await using folder = await configFolder(lines.join('\n'));
    const { code, out, err } = await run(['validate', '--config', folder.config]);
    expect([code, out]).toEqual([1, '']);
    expect(err).toContain(`${folder.config}:2:1 `);
    expect(err).toContain(`${folder.config}:3:`);
    expect(err).toContain('did you mean `sandbox`?');
    expect(err).toContain('> 2 | serber: { listen: 127.0.0.1:0 }');
    expect(err).toMatch(/\n\n[2-9] problems\.\n$/);
    expect(err).not.toContain('\u001b[');
  });

  it('counts one problem as one, and shows colours where there are any', async () => {
    const order = gatewayConfig([sandboxEntity()], {
      routes: [
        {
          id: 'a',
          path: '/',
          pipeline: ['route-resolve', 'parse', 'forward'],
          refs: ['sandbox'],
          upstream: { url: 'http://127.0.0.1:1' },
        },
      ],
    });
    await using folder = await configFolder(order);
    const { code, err } = await run(['validate', '--config', folder.config], fakeTerminal({}, true));
    expect([code, err.endsWith('\n\n1 problem.\n')]).toEqual([1, true]);
    expect(err).toContain('\u001b[');
    expect(err).toContain('move `parse` above `route-resolve`');
  });

  it('knows what the extensions bring, and what is wrong with them', async () => {
    const stage = `{ name: 'mine', schema: { type: 'object' }, reads: [], writes: [], create: () => () => {} }`;
    const config = gatewayConfig([sandboxEntity()], {
      extensions: ['./mine.mjs'],
      routes: [{ id: 'a', path: '/', pipeline: ['mine', 'serve-image'] }],
    });
    await using folder = await configFolder(config, { 'mine.mjs': `export const stages = [${stage}];` });
    expect((await run(['validate', '--config', folder.config])).code).toBe(0);
    await using broken = await configFolder(config, { 'mine.mjs': 'export const stage = 1;' });
    const { code, err } = await run(['validate', '--config', broken.config]);
    expect(code).toBe(1);
    expect(err).toContain('this extension cannot be used: it exports neither `stages` nor `providers`');
    expect(err).toContain('there is no stage `mine`');
  });

  it('says what is wrong with a file that is not there', async () => {
    const { code, err } = await run(['validate', '--config', '/nonexistent/gateway.yaml']);
    expect([code, err.includes('/nonexistent/gateway.yaml:1:1')]).toEqual([1, true]);
  });

  it('shows no secret', async () => {
    const entity = openAiEntity({ baseUrl: 'https://user:sk-in-the-url@mirror.example/v1' }, { tags: 7 });
    await using folder = await configFolder(gatewayConfig([entity]));
    const { code, err } = await run(['validate', '--config', folder.config]);
    expect(code).toBe(1);
    expect(err).not.toContain('sk-');
  });

  it('takes variables from its terminal only', async () => {
    const config = gatewayConfig([sandboxEntity()], { admin: { listen: '${env:PINHOLE_TEST_LISTEN}' } });
    await using folder = await configFolder(config);
    const args = ['validate', '--config', folder.config];
    expect((await run(args, fakeTerminal({ PINHOLE_TEST_LISTEN: '127.0.0.1:0' }))).code).toBe(0);
    const { code, err } = await run(args);
    expect([code, err.includes('the variable PINHOLE_TEST_LISTEN is not set')]).toEqual([1, true]);
  });
});
