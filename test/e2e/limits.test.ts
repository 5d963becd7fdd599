import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity, openAiRoutes } from '../fixtures/gateway-config.ts';
import { png, randomPng } from '../fixtures/pictures.ts';
import { formOf, jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';

let setting: Setting;
const limit = 1_000_000;

beforeAll(async () => {
  setting = await startSetting({
    config: (fake) =>
      gatewayConfig([openAiEntity(fake)], {
        routes: openAiRoutes(['openai-main'], { max_size_upload: limit }),
      }),
  });
});
afterAll(() => setting.stop());

const editsUrl = (): string => `${setting.gateway.url}/v1/images/edits`;

describe('a body over max_size_upload', () => {
  it.each([
    ['a form', () => formOf({ prompt: 'bluer', image: randomPng(3 * limit) }), undefined],
    ['JSON', () => JSON.stringify({ prompt: 'x'.repeat(2 * limit) }), 'application/json'],
  ])('is answered 413 when it is %s, readable by an ordinary client [O14]', async (_, makeBody, type) => {
    const requests = setting.fake.requests.length;
    const answer = await fetch(editsUrl(), {
      method: 'POST',
      body: makeBody(),
      ...(type === undefined ? {} : { headers: { 'content-type': type } }),
    });
    expect(answer.status).toBe(413);
    expect(await jsonOf(answer)).toMatchObject({ error: { code: 'payload_too_large', type: 'invalid_request_error' } });
    expect(setting.fake.requests).toHaveLength(requests);
  });

  it('is answered 413 when it comes in pieces without a length', async () => {
    const pieces = Array.from({ length: 40 }, () => new Uint8Array(100_000));
    const answer = await fetch(editsUrl(), {
      method: 'POST',
      body: ReadableStream.from(pieces),
      duplex: 'half',
      headers: { 'content-type': 'multipart/form-data; boundary=x' },
    });
    // What comes first, the malformed beginning or the length, is not ours to say; that it ends well is.
    expect([400, 413]).toContain(answer.status);
    expect(await jsonOf(answer)).toMatchObject({ error: { message: expect.any(String) } });
  });

  it('leaves the gateway in order: the next request on a new or the same connection is served', async () => {
    for (let round = 0; round < 3; round += 1) {
      const refused = await fetch(editsUrl(), { method: 'POST', body: formOf({ image: randomPng(2 * limit) }) });
      expect(refused.status).toBe(413);
      await refused.text();
      const served = await fetch(editsUrl(), { method: 'POST', body: formOf({ prompt: 'bluer', image: png() }) });
      expect(served.status).toBe(200);
      await served.text();
    }
  });

  it('is refused by its announced length before it is sent', async () => {
    const socket = await open();
    socket.write(
      `POST /v1/images/edits HTTP/1.1\r\nhost: a\r\ncontent-type: multipart/form-data; boundary=x\r\n` +
        `content-length: ${String(50 * limit)}\r\nexpect: 100-continue\r\n\r\n`,
    );
    const [first]: unknown[] = await once(socket, 'data');
    expect(String(first)).toMatch(/^HTTP\/1\.1 413 /);
    socket.destroy();
  });

  it('is taken when it is just within the limit', async () => {
    const form = formOf({ prompt: 'bluer', image: randomPng(limit - 1000) });
    const answer = await fetch(editsUrl(), { method: 'POST', body: form });
    expect(answer.status).toBe(200);
  });
});

describe('a connection', () => {
  it('serves one request after the other, and pipelined ones in order', async () => {
    const socket = await open();
    const body = JSON.stringify({ prompt: 'a lighthouse' });
    const head = (path: string, length: number): string =>
      `POST ${path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: ${String(length)}\r\n\r\n`;
    socket.write(`${head('/v1/images/generations', body.length)}${body}${head('/nowhere', 2)}{}`);
    const text = await readUntil(socket, '"route_not_found"');
    expect([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(['200', '404']);
    socket.destroy();
  });

  it('is answered in OpenAI’s form and closed when its bytes are no HTTP', async () => {
    const socket = await open();
    socket.write('GET / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\ncontent-length: 3\r\n\r\nabc');
    const text = await readUntil(socket, undefined);
    expect(text).toMatch(/^HTTP\/1\.1 400 /);
    expect(text).toContain('"error":');
  });

  it('is served while another sends nothing', async () => {
    const idle = await open();
    idle.write('POST /v1/images/generations HTTP/1.1\r\nhost: a\r\n');
    const answer = await postJson(`${setting.gateway.url}/v1/images/generations`, { prompt: 'a lighthouse' });
    expect(answer.status).toBe(200);
    idle.destroy();
  });
});

async function open(): Promise<Socket> {
  const { hostname, port } = new URL(setting.gateway.url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  return socket;
}

/** What comes until some text has come; undefined: until the end. */
async function readUntil(socket: Socket, wanted: string | undefined): Promise<string> {
  let text = '';
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    text += chunk.toString('utf8');
    if (wanted !== undefined && text.includes(wanted)) break;
  }
  return text;
}
