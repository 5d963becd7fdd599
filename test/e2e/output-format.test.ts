import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatOf, png } from '../fixtures/pictures.ts';
import { postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;

beforeAll(async () => {
  setting = await startSetting();
});
afterAll(() => setting.stop());

/** The dall-e family knows nothing of formats, so all of this is the gateway's own doing. */
const ask = (body: object, headers: Readonly<Record<string, string>> = {}): Promise<Response> =>
  postJson(
    `${setting.gateway.url}/v1/images/generations`,
    { model: 'dall-e-3', prompt: 'a lighthouse', ...body },
    headers,
  );

interface Answer {
  readonly output_format: string;
  readonly data: readonly { readonly b64_json?: string; readonly url?: string }[];
}

describe.each(['png', 'jpeg', 'webp'])('output_format %s from a provider that has none [I14]', (format) => {
  it('is what comes as base64', async () => {
    const answer = await ask({ output_format: format, response_format: 'b64_json', output_compression: 60 });
    expect(answer.headers.has('x-pinhole-dropped-params')).toBe(false);
    const { output_format: told, data } = (await answer.json()) as Answer;
    expect(told).toBe(format);
    expect(formatOf(Buffer.from(data[0]?.b64_json ?? '', 'base64'))).toBe(format);
    expect(setting.fake.last().members).not.toHaveProperty('output_format');
  });

  it('is what a link leads to', async () => {
    const answer = await ask({ output_format: format, response_format: 'url' });
    const { data } = (await answer.json()) as Answer;
    const opened = await fetch(data[0]?.url ?? '');
    expect(opened.headers.get('content-type')).toBe(`image/${format}`);
    expect(formatOf(Buffer.from(await opened.arrayBuffer()))).toBe(format);
  });

  it('is what comes as raw bytes', async () => {
    const answer = await ask({ output_format: format }, { accept: 'image/*' });
    expect(answer.headers.get('content-type')).toBe(`image/${format}`);
    expect(formatOf(Buffer.from(await answer.arrayBuffer()))).toBe(format);
  });
});

it('a picture that needs no other format is not touched', async () => {
  const answer = await ask({ output_format: 'png', response_format: 'b64_json' });
  const { data } = (await answer.json()) as Answer;
  expect(data[0]?.b64_json).toBe(png().toString('base64'));
});
