/** What becomes of a call whose client leaves, as the route has it. */
import { randomUUID } from 'node:crypto';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayConfig, imagesPipeline, openAiEntity, openAiRoutes } from '../fixtures/gateway-config.ts';
import { randomPng, sha256 } from '../fixtures/pictures.ts';
import { formOf, jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';
import { ledgerRows, type UsageRow } from '../fixtures/usage.ts';

const patience = { timeout: 20_000 };
let setting: Setting;

beforeAll(async () => {
  const route = { methods: ['POST'], operation: 'generation', pipeline: 'images', refs: ['openai-main'] };
  setting = await startSetting({
    config: (fake) =>
      gatewayConfig([openAiEntity(fake)], {
        routes: [
          ...openAiRoutes(['openai-main']),
          { ...route, id: 'finish', path: '/finish', on_disconnect: 'finish' },
          { ...route, id: 'cancel', path: '/cancel', on_disconnect: 'cancel' },
        ],
        pipelines: { images: imagesPipeline },
      }),
  });
});
afterAll(() => setting.stop());

/** Sends a call and leaves when the provider is at work; `resume` lets the provider answer. */
async function leave(
  path: string,
  body: object = {},
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly id: string; readonly place: number; resume(): void }> {
  const { gateway, fake } = setting;
  const { promise, resolve } = Promise.withResolvers<void>();
  fake.next({ hold: promise });
  const place = fake.requests.length;
  const id = randomUUID();
  const leaving = new AbortController();
  const call = postJson(
    `${gateway.url}${path}`,
    { prompt: 'a lighthouse', ...body },
    { 'x-request-id': id, ...headers },
    { signal: leaving.signal },
  ).catch(() => 'left');
  await fake.until(() => fake.requests.length > place);
  leaving.abort();
  expect(await call).toBe('left');
  return { id, place, resume: resolve };
}

async function rowOf(id: string): Promise<UsageRow | undefined> {
  const rows = await ledgerRows(setting.gateway);
  return rows.find((row) => row.request_id === id && row.state !== 'reserved');
}

const logged = (id: string) =>
  setting.gateway.output.lines().find((line) => line['request_id'] === id && line['message'] === 'request');

async function hostedPictures(): Promise<number> {
  const { images } = await jsonOf(await fetch(`${setting.gateway.adminUrl}/api/images`));
  return Array.isArray(images) ? images.length : 0;
}

describe('a route without a word about it, and one with `on_disconnect: cancel` [X07]', () => {
  it.each(['/v1/images/generations', '/cancel'])('lets go of the provider, and charges the most: %s', async (path) => {
    const { fake } = setting;
    const { id, place, resume } = await leave(path);
    await fake.until(() => fake.requests[place]?.fate === 'aborted');
    resume();
    await expect.poll(() => rowOf(id), patience).toMatchObject({ status: 499, state: 'estimated', images: 1 });
  });

  it('with `cancel` a call under a key ends as well, and is not made again under it', async () => {
    const { fake, gateway } = setting;
    const key = { 'idempotency-key': randomUUID() };
    const { id, place, resume } = await leave('/cancel', {}, key);
    await fake.until(() => fake.requests[place]?.fate === 'aborted');
    resume();
    await expect.poll(() => rowOf(id), patience).toMatchObject({ status: 499 });
    const again = await postJson(`${gateway.url}/cancel`, { prompt: 'a lighthouse' }, key);
    expect(again.status).toBe(502);
    expect(again.headers.get('x-should-retry')).toBe('false');
    expect(fake.requests).toHaveLength(place + 1);
  });
});

describe('a route with `on_disconnect: finish` [X07]', () => {
  it('goes on to its end, keeps the picture where it hosts them, and charges what it has cost', async () => {
    const { fake } = setting;
    const before = await hostedPictures();
    const { id, place, resume } = await leave('/finish', { response_format: 'url' });
    resume();
    await expect.poll(() => rowOf(id), patience).toMatchObject({ status: 200, state: 'settled', images: 1 });
    expect(fake.requests[place]?.fate).toBe('answered');
    expect(await hostedPictures()).toBe(before + 1);
    await expect.poll(() => logged(id), patience).toMatchObject({ status: 200, client_gone: true });
  });

  it('reads an answer to its end that the client left in the middle', async () => {
    const { fake, gateway } = setting;
    fake.draw(randomPng(6_000_000));
    try {
      const id = randomUUID();
      const place = fake.requests.length;
      const leaving = new AbortController();
      const init = { signal: leaving.signal };
      const answer = await postJson(`${gateway.url}/finish`, { prompt: 'large' }, { 'x-request-id': id }, init);
      await answer.body?.getReader().read();
      leaving.abort();
      await expect.poll(() => rowOf(id), patience).toMatchObject({ status: 200, state: 'settled', images: 1 });
      expect(fake.requests[place]?.fate).toBe('answered');
    } finally {
      fake.draw(undefined);
    }
  });

  it('reads a stream to its last event, whose usage is what is charged', async () => {
    const { fake, gateway } = setting;
    const { promise, resolve } = Promise.withResolvers<void>();
    fake.next({ stream: { before: (sent) => (sent === 1 ? promise : undefined) } });
    const id = randomUUID();
    const place = fake.requests.length;
    const leaving = new AbortController();
    const body = { prompt: 'slowly', model: 'gpt-image-1', stream: true, partial_images: 2 };
    const init = { signal: leaving.signal };
    const answer = await postJson(`${gateway.url}/finish`, body, { 'x-request-id': id }, init);
    await answer.body?.getReader().read();
    leaving.abort();
    resolve();
    await expect.poll(() => rowOf(id), patience).toMatchObject({ status: 200, state: 'settled', images: 1 });
    expect(fake.requests[place]?.fate).toBe('answered');
  });

  it('keeps the answer under a key as always', async () => {
    const { gateway } = setting;
    const picture = randomPng(1000);
    setting.fake.draw(picture);
    try {
      const key = { 'idempotency-key': randomUUID() };
      const { resume } = await leave('/finish', {}, key);
      resume();
      const again = await postJson(`${gateway.url}/finish`, { prompt: 'a lighthouse' }, key);
      expect(again.headers.get('x-pinhole-idempotent-replay')).toBe('true');
      const { data } = (await again.json()) as { data: { b64_json: string }[] };
      expect(sha256(Buffer.from(data[0]?.b64_json ?? '', 'base64'))).toBe(sha256(picture));
    } finally {
      setting.fake.draw(undefined);
    }
  });

  it('sends nothing for a client that left before its request was complete', async () => {
    const { fake, gateway } = setting;
    const place = fake.requests.length;
    const id = randomUUID();
    const { hostname, port } = new URL(gateway.url);
    const socket = connect(Number(port), hostname);
    const head = `POST /finish HTTP/1.1\r\nhost: x\r\nx-request-id: ${id}\r\ncontent-type: application/json\r\n`;
    const part = `${head}content-length: 100\r\n\r\n{"prompt": "a light`;
    await new Promise<void>((resolve) => void socket.write(part, () => resolve()));
    socket.destroy();
    await expect.poll(() => logged(id), patience).toMatchObject({ status: 499 });
    expect(fake.requests).toHaveLength(place);
  });
});

describe('edits', () => {
  it('are let go of in the same way', async () => {
    const { fake, gateway } = setting;
    const { promise, resolve } = Promise.withResolvers<void>();
    fake.next({ hold: promise });
    const place = fake.requests.length;
    const leaving = new AbortController();
    const call = fetch(`${gateway.url}/v1/images/edits`, {
      method: 'POST',
      body: formOf({ prompt: 'brighter', image: randomPng(10_000) }),
      signal: leaving.signal,
    }).catch(() => 'left');
    await fake.until(() => fake.requests.length > place);
    leaving.abort();
    expect(await call).toBe('left');
    await fake.until(() => fake.requests[place]?.fate === 'aborted');
    resolve();
  });
});
