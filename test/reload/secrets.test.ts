import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../fixtures/openai-client.ts';

let fake: FakeOpenAi;
let gateway: Gateway;
const caller = { old: 'sk-caller-old-1a', new: 'sk-caller-new-2b' };
const upstream = { old: 'sk-upstream-old-3c', new: 'sk-upstream-new-4d' };

beforeAll(async () => {
  fake = await startFakeOpenAi({ keys: Object.values(upstream) });
  gateway = await startGateway({
    files: { 'secrets/caller': caller.old, 'secrets/upstream': `${upstream.old}\n` },
    config: gatewayConfig(
      [openAiEntity(fake, { config: { connection: { base_url: fake.baseUrl, token: '${file:secrets/upstream}' } } })],
      { consumers: [{ id: 'web-app', key: '${file:./secrets/caller}' }] },
    ),
  });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await fake.close();
});

const generate = (apiKey: string) => openAiClient(gateway, { apiKey }).images.generate({ prompt: 'a lighthouse' });
const tokenOf = (call: number): string | undefined => fake.requests.at(call)?.headers.authorization?.slice(7);

describe('rotating secrets while calls are under way [R7]', () => {
  it('lets the calls of a removed key finish, refuses it afterwards, and never uses the old token again', async () => {
    const { promise: hold, resolve: release } = Promise.withResolvers<void>();
    fake.always({ hold });
    const calls = Array.from({ length: 50 }, () => generate(caller.old));
    await fake.until(() => fake.requests.length === calls.length);
    fake.always(undefined);

    const { revision } = await gateway.status();
    await gateway.write(caller.new, 'secrets/caller');
    await gateway.until((status) => status.revision > revision);
    expect(await apiError(generate(caller.old))).toMatchObject({ status: 401, code: 'invalid_api_key' });
    expect(picturesOf(await generate(caller.new))).toHaveLength(1);

    const rotated = await gateway.status();
    await gateway.write(`${upstream.new}\n`, 'secrets/upstream');
    await gateway.until((status) => status.revision > rotated.revision);
    await generate(caller.new);
    expect(tokenOf(-1)).toBe(upstream.new);

    release();
    for (const answer of await Promise.all(calls)) expect(picturesOf(answer)).toHaveLength(1);
    await generate(caller.new);
    expect(tokenOf(-1)).toBe(upstream.new);
  });

  it('keeps the last good one when the file of a secret disappears', async () => {
    const { revision } = await gateway.status();
    await rm(`${gateway.dir}/secrets/caller`);
    const status = await gateway.until(({ last_error: error }) => error !== null);
    expect(status.revision).toBe(revision);
    expect(picturesOf(await generate(caller.new))).toHaveLength(1);
    await gateway.write(caller.new, 'secrets/caller');
    await gateway.until(({ last_error: error }) => error === null);
  });
});
