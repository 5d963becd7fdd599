import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity, openAiRoutes, sandboxEntity } from '../fixtures/gateway-config.ts';
import { runGateway, startGateway, type Gateway } from '../fixtures/gateway.ts';
import { picturesOf } from '../fixtures/openai-client.ts';
import { startSetting } from '../fixtures/setting.ts';

describe('SIGTERM', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)(
    'as %s lets the calls under way finish, takes no new ones, and ends with 0',
    async (signal) => {
      const setting = await startSetting();
      const { fake, gateway, client } = setting;
      const { promise: hold, resolve: release } = Promise.withResolvers<void>();
      fake.always({ hold });
      const calls = Array.from({ length: 20 }, () => client.images.generate({ prompt: 'a lighthouse' }));
      await fake.until(() => fake.requests.length === calls.length);
      gateway.signal(signal);
      await expect
        .poll(() =>
          fetch(gateway.url).then(
            () => 'connected',
            () => 'refused',
          ),
        )
        .toBe('refused');
      release();
      for (const answer of await Promise.all(calls)) expect(picturesOf(answer)).toHaveLength(1);
      expect(await gateway.output.exit(10_000)).toBe(0);
      expect(fake.billed).toBe(calls.length);
      await setting.stop();
    },
  );

  it('gives up on calls that do not end within the drain time', async () => {
    const setting = await startSetting({
      config: (fake) =>
        gatewayConfig([openAiEntity(fake)], { server: { listen: '127.0.0.1:0', timeouts: { drain: '200ms' } } }),
    });
    setting.fake.always({ hold: new Promise(() => {}) });
    const call = setting.client.images.generate({ prompt: 'a lighthouse' }).then(
      () => 'answered',
      () => 'failed',
    );
    await setting.fake.until(() => setting.fake.requests.length === 1);
    await setting.stop();
    expect(await call).toBe('failed');
    expect(setting.fake.requests[0]?.fate).toBe('aborted');
  });
});

describe('a stop', () => {
  /** Milliseconds: well under every timeout of a connection that would end the wait by itself. */
  const soonMs = 5000;

  it('is not held up by a connection on which nothing was ever sent', async () => {
    await using gateway = await startGateway({ config: gatewayConfig([sandboxEntity()]) });
    const idle = await openSocket(gateway);
    gateway.signal('SIGTERM');
    expect(await gateway.output.exit(soonMs)).toBe(0);
    idle.destroy();
  });

  it('is not held up by an upload that was refused and given up', async () => {
    await using gateway = await startGateway({
      config: gatewayConfig([sandboxEntity()], { routes: openAiRoutes(['sandbox'], { max_size_upload: 1000 }) }),
    });
    const socket = await openSocket(gateway);
    socket.write(
      'POST /v1/images/edits HTTP/1.1\r\nhost: a\r\ncontent-type: multipart/form-data; boundary=x\r\n' +
        'content-length: 50000000\r\nexpect: 100-continue\r\n\r\n',
    );
    const [answer]: unknown[] = await once(socket, 'data');
    expect(String(answer)).toMatch(/^HTTP\/1\.1 413 /);
    socket.destroy();
    gateway.signal('SIGTERM');
    expect(await gateway.output.exit(soonMs)).toBe(0);
  });
});

describe('a first start', () => {
  const broken = [
    'version: 1',
    'server: { listen: 127.0.0.1:0 }',
    'admin: { listen: 127.0.0.1:0 }',
    'state: "memory:"',
    'image_models:',
    '  - id: box',
    '    providr: sandbox',
    'routes:',
    '  - id: generate',
    '    path: /v1/images/generations',
    '    pipeline: [authenticate, parse, route-resolv]',
    '    refs: [bix]',
    '',
  ].join('\n');

  it('with a bad file names all mistakes with line and column, and ends with 1', async () => {
    const { code, stderr } = await runGateway({ config: broken });
    expect(code).toBe(1);
    expect(stderr).toMatch(/gateway\.yaml:7:5\b.*providr/s);
    expect(stderr).toContain('provider');
    expect(stderr).toMatch(/gateway\.yaml:11:\d+\b.*route-resolv/s);
    expect(stderr).toContain('route-resolve');
    expect(stderr).toMatch(/gateway\.yaml:12:\d+\b.*bix/s);
  });

  it.each([
    ['is no YAML', 'version: 1\nroutes: [', /gateway\.yaml:\d+:\d+/],
    ['is empty', '', /gateway\.yaml/],
    ['is no mapping', '- 1\n', /gateway\.yaml:1:1/],
    ['has a key twice', 'version: 1\nstate: "memory:"\nstate: "memory:"\n', /gateway\.yaml:3:1/],
    [
      'names a variable that is not set',
      'version: 1\nstate: "${env:NO_SUCH_THING}"\n',
      /gateway\.yaml:2:8.*NO_SUCH_THING/s,
    ],
  ])('with a file that %s ends with 1 and a message', async (_, config, message) => {
    const { code, stderr } = await runGateway({ config });
    expect(code).toBe(1);
    expect(stderr).toMatch(message);
  });

  it('without the file ends with 1 and a message', async () => {
    const { code, stderr } = await runGateway({ config: '' }, ['start', '--config', '/nowhere/gateway.yaml']);
    expect(code).toBe(1);
    expect(stderr).toContain('/nowhere/gateway.yaml');
  });

  it('on an address in use ends with 1 and names the address', async () => {
    await using first = await startGateway({ config: gatewayConfig([sandboxEntity()]) });
    const { host } = new URL(first.url);
    const { code, stderr } = await runGateway({
      config: gatewayConfig([sandboxEntity()], { server: { listen: host } }),
    });
    expect(code).toBe(1);
    expect(stderr).toContain(host);
  });

  it('does not show the secrets of a bad file', async () => {
    const config = gatewayConfig([openAiEntity({ baseUrl: 'http://127.0.0.1:9' })], {
      consumers: [{ id: 'web-app', key: 'sk-secret-in-a-bad-file', colour: 'blue' }],
    });
    const { code, stderr } = await runGateway({ config });
    expect(code).toBe(1);
    expect(stderr).toContain('colour');
  });

  it('says loudly that the gateway is open when there are no consumers', async () => {
    await using gateway = await startGateway({ config: gatewayConfig([sandboxEntity()]) });
    await expect.poll(() => gateway.output.stderr()).toMatch(/OPEN: +no consumers/);
  });
});

async function openSocket(gateway: Gateway): Promise<Socket> {
  const { hostname, port } = new URL(gateway.url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  return socket;
}
