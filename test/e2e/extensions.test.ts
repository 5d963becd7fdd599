import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { gatewayConfig, imagesPipeline, sandboxEntity } from '../fixtures/gateway-config.ts';
import { runGateway, startGateway } from '../fixtures/gateway.ts';
import { jsonOf, postJson } from '../fixtures/setting.ts';

const publicDoor = fileURLToPath(new URL('../../src/index.ts', import.meta.url));

/** A stage that refuses prompts with a certain word, as an extender would write it. */
const wordGuard = (word: string): string => `
import { defineStage, GatewayError } from ${JSON.stringify(publicDoor)};

const wordGuard = defineStage({
  name: 'word-guard',
  schema: {
    type: 'object',
    additionalProperties: false,
    properties: { status: { type: 'integer', minimum: 400, maximum: 499, default: 400 } },
  },
  reads: ['call'],
  writes: [],
  before: ['reply'],
  create(config) {
    return function wordGuard({ call }) {
      if (call.prompt?.includes(${JSON.stringify(word)})) {
        throw new GatewayError('guard_blocked', 'Not that word.', { status: config.status, param: 'prompt' });
      }
    };
  },
});

export const stages = [wordGuard];
`;

const config = (guard: unknown) => {
  const [authenticate, parse, ...rest] = imagesPipeline;
  return gatewayConfig([sandboxEntity()], {
    extensions: ['./extensions/word-guard.ts'],
    pipelines: { images: [authenticate, parse, guard, ...rest] },
  });
};

describe('an extension', () => {
  it('brings a stage, and a new version of its module is live without a restart [X02]', async () => {
    const file = 'extensions/word-guard.ts';
    await using gateway = await startGateway({
      config: config({ plugin: 'word-guard', config: { status: 422 } }),
      files: { [file]: wordGuard('dragon') },
    });
    const statusFor = async (prompt: string): Promise<number> => {
      const answer = await postJson(`${gateway.url}/v1/images/generations`, { prompt });
      await answer.arrayBuffer();
      return answer.status;
    };
    expect(await statusFor('a dragon')).toBe(422);
    expect(await statusFor('a unicorn')).toBe(200);

    const { revision } = await gateway.status();
    await gateway.write(wordGuard('unicorn'), file);
    await gateway.until((status) => status.revision > revision);
    expect(await statusFor('a dragon')).toBe(200);
    expect(await statusFor('a unicorn')).toBe(422);

    const before = await gateway.status();
    await gateway.write('export const stages = [', file);
    await gateway.until((status) => status.last_error !== null);
    expect((await gateway.status()).revision).toBe(before.revision);
    expect(await statusFor('a unicorn')).toBe(422);
  });

  it('has its stage’s config checked like any other', async () => {
    const { code, stderr } = await runGateway({
      config: config({ plugin: 'word-guard', config: { status: 99, colour: 'blue' } }),
      files: { 'extensions/word-guard.ts': wordGuard('dragon') },
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/gateway\.yaml:\d+:\d+/);
    expect(stderr).toContain('colour');
    expect(stderr).toContain('status');
  });

  it.each([
    ['does not exist', undefined],
    ['cannot be parsed', 'export const stages = ['],
    ['throws', 'throw new Error("no luck");'],
    ['takes a name that is taken', wordGuard('x').replaceAll("name: 'word-guard'", "name: 'parse'")],
  ])('is refused at its line when it %s', async (_, module) => {
    const { code, stderr } = await runGateway({
      config: config('word-guard'),
      files: module === undefined ? {} : { 'extensions/word-guard.ts': module },
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/gateway\.yaml:\d+:\d+/);
    expect(stderr).toContain('word-guard.ts');
  });

  it('whose stage fails unexpectedly costs one answer of 500, and nothing else', async () => {
    const failing = wordGuard('x').replace('if (call', "if (call.prompt === 'boom') undefined.boom;\n      if (call");
    const gateway = await startGateway({
      config: config('word-guard'),
      files: { 'extensions/word-guard.ts': failing },
    });
    const url = `${gateway.url}/v1/images/generations`;
    const answer = await postJson(url, { prompt: 'boom' });
    expect(answer.status).toBe(500);
    expect(await jsonOf(answer)).toEqual({
      error: {
        message: expect.not.stringContaining('undefined'),
        type: 'server_error',
        param: null,
        code: 'internal_error',
      },
    });
    expect(answer.headers.get('x-should-retry')).toBe('false');
    expect((await postJson(url, { prompt: 'a cat' })).status).toBe(200);
    // A bug of ours is the one thing whose stack trace belongs into the log.
    await expect(gateway.stop()).rejects.toThrow('stack trace');
  });
});
