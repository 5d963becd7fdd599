import { toFile } from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { apiError } from '../fixtures/openai-client.ts';
import { png, randomPng, sha256 } from '../fixtures/pictures.ts';
import { postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;

beforeAll(async () => {
  setting = await startSetting();
});
afterAll(() => setting.stop());

describe('stream: true', () => {
  it('gives a generation’s picture in a completed event [G01]', async () => {
    const picture = randomPng(1_000_000);
    setting.fake.draw(picture);
    const completed = [];
    const stream = await setting.client.images.generate({ model: 'gpt-image-2', prompt: 'a lighthouse', stream: true });
    for await (const event of stream) if (event.type === 'image_generation.completed') completed.push(event);
    setting.fake.draw(undefined);
    expect(completed).toHaveLength(1);
    expect(completed[0]).toMatchObject({
      created_at: expect.toSatisfy(Number.isInteger),
      size: '1024x1024',
      quality: 'medium',
      background: 'opaque',
      output_format: 'png',
      usage: { total_tokens: 1106 },
    });
    expect(sha256(Buffer.from(completed[0]?.b64_json ?? '', 'base64'))).toBe(sha256(picture));
  });

  it('gives an edit’s picture in a completed event of its own type [G02]', async () => {
    const image = await toFile(png(), 'a.png', { type: 'image/png' });
    const types: string[] = [];
    const stream = await setting.client.images.edit({ image, prompt: 'bluer', stream: true });
    for await (const event of stream) types.push(event.type);
    expect(types.at(-1)).toBe('image_edit.completed');
  });

  it('is server-sent events, each named like the type in its data', async () => {
    const answer = await postJson(
      `${setting.gateway.url}/v1/images/generations`,
      { prompt: 'a lighthouse', stream: true },
      { accept: 'application/json' },
    );
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(answer.headers.get('x-request-id')).toMatch(/\S/);
    const blocks = (await answer.text()).split('\n\n').filter((block) => block.startsWith('event: '));
    expect(blocks.length).toBeGreaterThan(0);
    for (const block of blocks) {
      const [, name, data = ''] = /^event: (\S+)\ndata: (.*)$/.exec(block) ?? [];
      expect(JSON.parse(data)).toMatchObject({ type: name });
    }
  });

  it('is an ordinary error when the call fails before the first event', async () => {
    const error = await apiError(
      setting.client.images.generate({ prompt: 'a lighthouse', size: '1000x1000', stream: true }),
    );
    expect(error).toMatchObject({ status: 400, param: 'size' });
  });

  it('never ends well without a completed event', async () => {
    setting.fake.next({ cut: 'mid_body' });
    const types: string[] = [];
    const consume = async (): Promise<void> => {
      const stream = await setting.client.images.generate({ prompt: 'a lighthouse', stream: true });
      for await (const event of stream) types.push(event.type);
    };
    await expect(consume()).rejects.toThrow();
    expect(types).not.toContain('image_generation.completed');
  });

  it('ends the call to the provider when the client breaks off', async () => {
    const { fake, gateway } = setting;
    const before = fake.requests.length;
    fake.next({ hold: new Promise(() => {}) });
    const controller = new AbortController();
    const call = postJson(
      `${gateway.url}/v1/images/generations`,
      { prompt: 'a lighthouse', stream: true },
      {},
      { signal: controller.signal },
    ).then((answer) => answer.text());
    await fake.until(() => fake.requests.length > before);
    controller.abort();
    await expect(call).rejects.toThrow();
    await fake.until(() => fake.requests.at(before)?.fate === 'aborted');
  });
});
