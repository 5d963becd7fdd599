/** R19: more requests than the gateway takes are refused at once, and those under way are finished. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';
import { ledgerRows } from '../fixtures/usage.ts';

let setting: Setting;
const config = (maxRequests: number) =>
  gatewayConfig([openAiEntity(setting.fake)], { server: { listen: '127.0.0.1:0', max_requests: maxRequests } });

beforeAll(async () => {
  setting = await startSetting({
    config: (fake) => gatewayConfig([openAiEntity(fake)], { server: { listen: '127.0.0.1:0', max_requests: 2 } }),
  });
});
afterAll(() => setting.stop());

const generate = (members: object = {}): Promise<Response> =>
  postJson(`${setting.gateway.url}/v1/images/generations`, { prompt: 'a lighthouse', ...members });

/** Two calls that the provider is at. */
async function occupy(): Promise<{ readonly calls: readonly Promise<Response>[]; release(): void }> {
  const { fake } = setting;
  const { promise, resolve } = Promise.withResolvers<void>();
  const place = fake.requests.length;
  fake.next({ hold: promise });
  fake.next({ hold: promise });
  const calls = [generate(), generate()];
  await fake.until(() => fake.requests.length === place + 2);
  return { calls, release: resolve };
}

async function expectOverloaded(answer: Response): Promise<void> {
  expect(answer.status).toBe(503);
  expect(answer.headers.get('retry-after')).toMatch(/^[1-5]$/);
  expect(answer.headers.get('x-should-retry')).toBe('true');
  expect(answer.headers.get('x-request-id')).toMatch(/./);
  expect(await jsonOf(answer)).toEqual({
    error: { message: expect.any(String), type: 'upstream_error', param: null, code: 'overloaded' },
  });
}

describe('a gateway with `max_requests: 2`', () => {
  it('refuses the third, takes no note of it in the ledger, and takes one again when there is room', async () => {
    const { gateway, fake } = setting;
    const { calls, release } = await occupy();
    const sent = fake.requests.length;
    await expectOverloaded(await generate());
    await expectOverloaded(await generate({ stream: true }));
    await expectOverloaded(await fetch(`${gateway.url}/v1/models`));
    expect(fake.requests).toHaveLength(sent);
    expect(await ledgerRows(gateway)).toHaveLength(2);
    // What is answered without work is answered.
    expect((await fetch(`${gateway.url}/nowhere`)).status).toBe(404);
    expect((await fetch(`${gateway.adminUrl}/healthz`)).status).toBe(200);
    release();
    for (const call of calls) {
      const answer = await call;
      await answer.text();
      expect(answer.status).toBe(200);
    }
    await expect.poll(async () => (await generate()).status).toBe(200);
    const warnings = gateway.output.lines().filter(({ message }) => message === 'overloaded: requests are refused');
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toMatchObject({ level: 'warn', max_requests: 2 });
  });

  it('refuses before anything of the body has come', async () => {
    const { gateway } = setting;
    const { calls, release } = await occupy();
    const { hostname, port } = new URL(gateway.url);
    const socket = connect(Number(port), hostname);
    const head = 'POST /v1/images/edits HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=x\r\n';
    socket.write(`${head}content-length: 50000000\r\n\r\n--x\r\n`);
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.toString('latin1')).toMatch(/^HTTP\/1\.1 503 [\s\S]*"code":"overloaded"/);
    socket.destroy();
    release();
    await Promise.all(calls.map(async (call) => (await call).text()));
  });

  it('has a place again for each client that leaves', async () => {
    const { fake } = setting;
    const { calls, release } = await occupy();
    const leaving = new AbortController();
    release();
    await Promise.all(calls.map(async (call) => (await call).text()));
    fake.next({ hold: new Promise(() => {}) });
    fake.next({ hold: new Promise(() => {}) });
    const place = fake.requests.length;
    const left = [0, 1].map(() =>
      postJson(`${setting.gateway.url}/v1/images/generations`, { prompt: 'a' }, {}, { signal: leaving.signal }).catch(
        () => 'left',
      ),
    );
    await fake.until(() => fake.requests.length === place + 2);
    await expectOverloaded(await generate());
    leaving.abort();
    expect(await Promise.all(left)).toEqual(['left', 'left']);
    await expect.poll(async () => (await generate()).status).toBe(200);
  });

  it('takes more as soon as the file says so', async () => {
    const { calls, release } = await occupy();
    await expectOverloaded(await generate());
    await setting.gateway.apply(config(3));
    expect((await generate()).status).toBe(200);
    release();
    await Promise.all(calls.map(async (call) => (await call).text()));
  });
});
