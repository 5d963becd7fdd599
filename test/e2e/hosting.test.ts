import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { callerKey } from '../fixtures/openai-client.ts';
import { randomPng, sha256 } from '../fixtures/pictures.ts';
import { jsonOf, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;
const picture = randomPng(100_000);

beforeAll(async () => {
  setting = await startSetting({
    config: (fake) =>
      gatewayConfig([openAiEntity(fake)], {
        consumers: [{ id: 'web-app', key: callerKey }],
      }),
  });
  setting.fake.draw(picture);
});
afterAll(() => setting.stop());

async function hostedUrl(): Promise<string> {
  const { data } = await setting.client.images.generate({ prompt: 'a lighthouse', response_format: 'url' });
  expect(Object.keys(data?.[0] ?? {})).toEqual(['url']);
  return data?.[0]?.url ?? '';
}

describe('response_format: url from a provider that gives bytes [I11, I23]', () => {
  it('is a link on the gateway that opens without a key, and with one', async () => {
    const url = await hostedUrl();
    expect(new URL(url).origin).toBe(setting.gateway.url);
    for (const headers of [{}, { authorization: `Bearer ${callerKey}` }]) {
      const answer = await fetch(url, { headers });
      expect(answer.headers.get('content-type')).toBe('image/png');
      expect(sha256(Buffer.from(await answer.arrayBuffer()))).toBe(sha256(picture));
    }
    expect(setting.fake.last().members).not.toHaveProperty('response_format');
  });

  it('can be looked at without its bytes, and in part', async () => {
    const url = await hostedUrl();
    const head = await fetch(url, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe(String(picture.byteLength));
    const part = await fetch(url, { headers: { range: 'bytes=10-19' } });
    expect(part.status).toBe(206);
    expect(Buffer.from(await part.arrayBuffer()).equals(picture.subarray(10, 20))).toBe(true);
  });

  it('cannot be guessed, and a name that is not there is a 404', async () => {
    const [one, other] = [await hostedUrl(), await hostedUrl()];
    expect(one).not.toBe(other);
    for (const name of ['nothing.png', '..%2f..%2fgateway.yaml', `${one.split('/').at(-1) ?? ''}x`]) {
      const answer = await fetch(`${setting.gateway.url}/v1/images/files/${name}`);
      expect(answer.status).toBe(404);
      expect(await jsonOf(answer)).toMatchObject({ error: { code: 'file_not_found' } });
    }
  });
});
