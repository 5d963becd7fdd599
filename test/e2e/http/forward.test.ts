import { once } from 'node:events';
import { createServer as createSecureServer } from 'node:https';
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import { Secret } from '../../../src/secret.ts';
import { selfSigned } from '../../fixtures/certificate.ts';
import { forwardTo } from './forwarding.ts';
import { dial, exchange } from './harness.ts';
import { cannedUpstream, deadOrigin, httpUpstream, rawUpstream } from './upstream.ts';

const get = (path: string, headers = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n${headers}\r\n`;

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Tells in its answers what it was sent. */
async function mirror(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = Buffer.from(await collect(request)).toString();
  const { method, url, headers } = request;
  response.end(JSON.stringify({ method, url, headers, body }));
}

async function seenBy(port: number, request: string): Promise<Seen> {
  const client = await dial(port);
  client.send(request);
  const [answer] = await client.all();
  expect(answer?.status).toBe(200);
  return JSON.parse(answer?.body.replace(/^[0-9a-f]+\r\n/, '').replace(/\r\n0\r\n\r\n$/, '') ?? '') as Seen;
}

/** Node's own client, for what the raw one does not understand. */
async function fetchRaw(port: number): Promise<IncomingMessage> {
  const asking = httpRequest({ port, host: '127.0.0.1', path: '/', agent: false }).end();
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  asking.once('response', resolve).once('error', reject);
  return promise;
}

const codeIn = (body: string | undefined): unknown =>
  (JSON.parse(body ?? '') as { error: { code: unknown } }).error.code;

describe('a forwarded request', () => {
  it('arrives with method, path, query, headers and body, at the upstream’s own host', async () => {
    const { origin } = await httpUpstream(mirror);
    const { port, first } = await forwardTo({ url: `${origin}/base` });
    const seen = await seenBy(
      port,
      'PATCH /v1/files?a=%20b HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nX-A: b\r\nContent-Length: 3\r\n\r\nabc',
    );
    expect(seen).toMatchObject({ method: 'PATCH', url: '/base/v1/files?a=%20b', body: 'abc' });
    expect(seen.headers).toMatchObject({
      host: new URL(origin).host,
      'x-a': 'b',
      'content-length': '3',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': 'gateway',
      'x-request-id': 'request-1',
    });
    expect(await first).toBe(200);
  });

  it('carries the settings’ headers and none of the caller’s credentials', async () => {
    const { origin } = await httpUpstream(mirror);
    const { port } = await forwardTo({
      url: origin,
      headers: { authorization: new Secret('Bearer ours'), 'x-set': 'y' },
    });
    const credentials = [
      'Authorization: Bearer callers',
      'X-Api-Key: callers',
      'Api-Key: callers',
      'Cookie: session=callers',
      'Proxy-Authorization: callers',
      'OpenAI-Organization: callers',
      'OpenAI-Project: callers',
      'X-Pinhole-User-Id: callers',
      'X-Set: callers',
    ];
    const { headers } = await seenBy(port, get('/', `${credentials.join('\r\n')}\r\n`));
    expect(headers.authorization).toBe('Bearer ours');
    expect(headers['x-set']).toBe('y');
    expect(JSON.stringify(headers)).not.toContain('callers');
  });

  it('loses the caller’s credentials although it expects to be asked for its body', async () => {
    const { origin } = await httpUpstream(mirror);
    const { port } = await forwardTo({ url: origin, headers: { authorization: 'Bearer ours' } });
    const client = await dial(port);
    client.send(
      'POST / HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer callers\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n',
    );
    expect((await client.answers(1))[0]?.status).toBe(100);
    client.send('abc');
    await once(client.socket, 'data');
    client.socket.end();
    const body = (await client.all()).at(-1)?.body ?? '';
    expect(body).toContain('"authorization":"Bearer ours"');
    expect(body).toContain('"body":"abc"');
    expect(body).not.toContain('callers');
    expect(body).not.toContain('expect');
  });

  it('loses the headers that are for one connection only', async () => {
    const { origin } = await httpUpstream(mirror);
    const { port } = await forwardTo({ url: origin });
    const hops =
      'TE: trailers\r\nKeep-Alive: 1\r\nX-Hop: 1\r\nX-Stays: 1\r\nConnection: x-hop\r\nProxy-Connection: x\r\n';
    const { headers } = await seenBy(port, get('/', hops));
    expect(headers).toHaveProperty('x-stays');
    for (const name of ['te', 'keep-alive', 'x-hop', 'proxy-connection']) expect(headers).not.toHaveProperty(name);
    expect(headers.connection).toBe('keep-alive');
  });

  it.each(['POST', 'DELETE', 'GET', 'OPTIONS'])(
    'with a chunked body is framed properly when it is a %s',
    async (method) => {
      const { origin } = await httpUpstream(mirror);
      const { port } = await forwardTo({ url: origin });
      const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n';
      const head = `${method} / HTTP/1.1\r\nHost: gateway\r\nConnection: close, transfer-encoding\r\nTransfer-Encoding: chunked\r\n`;
      const chunk = `${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`;
      const seen = await seenBy(port, `${head}\r\n${chunk}`);
      expect(seen).toMatchObject({ method, body: smuggled });
      expect(seen.headers['transfer-encoding']).toBe('chunked');
    },
  );

  it('tells the upstream what trusted proxies have told the gateway', async () => {
    const { origin } = await httpUpstream(mirror);
    const { port } = await forwardTo({ url: origin, remoteAddress: '203.0.113.9' });
    const proxied = 'X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: public.example\r\n';
    expect((await seenBy(port, get('/', proxied))).headers).toMatchObject({
      'x-forwarded-for': '203.0.113.9',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'public.example',
    });
  });

  it('does not tell what the caller says of itself', async () => {
    const { origin } = await httpUpstream(mirror);
    const { port } = await forwardTo({ url: origin });
    const forged = 'X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: forged.example\r\n';
    expect((await seenBy(port, get('/', forged))).headers).toMatchObject({
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-proto': 'http',
      'x-forwarded-host': 'gateway',
    });
  });

  it('with dot segments is refused', async () => {
    const { origin } = await httpUpstream(mirror);
    const { port } = await forwardTo({ url: `${origin}/base` });
    const [answer] = await exchange(port, get('/v1/%2e%2e/%2e%2e/admin'));
    expect(answer?.status).toBe(400);
    expect(codeIn(answer?.body)).toBe('bad_request');
  });

  it('uses the credentials in the upstream’s URL', async () => {
    const { origin } = await httpUpstream(mirror);
    const { port } = await forwardTo({ url: origin.replace('//', '//user:p%40ss@') });
    const { headers } = await seenBy(port, get('/'));
    expect(headers.authorization).toBe(`Basic ${btoa('user:p@ss')}`);
  });

  it('keeps its connection to the upstream for the next one', async () => {
    const ports = new Set<number | undefined>();
    const { origin } = await httpUpstream((request, response) => {
      ports.add(request.socket.remotePort);
      response.end('x');
    });
    const { port } = await forwardTo({ url: origin });
    for (let count = 0; count < 3; count += 1) await exchange(port, get('/'));
    expect(ports.size).toBe(1);
  });
});

describe('an upstream’s answer', () => {
  it('comes back with its status, its headers and its body', async () => {
    const { origin } = await httpUpstream((_request, response) => {
      response.writeHead(418, [
        ['X-A', 'b'],
        ['Set-Cookie', 'one=1'],
        ['Set-Cookie', 'two=2'],
        ['X-Request-Id', 'upstreams'],
        ['Alt-Svc', 'h3=":443"'],
        ['Content-Encoding', 'x-mine'],
        ['Content-Length', '3'],
      ]);
      response.end('tea');
    });
    const { port, first } = await forwardTo({ url: origin });
    const response = await fetchRaw(port);
    expect(response.statusCode).toBe(418);
    expect(response.headers).toMatchObject({
      'x-a': 'b',
      'set-cookie': ['one=1', 'two=2'],
      'x-request-id': 'request-1',
      'content-encoding': 'x-mine',
      'content-length': '3',
    });
    expect(response.headers).not.toHaveProperty('alt-svc');
    expect(Buffer.from(await collect(response)).toString()).toBe('tea');
    expect(await first).toBe(418);
  });

  it('loses the headers that are for one connection only', async () => {
    const origin = await cannedUpstream(
      'HTTP/1.1 200 OK\r\nconnection: x-hop\r\nx-hop: 1\r\nkeep-alive: timeout=1\r\nproxy-authenticate: x\r\ntrailer: x\r\ncontent-length: 0\r\n\r\n',
    );
    const { port } = await forwardTo({ url: origin });
    const [answer] = await exchange(port, get('/'));
    for (const name of ['x-hop', 'keep-alive', 'proxy-authenticate', 'trailer']) {
      expect(answer?.headers).not.toHaveProperty(name);
    }
  });

  it('is no redirect to follow', async () => {
    const { origin } = await httpUpstream(
      (_request, response) => void response.writeHead(302, { location: '/x' }).end(),
    );
    const { port } = await forwardTo({ url: origin });
    expect((await exchange(port, get('/')))[0]).toMatchObject({ status: 302, headers: { location: '/x' } });
  });

  it('without a body has none here', async () => {
    const { origin } = await httpUpstream((_request, response) => void response.writeHead(204).end());
    const { port } = await forwardTo({ url: origin });
    expect((await exchange(port, get('/')))[0]).toMatchObject({ status: 204, body: '' });
  });

  it('is passed on as it comes, head first', async () => {
    const held = Promise.withResolvers<ServerResponse>();
    const { origin } = await httpUpstream((_request, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders();
      held.resolve(response);
    });
    const { port } = await forwardTo({ url: origin });
    const response = await fetchRaw(port);
    expect(response.headers['content-type']).toBe('text/event-stream');
    const upstream = await held.promise;
    for (const event of ['data: 1\n\n', 'data: 2\n\n']) {
      upstream.write(event);
      const [chunk] = (await once(response, 'data')) as [Buffer];
      expect(chunk.toString()).toBe(event);
    }
    upstream.end();
    await once(response, 'end');
  });

  it('of many megabytes arrives whole', async () => {
    const { origin } = await httpUpstream((_request, response) => void response.end(Buffer.alloc(8_000_000, 'x')));
    const { port } = await forwardTo({ url: origin });
    expect((await exchange(port, get('/')))[0]?.body).toHaveLength(8_000_000);
  });

  it('before the request’s body has come ends the connection after it', async () => {
    const left = Promise.withResolvers<void>();
    const { origin } = await httpUpstream((request, response) => {
      request.socket.once('close', () => left.resolve());
      response.writeHead(401).end('no');
    });
    const { port, first } = await forwardTo({ url: origin });
    const client = await dial(port);
    client.send('POST / HTTP/1.1\r\nHost: gateway\r\nContent-Length: 1000000\r\n\r\nabc');
    expect((await client.all())[0]).toMatchObject({ status: 401, headers: { connection: 'close' } });
    expect(await first).toBe(401);
    await left.promise;
  });
});

describe('a failure', () => {
  it('to connect is a 502 in the gateway’s own form', async () => {
    const { port, first } = await forwardTo({ url: await deadOrigin() });
    const [answer] = await exchange(port, get('/'));
    expect(answer).toMatchObject({ status: 502, headers: { 'x-request-id': 'request-1', 'x-should-retry': 'true' } });
    expect(codeIn(answer?.body)).toBe('upstream_unreachable');
    expect(answer?.body).not.toContain('127.0.0.1');
    expect(await first).toMatchObject({ code: 'upstream_unreachable' });
  });

  it('to trust the upstream’s certificate is one, too', async () => {
    const { cert, key } = selfSigned('upstream');
    const server = createSecureServer({ cert, key }, (_request, response) => void response.end()).listen(
      0,
      '127.0.0.1',
    );
    onTestFinished(() => server.close().closeAllConnections());
    await once(server, 'listening');
    const { port } = await forwardTo({ url: `https://127.0.0.1:${(server.address() as AddressInfo).port}` });
    const [answer] = await exchange(port, get('/'));
    expect(codeIn(answer?.body)).toBe('upstream_unreachable');
  });

  it('of the connection before there is an answer is upstream_error', async () => {
    const { port } = await forwardTo({ url: await cannedUpstream('') });
    const [answer] = await exchange(port, get('/'));
    expect(answer?.status).toBe(502);
    expect(codeIn(answer?.body)).toBe('upstream_error');
  });

  it('to answer in time is a 504, and the upstream is let go of', async () => {
    const left = Promise.withResolvers<void>();
    const origin = await rawUpstream((socket) => void socket.resume().once('close', () => left.resolve()));
    const { port } = await forwardTo({ url: origin, timeoutMs: 50 });
    const [answer] = await exchange(port, get('/'));
    expect(answer).toMatchObject({ status: 504, headers: { 'x-should-retry': 'false' } });
    expect(codeIn(answer?.body)).toBe('upstream_timeout');
    await left.promise;
  });

  it.each([
    ['with a length', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'],
    ['in chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n'],
  ])('in the middle of an answer %s breaks the caller’s connection off', async (_how, bytes) => {
    const { port, first } = await forwardTo({ url: await cannedUpstream(bytes) });
    const client = await dial(port);
    client.send('GET / HTTP/1.1\r\nHost: gateway\r\n\r\n');
    const [answer] = await client.all();
    expect(answer?.status).toBe(200);
    expect(answer?.body).not.toMatch(/\r\n0\r\n\r\n$/);
    expect(await first).toMatchObject({ code: 'upstream_error' });
  });

  it('of the body, which is too large, is a 413, and nothing is sent', async () => {
    const seen: unknown[] = [];
    const { origin } = await httpUpstream((request, response) => {
      seen.push(request.url);
      response.end();
    });
    const { port } = await forwardTo({ url: origin, maxBytes: 10 });
    const client = await dial(port);
    client.send('POST / HTTP/1.1\r\nHost: gateway\r\nContent-Length: 11\r\n\r\nhello world');
    const [answer] = await client.answers(1);
    expect(answer?.status).toBe(413);
    expect(codeIn(answer?.body)).toBe('payload_too_large');
    expect(seen).toEqual([]);
  });

  it('of the body, which stops coming, is a 408, and the upstream is let go of', async () => {
    const left = Promise.withResolvers<void>();
    const origin = await rawUpstream((socket) => void socket.resume().once('close', () => left.resolve()));
    const { port } = await forwardTo({ url: origin, bodyMs: 50 });
    const client = await dial(port);
    client.send('POST / HTTP/1.1\r\nHost: gateway\r\nContent-Length: 11\r\n\r\nhello');
    expect((await client.answers(1))[0]?.status).toBe(408);
    await left.promise;
  });
});

describe('a caller that leaves', () => {
  it('before the answer lets go of the upstream', async () => {
    const left = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const { origin } = await httpUpstream((request) => {
      request.socket.once('close', () => left.resolve());
      asked.resolve();
    });
    const { port, first } = await forwardTo({ url: origin });
    const client = await dial(port);
    client.send(get('/'));
    await asked.promise;
    client.socket.destroy();
    await left.promise;
    expect(await first).toMatchObject({ code: 'client_closed_request' });
  });

  it('in the middle of the answer does, too', async () => {
    const left = Promise.withResolvers<void>();
    const { origin } = await httpUpstream((request, response) => {
      request.socket.once('close', () => left.resolve());
      response.write('data: 1\n\n');
    });
    const { port, first } = await forwardTo({ url: origin });
    const client = await dial(port);
    client.send(get('/'));
    await once(client.socket, 'data');
    client.socket.destroy();
    await left.promise;
    expect(await first).toMatchObject({ code: 'client_closed_request' });
  });

  it('in the middle of its upload does, too', async () => {
    const left = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const { origin } = await httpUpstream((request) => {
      request.on('error', () => undefined).resume();
      request.socket.once('close', () => left.resolve());
      asked.resolve();
    });
    const { port, first } = await forwardTo({ url: origin });
    const client = await dial(port);
    client.send('POST / HTTP/1.1\r\nHost: gateway\r\nContent-Length: 1000000\r\n\r\nabc');
    await asked.promise;
    client.socket.destroy();
    await left.promise;
    expect(await first).toMatchObject({ code: 'client_closed_request' });
  });

  it('is not waited for when the exchange is aborted', async () => {
    const controller = new AbortController();
    const reason = new GatewayError('overloaded', 'The gateway is shutting down.');
    const left = Promise.withResolvers<void>();
    const { origin } = await httpUpstream((request) => {
      request.socket.once('close', () => left.resolve());
      controller.abort(reason);
    });
    const { port, first } = await forwardTo({ url: origin, signal: controller.signal });
    const [answer] = await exchange(port, get('/'));
    expect(answer?.status).toBe(503);
    expect(await first).toBe(reason);
    await left.promise;
  });
});
