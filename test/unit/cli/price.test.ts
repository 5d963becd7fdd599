import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity, sandboxEntity } from '../../fixtures/gateway-config.ts';
import { configFolder } from './folder.ts';
import { run } from './fake-terminal.ts';

const fake = { baseUrl: 'http://127.0.0.1:9/v1' };
const options = { generation: { quality: 'low', n: 2 }, edition: { enabled: true } };
const openAi = openAiEntity(fake, { config: { connection: { base_url: fake.baseUrl, token: 'sk-x' }, options } });
const compatible = {
  id: 'local-flux',
  provider: 'openai-compatible',
  config: { connection: { base_url: fake.baseUrl }, options: { generation: {} } },
};
const asleep = { id: 'xai-main', provider: 'x-ai', config: {} };
const file = gatewayConfig([openAi, compatible, asleep, sandboxEntity()], {
  aliases: { best: { targets: ['openai-main/gpt-image-2', 'sandbox/sandbox-1'] } },
  prices: [
    { entity: 'local-flux', model: '*', per_image: 0 },
    { entity: 'local-flux', model: 'flux', per_image: 0.017 },
    { provider: 'grok', model: 'grok-next', per_image: { '*': { '1k': 0.01, '2k': 0.02 } } },
  ],
});

/** What the command says about a file, as data. */
async function priceOf(...args: readonly string[]): Promise<Record<string, unknown>> {
  await using folder = await configFolder(file);
  const { out, err } = await run(['price', '--config', folder.config, '--format', 'json', ...args]);
  expect(err).toBe('');
  return JSON.parse(out) as Record<string, unknown>;
}

describe('price', () => {
  it('explains what a call costs, from the entry to the sum', async () => {
    await using folder = await configFolder(file);
    const args = ['--model', 'openai-main/gpt-image-2', '--size', '1024x1024', '--quality', 'high', '--n', '2'];
    const { code, out, err } = await run(['price', '--config', folder.config, ...args]);
    expect([code, err]).toEqual([0, '']);
    expect(out.split('\n').slice(0, 9)).toEqual([
      'openai-main/gpt-image-2: generation, quality high, size 1024x1024, n = 2',
      'at the most 0.422 USD',
      '',
      '  0.211 (quality high, size 1024x1024) = 0.211',
      '  0.211 × 2 pictures = 0.422',
      '',
      'rule      openai/gpt-image-2 of the built-in table of 2026-11-20',
      'figures   confirmed',
      expect.stringMatching(/^source {4}LiteLLM .* \(as of 2026-07-17\)$/),
    ]);
  });

  it('says the same as data', async () => {
    const args = ['--model', 'openai-main/gpt-image-2', '--size', '1024x1024', '--quality', 'high', '--n', '2'];
    expect(await priceOf(...args)).toMatchObject({
      model: 'gpt-image-2',
      provider: 'openai',
      entity: 'openai-main',
      operation: 'generation',
      size: '1024x1024',
      quality: 'high',
      n: 2,
      input_images: 0,
      kind: 'priced',
      cost_usd: 0.422,
      nano_usd: 422_000_000,
      basis: 'per_image',
      origin: 'table',
      entry: 'openai/gpt-image-2',
      compiled: '2026-11-20',
      unconfirmed: false,
      status: 'current',
      retired_on: null,
    });
  });

  it('takes from the entity what is not said', async () => {
    const { n, quality, cost_usd: cost } = await priceOf('--model', 'gpt-image-2', '--size', '1024x1024');
    expect([n, quality, cost]).toEqual([2, 'low', 0.012]);
  });

  it.each([
    ['openai-main/gpt-image-2', 'openai-main', 'gpt-image-2', []],
    ['openai-main###gpt-image-2', 'openai-main', 'gpt-image-2', []],
    ['openai_provider/gpt-image-2', 'openai-main', 'gpt-image-2', []],
    ['openai/gpt-image-2', 'openai-main', 'gpt-image-2', []],
    ['gpt-image-2', 'openai-main', 'gpt-image-2', ['azure-openai/gpt-image-2']],
    ['best', 'openai-main', 'gpt-image-2', ['sandbox/sandbox-1']],
    ['sandbox-1', 'sandbox', 'sandbox-1', []],
    ['flux', 'local-flux', 'flux', []],
    ['xai-main/grok-next', 'xai-main', 'grok-next', []],
    ['x-ai/grok-next', 'xai-main', 'grok-next', []],
    ['bfl/flux-2-pro', null, 'flux-2-pro', []],
    [
      'black-forest-labs/FLUX.1-schnell',
      null,
      'black-forest-labs/FLUX.1-schnell',
      ['black-forest-labs/FLUX.1-schnell'],
    ],
    ['hive/stabilityai/sdxl', null, 'stabilityai/sdxl', []],
  ])('understands a model as a route does: %s', async (asked, entity, model, others) => {
    expect(await priceOf('--model', asked)).toMatchObject({ entity, model, others });
  });

  it('goes by the prices of the file', async () => {
    expect(await priceOf('--model', 'local-flux/any')).toMatchObject({ cost_usd: 0, origin: 'file', sources: [] });
    expect(await priceOf('--model', 'local-flux/flux', '--n', '3')).toMatchObject({
      cost_usd: 0.051,
      entry: 'local-flux/flux',
    });
    // A price for a provider holds by each of its names, also at an entity that is inactive.
    const grok = ['--model', 'xai-main/grok-next', '--size', '1024x1024'];
    expect(await priceOf(...grok)).toMatchObject({ cost_usd: 0.01, entry: 'grok/grok-next' });
  });

  it('counts pictures that are sent along, steps, and says what the call is', async () => {
    const edit = ['--model', 'xai-main/grok-imagine-image', '--images', '2'];
    expect(await priceOf(...edit)).toMatchObject({ operation: 'edition', input_images: 2, cost_usd: 0.024 });
    expect(await priceOf(...edit, '--operation', 'generation')).toMatchObject({ operation: 'generation' });
    expect(await priceOf('--model', 'fireworks/SSD-1B', '--steps', '10')).toMatchObject({
      cost_usd: 0.0013,
      steps: 10,
    });
  });

  it.each([
    ['openai-main/gpt-image-1', /^status {4}RETIRED: shut down by its vendor on 2026-10-23$/m],
    ['openai-main/gpt-image-1.5', /^status {4}RETIRING: to be shut down by its vendor on 2026-12-01$/m],
    ['bfl/flux-2-pro', /^figures {3}UNCONFIRMED: single source$/m],
    ['luma/photon-1', /^status {4}legacy$/m],
    ['gpt-image-2', /^also {6}azure-openai\/gpt-image-2$/m],
    ['local-flux/x', /^rule {6}local-flux\/\* of the file's prices$/m],
  ])('marks what there is to mark: %s', async (model, mark) => {
    await using folder = await configFolder(file);
    const { code, out } = await run(['price', '--config', folder.config, '--model', model]);
    expect([code, out]).toEqual([0, expect.stringMatching(mark)]);
  });

  it.each([
    ['openai-main/nothing-like-it', 'neither the file nor the built-in table has one'],
    ['hive/stabilityai/sdxl', 'hive/stabilityai/sdxl of the built-in table of 2026-11-20'],
  ])('fails where there is no price, and takes nothing for free: %s', async (model, rule) => {
    await using folder = await configFolder(file);
    const { code, out } = await run(['price', '--config', folder.config, '--model', model]);
    expect(code).toBe(1);
    expect(out).toContain('no price is known');
    expect(out).toContain(`rule      ${rule}`);
  });

  it('goes by the built-in table alone where there is no file', async () => {
    await using folder = await configFolder(file, { 'empty/readme.txt': '' });
    const before = process.cwd();
    process.chdir(join(dirname(folder.config), 'empty'));
    try {
      const { code, out, err } = await run(['price', '--model', 'gpt-image-2', '--format', 'json']);
      expect([code, err]).toEqual([0, '']);
      expect(JSON.parse(out)).toMatchObject({ provider: 'openai', entity: null, cost_usd: 0.211 });
    } finally {
      process.chdir(before);
    }
  });

  it('fails for a model that nobody is known to have', async () => {
    await using folder = await configFolder(file);
    const { code, out, err } = await run(['price', '--config', folder.config, '--model', 'nothing-like-it']);
    expect([code, out]).toEqual([1, '']);
    expect(err).toContain('Nobody is known to have a model `nothing-like-it`');
  });

  it('shows what is wrong with the file, and misses one that was named', async () => {
    await using folder = await configFolder('version: 1\nprices: [{ provider: openai, model: a, per_image: -1 }]\n');
    const { code, out, err } = await run(['price', '--config', folder.config, '--model', 'gpt-image-2']);
    expect([code, out]).toEqual([1, '']);
    expect(err).toContain('`per_image` must be 0 or more');
    const missing = await run(['price', '--config', `${folder.config}.not`, '--model', 'gpt-image-2']);
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining('does not exist')]);
  });

  it.each([
    [[], '`--model` says whose price is wanted'],
    [['--model', ''], '`--model` says whose price is wanted'],
    [['--model', 'a', 'b'], '`b` is one argument too many'],
    [['--model', 'a', '--n', '0'], '`--n` must be a whole number, 1 or more'],
    [['--model', 'a', '--n', '1.5'], '`--n` must be a whole number, 1 or more'],
    [['--model', 'a', '--images', '-1'], '--images'],
    [['--model', 'a', '--images', 'two'], '`--images` must be a whole number, 0 or more'],
    [['--model', 'a', '--operation', 'upscale'], '`--operation` must be generation or edition'],
    [['--model', 'a', '--format', 'xml'], '`--format` must be text or json'],
    [['--modell', 'a'], '--modell'],
  ])('is told how it goes when it is used wrongly: %j', async (args, reason) => {
    const { code, out, err } = await run(['price', ...args]);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(reason);
  });

  it('has options that other commands do not take', async () => {
    const { code, err } = await run(['validate', '--model', 'a']);
    expect(code).toBe(2);
    expect(err).toContain('The command `validate` has no option `--model`.');
    expect((await run(['price', '--where', 'a=b'])).err).toContain('The command `price` has no option `--where`.');
  });
});
