import { once } from 'node:events';
import { request } from 'node:https';
import { createServer } from 'node:net';
import { connect } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { selfSigned, type Certificate } from '../fixtures/certificate.ts';
import { originOf } from '../fixtures/fake-server.ts';
import { gatewayConfig, openAiEntity, sandboxEntity } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { picturesOf } from '../fixtures/openai-client.ts';
import { startSetting } from '../fixtures/setting.ts';
import { startTraffic } from '../fixtures/traffic.ts';
import { askVersion, startVersionedFake, versionedConfig } from '../fixtures/versions.ts';

describe('the address of the public listener', () => {
  it('changes without a restart: calls on the old one finish, then it is closed', async () => {
    const setting = await startSetting();
    const { gateway, fake, client } = setting;
    const oldUrl = gateway.url;
    const { promise: hold, resolve: release } = Promise.withResolvers<void>();
    fake.next({ hold });
    const call = client.images.generate({ prompt: 'a lighthouse' });
    await fake.until(() => fake.requests.length === 1);

    await gateway.apply(gatewayConfig([openAiEntity(fake)], { server: { listen: '127.0.0.2:0' } }));
    expect(gateway.url).toMatch(/^http:\/\/127\.0\.0\.2:/);
    expect((await fetch(`${gateway.url}/v1/models`)).status).toBe(200);
    await expect
      .poll(() =>
        fetch(oldUrl).then(
          () => 'open',
          () => 'closed',
        ),
      )
      .toBe('closed');
    release();
    expect(picturesOf(await call)).toHaveLength(1);
    await setting.stop();
  });

  it('may become several, under traffic', async () => {
    const fake = await startVersionedFake();
    const host = `127.0.0.1:${String(await freePort())}`;
    const gateway = await startGateway({ config: versionedConfig(fake, 1, { server: { listen: host } }) });
    const traffic = startTraffic(8, async () => void (await askVersion({ url: `http://${host}` })));
    await gateway.apply(versionedConfig(fake, 2, { server: { listen: [host, '127.0.0.2:0'] } }));
    await traffic.pass(50);
    await gateway.apply(versionedConfig(fake, 3, { server: { listen: host } }));
    await traffic.pass(50);
    expect((await traffic.stop()).failures).toEqual([]);
    await gateway[Symbol.asyncDispose]();
    await fake.close();
  });

  it('stays when the new one cannot be had, and the file is refused', async () => {
    await using gateway = await startGateway({ config: gatewayConfig([sandboxEntity()]) });
    await using other = await startGateway({ config: gatewayConfig([sandboxEntity()]) });
    const taken = new URL(other.url).host;
    const status = await gateway.refuse(gatewayConfig([sandboxEntity()], { server: { listen: taken } }));
    expect(JSON.stringify(status.last_error)).toContain(taken);
    expect((await fetch(`${gateway.url}/v1/models`)).status).toBe(200);
  });
});

describe('the certificate', () => {
  it('changes without a restart, and connections that are open go on', async () => {
    const [first, second] = [selfSigned('first.example'), selfSigned('second.example')];
    await using gateway = await startGateway({
      files: { 'tls.crt': first.cert, 'tls.key': first.key },
      config: gatewayConfig([sandboxEntity()], {
        server: { listen: '127.0.0.1:0', tls: { cert: './tls.crt', key: './tls.key' } },
      }),
      secrets: [first.key, second.key].flatMap((key) => key.split('\n').filter((line) => /^\w{20,}/.test(line))),
    });
    expect(gateway.url).toMatch(/^https:/);
    const open = await handshake(gateway, first);
    expect(open.fingerprint).toBe(first.fingerprint256);
    expect(await statusOf(gateway, first)).toBe(200);

    const { revision } = await gateway.status();
    await gateway.write(second.cert, 'tls.crt');
    await gateway.write(second.key, 'tls.key');
    await gateway.until((status) => status.revision > revision && status.last_error === null);
    await expect.poll(async () => (await handshake(gateway, second)).fingerprint).toBe(second.fingerprint256);
    expect(await statusOf(gateway, second)).toBe(200);

    open.socket.write('GET /v1/models HTTP/1.1\r\nhost: a\r\n\r\n');
    const [answer]: unknown[] = await once(open.socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /);
    open.socket.destroy();
  });

  it('stays the old one while the new one and its key do not fit', async () => {
    const [first, second] = [selfSigned('first.example'), selfSigned('second.example')];
    await using gateway = await startGateway({
      files: { 'tls.crt': first.cert, 'tls.key': first.key },
      config: gatewayConfig([sandboxEntity()], {
        server: { listen: '127.0.0.1:0', tls: { cert: './tls.crt', key: './tls.key' } },
      }),
    });
    await gateway.write(second.cert, 'tls.crt');
    await gateway.until(({ last_error: error }) => error !== null);
    expect((await handshake(gateway, first)).fingerprint).toBe(first.fingerprint256);
  });
});

/** A port that nobody listened on a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = new URL(originOf(server));
  server.close();
  return Number(port);
}

async function handshake(gateway: Gateway, { cert }: Certificate) {
  const { hostname, port } = new URL(gateway.url);
  const socket = connect({ host: hostname, port: Number(port), ca: cert, rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  return { socket, fingerprint: socket.getPeerCertificate().fingerprint256 };
}

async function statusOf(gateway: Gateway, { cert }: Certificate): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const asking = request(`${gateway.url}/v1/models`, { ca: cert, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    });
    asking.on('error', reject).end();
  });
}
