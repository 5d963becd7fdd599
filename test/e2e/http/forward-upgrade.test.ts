import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import type { Duplex } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { WebSocket, WebSocketServer, type RawData } from 'ws';
import { GatewayError } from '../../../src/errors.ts';
import { Secret } from '../../../src/secret.ts';
import { forwardTo } from './forwarding.ts';
import { dial } from './harness.ts';
import { cannedUpstream, deadOrigin, httpUpstream, rawUpstream } from './upstream.ts';

const upgrade = (headers = ''): string =>
  `GET /ws?a=b HTTP/1.1\r\nHost: gateway\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n${headers}\r\n`;

interface Seen {
  readonly url: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly socket: Duplex;
}

/** Sends back what it gets. */
async function echoUpstream(): Promise<{
  readonly origin: string;
  readonly seen: Promise<Seen>;
  readonly peer: Promise<WebSocket>;
}> {
  const { promise: seen, resolve: see } = Promise.withResolvers<Seen>();
  const { promise: peer, resolve: meet } = Promise.withResolvers<WebSocket>();
  const sockets = new WebSocketServer({ noServer: true });
  const { origin, server } = await httpUpstream((_request, response) => void response.end());
  server.on('upgrade', (request, socket, head) => {
    see({ url: request.url, headers: request.headers, socket });
    sockets.handleUpgrade(request, socket, head, (client) => {
      meet(client);
      client.on('message', (data, isBinary) => client.send(data, { binary: isBinary }));
    });
  });
  return { origin, seen, peer };
}

const codeIn = (body: string | undefined): unknown =>
  (JSON.parse(body ?? '') as { error: { code: unknown } }).error.code;

describe('a WebSocket', () => {
  it('carries messages both ways, large ones too, and closes in good order', async () => {
    const { origin } = await echoUpstream();
    const { port, first } = await forwardTo({ url: origin });
    const client = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await once(client, 'open');
    for (const message of [Buffer.from('hello'), Buffer.alloc(3_000_000, 'x')]) {
      client.send(message);
      const [echoed] = (await once(client, 'message')) as [RawData];
      expect(message.equals(echoed as Buffer)).toBe(true);
    }
    client.close(4001, 'done');
    const [closeCode] = (await once(client, 'close')) as [number];
    expect(closeCode).toBe(4001);
    expect(await first).toBe(101);
  });

  it('carries what was sent along with the request', async () => {
    const origin = await rawUpstream((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nat once');
        socket.pipe(socket);
      });
    });
    const { port } = await forwardTo({ url: origin });
    const client = await dial(port);
    client.send(`${upgrade()}early`);
    let received = '';
    client.socket.on('data', (chunk: Buffer) => (received += chunk.toString()));
    while (!received.endsWith('at onceearly')) await once(client.socket, 'data');
  });

  it('is asked for with the settings’ credentials and without the caller’s', async () => {
    const { origin, seen } = await echoUpstream();
    const { port } = await forwardTo({ url: `${origin}/base`, headers: { authorization: new Secret('Bearer ours') } });
    const client = await dial(port);
    client.send(upgrade('Authorization: Bearer callers\r\nCookie: callers\r\nX-Forwarded-For: callers\r\n'));
    const { url, headers } = await seen;
    expect(url).toBe('/base/ws?a=b');
    expect(headers).toMatchObject({
      authorization: 'Bearer ours',
      upgrade: 'websocket',
      'x-forwarded-for': '127.0.0.1',
      'x-request-id': 'request-1',
    });
    expect(JSON.stringify(headers)).not.toContain('callers');
    const [head] = (await once(client.socket, 'data')) as [Buffer];
    expect(head.toString()).toMatch(/^HTTP\/1\.1 101 .*\r\n[^]*x-request-id: request-1\r\n/);
    expect(head.toString()).toMatch(/sec-websocket-accept: /);
  });

  it('whose caller vanishes is taken from the upstream', async () => {
    const { origin, peer } = await echoUpstream();
    const { port, first } = await forwardTo({ url: origin });
    const client = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await once(client, 'open');
    const upstream = await peer;
    client.terminate();
    await once(upstream, 'close');
    expect(await first).toBe(101);
  });

  it('whose upstream vanishes is taken from the caller', async () => {
    const { origin, peer } = await echoUpstream();
    const { port, first } = await forwardTo({ url: origin });
    const client = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await once(client, 'open');
    (await peer).terminate();
    const [closeCode] = (await once(client, 'close')) as [number];
    expect(closeCode).toBe(1006);
    expect(await first).toBe(101);
  });

  it('whose upstream resets the connection is taken from the caller', async () => {
    const { origin, seen } = await echoUpstream();
    const { port } = await forwardTo({ url: origin });
    const client = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await once(client, 'open');
    const { socket } = await seen;
    if ('resetAndDestroy' in socket && typeof socket.resetAndDestroy === 'function') socket.resetAndDestroy();
    await once(client, 'close');
  });

  it('is cut off on both sides when the exchange is aborted', async () => {
    const controller = new AbortController();
    const { origin, peer } = await echoUpstream();
    const { port, first } = await forwardTo({ url: origin, signal: controller.signal });
    const client = new WebSocket(`ws://127.0.0.1:${port}/ws`);
    await once(client, 'open');
    const gone = once(await peer, 'close');
    controller.abort(new GatewayError('overloaded', 'The gateway is shutting down.'));
    await Promise.all([gone, once(client, 'close')]);
    expect(await first).toBe(101);
  });
});

describe('a denied upgrade', () => {
  it.each([
    ['with a length', 'content-length: 2\r\n\r\nno'],
    ['in chunks', 'transfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n'],
    ['to the end of the connection', 'connection: close\r\n\r\nno'],
  ])('is passed on %s, and the connection closed', async (_how, rest) => {
    const origin = await cannedUpstream(`HTTP/1.1 403 Forbidden\r\nx-why: because\r\nx-request-id: theirs\r\n${rest}`);
    const { port, first } = await forwardTo({ url: origin });
    const client = await dial(port);
    client.send(upgrade());
    const answers = await client.all();
    expect(answers).toHaveLength(1);
    expect(answers[0]).toMatchObject({
      status: 403,
      headers: { 'x-why': 'because', 'x-request-id': 'request-1', connection: 'close' },
    });
    expect(answers[0]?.body).toContain('no');
    expect(await first).toBe(403);
  });

  it('that breaks off ends the connection', async () => {
    const origin = await cannedUpstream('HTTP/1.1 403 Forbidden\r\ncontent-length: 10\r\n\r\nno');
    const { port, first } = await forwardTo({ url: origin });
    const client = await dial(port);
    client.send(upgrade());
    expect((await client.all())[0]?.status).toBe(403);
    expect(await first).toBe(403);
  });

  it('that never ends is ended', async () => {
    const endless = await rawUpstream((socket) => {
      socket.once('data', () => {
        socket.write('HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n');
        const write = (): void => {
          while (!socket.destroyed && socket.write(Buffer.alloc(65_536)));
        };
        socket.on('drain', write);
        write();
      });
    });
    const { port } = await forwardTo({ url: endless });
    const client = await dial(port);
    client.send(upgrade());
    await once(client.socket, 'close');
  });
});

describe('an upgrade that fails', () => {
  it('to connect is answered with a 502 in the gateway’s own form', async () => {
    const { port, first } = await forwardTo({ url: await deadOrigin() });
    const client = await dial(port);
    client.send(upgrade());
    const answers = await client.all();
    expect(answers).toHaveLength(1);
    expect(answers[0]).toMatchObject({ status: 502, headers: { 'x-request-id': 'request-1', connection: 'close' } });
    expect(codeIn(answers[0]?.body)).toBe('upstream_unreachable');
    expect(await first).toBe(502);
  });

  it('because the upstream closes is answered with a 502', async () => {
    const { port } = await forwardTo({ url: await cannedUpstream('') });
    const client = await dial(port);
    client.send(upgrade());
    expect(codeIn((await client.all())[0]?.body)).toBe('upstream_error');
  });

  it('to come in time is answered with a 504', async () => {
    const left = Promise.withResolvers<void>();
    const origin = await rawUpstream((socket) => void socket.resume().once('close', () => left.resolve()));
    const { port, first } = await forwardTo({ url: origin, timeoutMs: 50 });
    const client = await dial(port);
    client.send(upgrade());
    expect(codeIn((await client.all())[0]?.body)).toBe('upstream_timeout');
    expect(await first).toBe(504);
    await left.promise;
  });

  it('because the gateway stops is answered with a 503', async () => {
    const controller = new AbortController();
    const origin = await rawUpstream((socket) => {
      socket.once('data', () => controller.abort(new GatewayError('overloaded', 'The gateway is shutting down.')));
    });
    const { port } = await forwardTo({ url: origin, signal: controller.signal });
    const client = await dial(port);
    client.send(upgrade());
    expect((await client.all())[0]?.status).toBe(503);
  });

  it('because of its path is answered with a 400', async () => {
    const { port } = await forwardTo({ url: await deadOrigin() });
    const client = await dial(port);
    client.send(upgrade().replace('/ws', '/a/../ws'));
    expect((await client.all())[0]?.status).toBe(400);
  });

  it('because the caller leaves lets go of the upstream', async () => {
    const asked = Promise.withResolvers<void>();
    const left = Promise.withResolvers<void>();
    const origin = await rawUpstream((socket) => {
      socket.once('data', () => asked.resolve()).once('close', () => left.resolve());
    });
    const { port, first } = await forwardTo({ url: origin });
    const client = await dial(port);
    client.send(upgrade());
    await asked.promise;
    client.socket.destroy();
    await left.promise;
    expect(await first).toMatchObject({ code: 'client_closed_request' });
  });
});
