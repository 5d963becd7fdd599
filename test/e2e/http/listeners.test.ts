import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import type { ListenerSettings } from '../../../src/http/listeners.ts';
import type { LiveConnection } from '../../../src/pipeline/exchange.ts';
import { selfSigned, type Certificate } from '../../fixtures/certificate.ts';
import { dial, echo, exchange, plain, serve, timeouts, type TestServer } from './harness.ts';

const get = (path: string, headers = ''): string => `GET ${path} HTTP/1.1\r\nHost: gateway\r\n${headers}\r\n`;
const close = 'Connection: close\r\n';

const secure = (certificate: Certificate, port = 0): ListenerSettings['addresses'][number] => ({
  ...plain(port),
  tls: certificate,
});

const apply = (
  { listeners }: TestServer,
  addresses: ListenerSettings['addresses'],
): ReturnType<TestServer['listeners']['apply']> => listeners.apply({ addresses, timeouts });

/** A connection over TLS, and the fingerprint of the certificate that the server showed. */
async function secureGet(port: number): Promise<{ readonly fingerprint: string; readonly answer: string }> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false });
  onTestFinished(() => void socket.destroy());
  await once(socket, 'secureConnect');
  const { fingerprint256: fingerprint } = socket.getPeerCertificate();
  socket.write(get('/', close));
  return { fingerprint, answer: Buffer.from(await collect(socket)).toString() };
}

/** Answers only when it is told to. */
function held(): {
  readonly onRequest: (live: LiveConnection) => void;
  finish(text: string): void;
  readonly begun: Promise<void>;
} {
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  let waiting: LiveConnection | undefined;
  return {
    begun,
    onRequest(live) {
      waiting = live;
      begin();
    },
    finish(text) {
      if (waiting?.answer.kind === 'response') waiting.answer.response.end(text);
    },
  };
}

/** Takes a port of its own, and is not the gateway's. */
async function stranger(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

async function accepts(port: number): Promise<boolean> {
  try {
    (await dial(port)).socket.destroy();
    return true;
  } catch {
    return false;
  }
}

describe('a change of addresses', () => {
  it('leaves an address that stays alone, with its port and its idle connections', async () => {
    const server = await serve(echo());
    const client = await dial(server.port);
    client.send(get('/1'));
    await client.answers(1);
    expect(await apply(server, [plain()])).toEqual([{ protocol: 'http', host: '127.0.0.1', port: server.port }]);
    client.send(get('/2'));
    expect((await client.answers(2))[1]?.body).toBe('GET /2 0');
  });

  it('opens a new address beside the old one', async () => {
    const server = await serve(echo());
    const [, second] = await apply(server, [plain(), plain(0, 'localhost')]);
    expect(second).toMatchObject({ host: 'localhost' });
    expect(await accepts(server.port)).toBe(true);
  });

  it('closes an old address, and its connections after their answers', async () => {
    const work = held();
    const server = await serve(work.onRequest);
    const busy = await dial(server.port);
    busy.send(get('/'));
    await work.begun;
    await apply(server, [plain(0, 'localhost')]);
    expect(await accepts(server.port)).toBe(false);
    work.finish('late');
    expect((await busy.all())[0]).toMatchObject({ status: 200, headers: { connection: 'close' } });
  });

  it('closes a connection after an answer whose head was out before', async () => {
    const work = held();
    const server = await serve((live) => {
      if (live.answer.kind === 'response') live.answer.response.flushHeaders();
      work.onRequest(live);
    });
    const client = await dial(server.port);
    client.send(get('/'));
    await work.begun;
    await apply(server, [plain(0, 'localhost')]);
    work.finish('');
    await once(client.socket, 'close');
  });

  it('leaves WebSockets alone', async () => {
    const upgraded = Promise.withResolvers<LiveConnection>();
    const server = await serve(upgraded.resolve);
    const client = await dial(server.port);
    client.send(get('/', 'Connection: Upgrade\r\nUpgrade: websocket\r\n'));
    const { answer } = await upgraded.promise;
    await apply(server, [plain(0, 'localhost')]);
    if (answer.kind === 'upgrade') answer.socket.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');
    expect((await client.all())[0]?.status).toBe(403);
  });

  it.each([
    ['is in use', async () => plain(await stranger()), /127\.0\.0\.1:\d+: the address is already in use/],
    ['is not this machine’s', async () => plain(0, '192.0.2.1'), /192\.0\.2\.1:0: this machine does not have/],
    ['is not known', async () => plain(0, 'no-such-host.invalid'), /no-such-host\.invalid:0: the host name/],
  ])('to one that %s is refused, and changes nothing', async (_what, address, message) => {
    const server = await serve(echo());
    const before = server.listeners.addresses();
    await expect(apply(server, [plain(0, 'localhost'), await address()])).rejects.toThrow(message);
    expect(server.listeners.addresses()).toEqual(before);
    expect((await exchange(server.port, get('/', close)))[0]?.status).toBe(200);
  });

  it('from one interface to all of them keeps the port', async () => {
    const server = await serve(echo());
    const wide = await apply(server, [plain(server.port, '0.0.0.0')]);
    expect(wide).toEqual([{ protocol: 'http', host: '0.0.0.0', port: server.port }]);
    expect((await exchange(server.port, get('/', close)))[0]?.status).toBe(200);
  });

  it('that fails halfway takes back what it had to close', async () => {
    const server = await serve(echo());
    const wanted = [plain(server.port, '0.0.0.0'), plain(await stranger())];
    await expect(apply(server, wanted)).rejects.toThrow('already in use');
    expect(server.listeners.addresses()).toEqual([{ protocol: 'http', host: '127.0.0.1', port: server.port }]);
    expect((await exchange(server.port, get('/', close)))[0]?.status).toBe(200);
    // And it can still be closed for good.
    await server.listeners.drain(0);
    expect(await accepts(server.port)).toBe(false);
  });
});

describe('TLS', () => {
  it('is spoken with the certificate that was given', async () => {
    const certificate = selfSigned('one');
    const server = await serve(echo(), { addresses: [secure(certificate)] });
    const { fingerprint, answer } = await secureGet(server.port);
    expect(fingerprint).toBe(certificate.fingerprint256);
    expect(answer).toContain('GET / 0');
  });

  it('takes a new certificate on the open port', async () => {
    const server = await serve(echo(), { addresses: [secure(selfSigned('one'))] });
    const next = selfSigned('two');
    expect(await apply(server, [secure(next)])).toEqual([{ protocol: 'https', host: '127.0.0.1', port: server.port }]);
    expect((await secureGet(server.port)).fingerprint).toBe(next.fingerprint256);
  });

  it('refuses a certificate that does not belong to its key, and changes nothing', async () => {
    const one = selfSigned('one');
    const server = await serve(echo(), { addresses: [secure(one)] });
    const mixed = { ...one, key: selfSigned('two').key };
    await expect(apply(server, [secure(mixed)])).rejects.toThrow(/The certificate for 127\.0\.0\.1:0 cannot be used/);
    expect((await secureGet(server.port)).fingerprint).toBe(one.fingerprint256);
  });

  it('can be switched on and off again on the same port', async () => {
    const server = await serve(echo());
    const on = await apply(server, [secure(selfSigned('one'))]);
    expect(on).toEqual([{ protocol: 'https', host: '127.0.0.1', port: server.port }]);
    expect((await secureGet(server.port)).answer).toContain('200 OK');
    const off = await apply(server, [plain()]);
    expect(off).toEqual([{ protocol: 'http', host: '127.0.0.1', port: server.port }]);
    expect((await exchange(server.port, get('/', close)))[0]?.status).toBe(200);
  });
});

describe('timeouts', () => {
  it('hold for open addresses as soon as they are changed', async () => {
    const server = await serve(echo());
    await server.listeners.apply({ addresses: [plain()], timeouts: { ...timeouts, keepAliveMs: 20 } });
    const client = await dial(server.port);
    client.send(get('/'));
    expect(await client.all()).toHaveLength(1);
  });

  it('hold for heads on an address that is being closed', async () => {
    const server = await serve(echo(), { timeouts: { ...timeouts, headersMs: 200 } });
    const client = await dial(server.port);
    client.send('GET / HTTP/1.1\r\nHost: gate');
    (await dial(server.port)).socket.end();
    await server.listeners.apply({ addresses: [plain(0, 'localhost')], timeouts: { ...timeouts, headersMs: 200 } });
    await once(client.socket, 'close');
  });
});

describe('draining', () => {
  it('resolves at once when there is no connection', async () => {
    const { listeners } = await serve(echo());
    await listeners.drain(60_000);
    expect(listeners.addresses()).toEqual([]);
  });

  it('waits for requests under way, and closes idle connections', async () => {
    const work = held();
    const { port, listeners } = await serve((live) =>
      live.request.url === '/idle' ? echo()(live) : work.onRequest(live),
    );
    const idle = await dial(port);
    idle.send(get('/idle'));
    await idle.answers(1);
    const busy = await dial(port);
    busy.send(get('/'));
    await work.begun;
    const drained = listeners.drain(60_000);
    await idle.all();
    expect(await accepts(port)).toBe(false);
    work.finish('done');
    expect((await busy.all())[0]).toMatchObject({ body: 'done', headers: { connection: 'close' } });
    await drained;
  });

  it('cuts off what is left when the time is up', async () => {
    const work = held();
    const { port, listeners } = await serve(work.onRequest);
    const client = await dial(port);
    client.send(get('/'));
    await work.begun;
    await listeners.drain(20);
    expect(await client.all()).toEqual([]);
  });

  it('waits for what earlier changes have left over', async () => {
    const work = held();
    const server = await serve(work.onRequest);
    const client = await dial(server.port);
    client.send(get('/'));
    await work.begun;
    await apply(server, [plain(0, 'localhost')]);
    const drained = server.listeners.drain(60_000);
    work.finish('done');
    expect((await client.all())[0]?.body).toBe('done');
    await drained;
  });
});
