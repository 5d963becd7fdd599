import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayConfig, sandboxEntity } from '../fixtures/gateway-config.ts';
import { runGateway, startGateway, type Gateway } from '../fixtures/gateway.ts';
import { jsonOf, postJson } from '../fixtures/setting.ts';

let gateway: Gateway;
const token = 'admin-token-55f1';

beforeAll(async () => {
  gateway = await startGateway({ config: gatewayConfig([sandboxEntity()]) });
});
afterAll(() => gateway[Symbol.asyncDispose]());

describe('the admin listener', () => {
  it.each(['/healthz', '/readyz'])('answers %s with 200', async (path) => {
    expect((await fetch(gateway.adminUrl + path)).status).toBe(200);
  });

  it('tells the state of the configuration', async () => {
    const answer = await fetch(`${gateway.adminUrl}/api/status`);
    expect(answer.headers.get('content-type')).toMatch(/^application\/json/);
    expect(await jsonOf(answer)).toMatchObject({
      ok: true,
      revision: 1,
      digest: expect.stringMatching(/\S/),
      loaded_at: expect.toSatisfy((at: string) => !Number.isNaN(Date.parse(at))),
      last_error: null,
      history: expect.any(Array),
    });
  });

  it('reloads when asked to, and says what became of it', async () => {
    const unchanged = await fetch(`${gateway.adminUrl}/api/reload`, { method: 'POST' });
    expect(unchanged.status).toBe(200);
    const before = await gateway.status();
    await gateway.write(gatewayConfig([sandboxEntity()], { aliases: { free: { targets: ['sandbox/sandbox'] } } }));
    const reloaded = await fetch(`${gateway.adminUrl}/api/reload`, { method: 'POST' });
    expect(reloaded.status).toBe(200);
    expect((await gateway.status()).revision).toBe(before.revision + 1);
    const answer = await postJson(`${gateway.url}/v1/images/generations`, { model: 'free', prompt: 'a lighthouse' });
    expect(answer.status).toBe(200);
  });

  it('does not reload for a GET', async () => {
    expect((await fetch(`${gateway.adminUrl}/api/reload`)).status).toBe(405);
  });

  it('is not reachable on the public listener', async () => {
    for (const path of ['/healthz', '/readyz', '/api/status', '/api/reload', '/metrics']) {
      const answer = await fetch(gateway.url + path, { method: path === '/api/reload' ? 'POST' : 'GET' });
      expect(answer.status).toBe(404);
      expect(await jsonOf(answer)).toMatchObject({ error: { code: 'route_not_found' } });
    }
  });

  it('has no images routes', async () => {
    expect((await postJson(`${gateway.adminUrl}/v1/images/generations`, { prompt: 'a lighthouse' })).status).toBe(404);
  });

  it('asks for its token where there is one, health excepted', async () => {
    await using guarded = await startGateway({
      config: gatewayConfig([sandboxEntity()], { admin: { listen: '127.0.0.1:0', token } }),
      secrets: [token],
    });
    const status = (headers: Record<string, string>) => fetch(`${guarded.adminUrl}/api/status`, { headers });
    expect((await status({})).status).toBe(401);
    expect((await status({ authorization: 'Bearer wrong' })).status).toBe(401);
    const shown = await status({ authorization: `Bearer ${token}` });
    expect(shown.status).toBe(200);
    expect(await shown.text()).not.toContain(token);
    expect((await fetch(`${guarded.adminUrl}/healthz`)).status).toBe(200);
  });

  it('is refused beyond loopback without a token', async () => {
    const { code, stderr } = await runGateway({
      config: gatewayConfig([sandboxEntity()], { admin: { listen: '0.0.0.0:0' } }),
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/token/);
  });
});
