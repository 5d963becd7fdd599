import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { picturesOf } from '../fixtures/openai-client.ts';
import { dataUri, png, randomPng, sha256 } from '../fixtures/pictures.ts';
import { formOf, jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;

beforeAll(async () => {
  setting = await startSetting({ fake: { tolerates: ['complexity'] } });
});
afterAll(() => setting.stop());

describe('POST /v1/images/generations', () => {
  it('answers a prompt with a picture by the default model [O01, O20]', async () => {
    const { client, fake } = setting;
    const response = await client.images.generate({ prompt: 'a lighthouse' });
    expect(picturesOf(response).map(sha256)).toEqual([sha256(png())]);
    expect(Math.abs(response.created - Date.now() / 1000)).toBeLessThan(60);
    expect(fake.last().members).toEqual({ model: 'gpt-image-2', prompt: 'a lighthouse' });
  });

  it('gives as many pictures as were asked for, with usage and what was really made [G22, G23]', async () => {
    const { client } = setting;
    const response = await client.images.generate({
      model: 'gpt-image-2',
      prompt: 'a lighthouse',
      n: 2,
      size: '1536x1024',
      quality: 'low',
      background: 'opaque',
      output_format: 'webp',
      output_compression: 60,
      moderation: 'low',
      user: 'alice',
    });
    expect(response).toMatchObject({
      size: '1536x1024',
      quality: 'low',
      background: 'opaque',
      output_format: 'webp',
      usage: { total_tokens: 1106, input_tokens_details: { text_tokens: 50, image_tokens: 0 } },
    });
    expect(response.data).toHaveLength(2);
    expect(setting.fake.last().members).toEqual({
      model: 'gpt-image-2',
      prompt: 'a lighthouse',
      n: 2,
      size: '1536x1024',
      quality: 'low',
      background: 'opaque',
      output_format: 'webp',
      output_compression: 60,
      moderation: 'low',
      user: 'alice',
    });
  });

  it('leaves the bytes of a large picture as they are', async () => {
    const { client, fake } = setting;
    const picture = randomPng(5_000_000);
    fake.draw(picture);
    const response = await client.images.generate({ prompt: 'noise' });
    fake.draw(undefined);
    expect(picturesOf(response).map(sha256)).toEqual([sha256(picture)]);
  });

  it('has no null members in its answer, and answers integers for seconds', async () => {
    const answer = await postJson(`${setting.gateway.url}/v1/images/generations`, { prompt: 'a lighthouse' });
    const text = await answer.text();
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    expect(text).not.toContain('null');
    expect(JSON.parse(text)).toMatchObject({ created: expect.toSatisfy(Number.isInteger) });
  });

  it('does not pass response_format to a GPT image model, and answers base64 [G18]', async () => {
    const { client, fake } = setting;
    const response = await client.images.generate({
      model: 'openai/gpt-image-2',
      prompt: 'a lighthouse',
      response_format: 'b64_json',
    });
    expect(picturesOf(response)).toHaveLength(1);
    expect(fake.last().members).not.toHaveProperty('response_format');
  });

  it.each(['url', 'b64_json'] as const)('gives a dall-e-3 picture as %s when that is asked', async (format) => {
    const response = await setting.client.images.generate({
      model: 'dall-e-3',
      prompt: 'a lighthouse',
      response_format: format,
      style: 'natural',
    });
    const [picture] = response.data ?? [];
    expect(picture?.revised_prompt).toBe('A revised prompt.');
    expect(Object.keys(picture ?? {}).toSorted()).toEqual([format, 'revised_prompt'].toSorted());
  });

  it('takes null for not said', async () => {
    const { client, fake } = setting;
    await client.images.generate({
      prompt: 'a lighthouse',
      model: null,
      n: null,
      size: null,
      quality: null,
      background: null,
      output_format: null,
      output_compression: null,
      moderation: null,
      response_format: null,
      style: null,
      stream: null,
      partial_images: null,
    });
    expect(fake.last().members).toEqual({ model: 'gpt-image-2', prompt: 'a lighthouse' });
  });

  it('passes unknown members on to a provider of the OpenAI dialect', async () => {
    const { gateway, fake } = setting;
    const url = `${gateway.url}/v1/images/generations`;
    const taken = await postJson(url, { prompt: 'a lighthouse', complexity: { level: [1, 'two'] } });
    expect(taken.status).toBe(200);
    expect(fake.last().members['complexity']).toEqual({ level: [1, 'two'] });
    const refused = await postJson(url, { prompt: 'a lighthouse', future_thing: 1 });
    expect(refused.status).toBe(400);
    expect(await jsonOf(refused)).toMatchObject({ error: { param: 'future_thing', code: 'unknown_parameter' } });
  });

  it('takes a form, in which numbers are text', async () => {
    const { gateway, fake } = setting;
    const answer = await fetch(`${gateway.url}/v1/images/generations`, {
      method: 'POST',
      body: formOf({
        prompt: 'a lighthouse',
        n: '2',
        output_format: 'jpeg',
        output_compression: '70',
        stream: 'false',
      }),
    });
    expect(answer.status).toBe(200);
    expect(fake.last().members).toEqual({
      model: 'gpt-image-2',
      prompt: 'a lighthouse',
      n: 2,
      output_format: 'jpeg',
      output_compression: 70,
    });
  });

  it('is an edit when there is a picture in it [I01, I03]', async () => {
    const { gateway, fake } = setting;
    const url = `${gateway.url}/v1/images/generations`;
    const forms = [formOf({ prompt: 'add a boat', image: png() }), { prompt: 'add a boat', image: dataUri(png()) }];
    for (const form of forms) {
      const answer =
        form instanceof FormData ? await fetch(url, { method: 'POST', body: form }) : await postJson(url, form);
      expect(answer.status).toBe(200);
      expect(fake.last()).toMatchObject({ path: '/v1/images/edits', pictures: [{ sha256: sha256(png()) }] });
    }
  });

  it('takes query members and client headers that it does not know, and keeps them to itself', async () => {
    const { gateway, fake } = setting;
    const answer = await postJson(
      `${gateway.url}/v1/images/generations?api-version=2025-04-01-preview`,
      { prompt: 'a lighthouse' },
      {
        'x-stainless-lang': 'js',
        'openai-organization': 'org-caller',
        'x-openwebui-user-email': 'a@b.example',
        cookie: 'session=1',
      },
    );
    expect(answer.status).toBe(200);
    const { path, headers } = fake.last();
    expect(path).toBe('/v1/images/generations');
    for (const name of ['x-stainless-lang', 'openai-organization', 'x-openwebui-user-email', 'cookie']) {
      expect(headers).not.toHaveProperty(name);
    }
  });

  it('tells in headers who served the call, and under which id', async () => {
    const { gateway } = setting;
    const answer = await postJson(
      `${gateway.url}/v1/images/generations`,
      { prompt: 'a lighthouse' },
      { 'x-request-id': 'caller-17' },
    );
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'x-request-id': 'caller-17',
      'x-pinhole-entity': 'openai-main',
      'x-pinhole-provider': 'openai',
      'x-pinhole-model': 'gpt-image-2',
      'x-pinhole-attempts': '1',
      'server-timing': expect.stringContaining('dispatch;dur='),
    });
    const { _request_id: id } = await setting.client.images.generate({ prompt: 'a lighthouse' });
    expect(id).toMatch(/\S{8,}/);
  });
});
