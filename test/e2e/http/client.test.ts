import { hash } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it, onTestFinished } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import { createHttpClient, type HttpClientSettings, type PooledClient } from '../../../src/http/client.ts';
import {
  PictureText,
  type SendOptions,
  type UpstreamReply,
  type WireBody,
  type WireRequest,
} from '../../../src/pipeline/upstream.ts';
import { cannedUpstream, deadOrigin, httpUpstream, rawUpstream } from './upstream.ts';

function newClient(settings: Partial<HttpClientSettings> = {}): PooledClient {
  const client = createHttpClient({ connectTimeoutMs: 5_000, ...settings });
  onTestFinished(() => client.destroy());
  return client;
}

interface Sending {
  readonly reply: Promise<UpstreamReply>;
  /** How often `onSent` was called. */
  sent: number;
}

function send(
  client: PooledClient,
  origin: string,
  { body = { kind: 'none' }, ...request }: Partial<WireRequest> = {},
  options: Partial<SendOptions> = {},
): Sending {
  const sending = { sent: 0 };
  const reply = client.send(
    { method: body.kind === 'none' ? 'GET' : 'POST', url: `${origin}/v1/x?y=z`, headers: {}, body, ...request },
    { signal: new AbortController().signal, maxReplyBytes: 1e6, onSent: () => void (sending.sent += 1), ...options },
  );
  return Object.assign(sending, { reply });
}

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'no error',
    (error: unknown) => error,
  );
const textOf = async (reply: UpstreamReply): Promise<string> => Buffer.from(await collect(reply.body)).toString();

const picture = Buffer.from('not really a picture');
const json: WireBody = { kind: 'json', value: { prompt: 'a cat' } };
const jsonWithPicture: WireBody = {
  kind: 'json',
  value: { image: new PictureText({ kind: 'bytes', bytes: picture }, 'data:image/png;base64,') },
};

describe('a request to a provider', () => {
  it('goes out as it is described, and asks for plain bytes', async () => {
    let seen: IncomingMessage | undefined;
    const { origin } = await httpUpstream(async (request, response) => {
      seen = request;
      response.end(await collect(request));
    });
    const sending = send(newClient(), origin, { body: json, headers: { authorization: 'Bearer t', 'x-a': 'b' } });
    expect(await textOf(await sending.reply)).toBe('{"prompt":"a cat"}');
    expect(seen?.method).toBe('POST');
    expect(seen?.url).toBe('/v1/x?y=z');
    expect(seen?.headers).toMatchObject({
      authorization: 'Bearer t',
      'x-a': 'b',
      'content-type': 'application/json',
      'content-length': '18',
      'accept-encoding': 'identity',
    });
    expect(sending.sent).toBe(1);
  });

  it('streams a body with a picture, of known length', async () => {
    let length: string | undefined;
    const { origin } = await httpUpstream(async (request, response) => {
      length = request.headers['content-length'];
      response.end(await collect(request));
    });
    const sending = send(newClient(), origin, { body: jsonWithPicture });
    const text = await textOf(await sending.reply);
    expect(text).toBe(`{"image":"data:image/png;base64,${btoa(picture.toString())}"}`);
    expect(length).toBe(String(text.length));
    expect(sending.sent).toBe(1);
  });

  it('keeps its connection for the next one', async () => {
    const ports = new Set<number | undefined>();
    const { origin } = await httpUpstream((request, response) => {
      ports.add(request.socket.remotePort);
      response.end('x');
    });
    const client = newClient();
    for (let count = 0; count < 5; count += 1) await textOf(await send(client, origin).reply);
    // A second one is opened when the first is not quite done with its request.
    expect(ports.size).toBeLessThanOrEqual(2);
  });

  it('gives status and headers of any answer, repeated ones joined, and follows no redirect', async () => {
    const { origin } = await httpUpstream((_request, response) => {
      response
        .writeHead(302, [
          ['Location', '/elsewhere'],
          ['X-A', '1'],
          ['X-A', '2'],
        ])
        .end();
    });
    const reply = await send(newClient(), origin).reply;
    expect(reply.status).toBe(302);
    expect(reply.headers).toMatchObject({ location: '/elsewhere', 'x-a': '1, 2' });
  });

  it('passes over interim answers', async () => {
    const origin = await cannedUpstream(
      'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok',
    );
    expect(await textOf(await send(newClient(), origin).reply)).toBe('ok');
  });

  it('may go to several origins of a provider', async () => {
    const one = await httpUpstream((_request, response) => void response.end('one'));
    const two = await httpUpstream((_request, response) => void response.end('two'));
    const client = newClient();
    expect(await textOf(await send(client, one.origin).reply)).toBe('one');
    expect(await textOf(await send(client, two.origin).reply)).toBe('two');
  });

  it('is signed once its body is written, with the digest of exactly what is sent', async () => {
    let seen: { readonly body: Buffer; readonly signature: string | string[] | undefined } | undefined;
    const { origin } = await httpUpstream(async (request, response) => {
      const body = Buffer.from(await collect(request));
      seen = { body, signature: request.headers['x-signature'] };
      response.end();
    });
    for (const body of [jsonWithPicture, json, { kind: 'form', fields: { a: 'b c' } }] as const) {
      const sign = (bodySha256: string) => Promise.resolve({ 'x-signature': bodySha256 });
      await textOf(await send(newClient(), origin, { body }, { sign }).reply);
      expect(seen?.signature).toBe(hash('sha256', seen?.body ?? ''));
    }
    expect(seen?.body.toString()).toBe('a=b+c');
  });

  it('streams the answer as it comes', async () => {
    const gate = Promise.withResolvers<void>();
    const { origin } = await httpUpstream(async (_request, response) => {
      response.write('first');
      await gate.promise;
      response.end('second');
    });
    const { body } = await send(newClient(), origin).reply;
    const chunks = body[Symbol.asyncIterator]();
    expect(Buffer.from((await chunks.next()).value ?? []).toString()).toBe('first');
    gate.resolve();
    expect(Buffer.from((await chunks.next()).value ?? []).toString()).toBe('second');
    expect((await chunks.next()).done).toBe(true);
  });

  it('makes a fast provider wait for a slow reader', async () => {
    const total = 64 * 1024 * 1024;
    let written = 0;
    const { origin } = await httpUpstream((_request, response) => {
      const piece = Buffer.alloc(1024 * 1024);
      const write = (): void => {
        while (written < total) {
          written += piece.byteLength;
          if (!response.write(piece)) {
            response.once('drain', write);
            response.emit('stalled');
            return;
          }
        }
        response.end();
      };
      write();
    });
    const { body } = await send(newClient(), origin, {}, { maxReplyBytes: total }).reply;
    let read = 0;
    for await (const chunk of body) {
      read += chunk.byteLength;
      // What lies between the two ends is what the system and a few buffers hold, never the whole.
      if (read < 1024 * 1024) await new Promise((resolve) => setImmediate(resolve));
      expect(written - read).toBeLessThan(total / 2);
    }
    expect(read).toBe(total);
  });
});

describe('a failure', () => {
  it('to connect is upstream_unreachable, and nothing was sent', async () => {
    const origin = await deadOrigin();
    const sending = send(newClient(), origin, { body: jsonWithPicture });
    const error = await failure(sending.reply);
    expect(error).toMatchObject({ code: 'upstream_unreachable' });
    expect((error as Error).message).not.toContain('127.0.0.1');
    expect(sending.sent).toBe(0);
  });

  it('to look the host up is upstream_unreachable', async () => {
    const origin = 'http://does-not-exist.invalid';
    const sending = send(newClient(), origin);
    const error = await failure(sending.reply);
    expect(error).toMatchObject({ code: 'upstream_unreachable' });
    expect((error as Error).message).not.toContain('invalid');
    expect(sending.sent).toBe(0);
  });

  it('of the TLS handshake is upstream_unreachable', async () => {
    const origin = (await cannedUpstream('this is not TLS')).replace('http:', 'https:');
    const sending = send(newClient(), origin);
    expect(await failure(sending.reply)).toMatchObject({ code: 'upstream_unreachable' });
    expect(sending.sent).toBe(0);
  });

  it.each([
    ['closes without an answer', '', 'upstream_error'],
    ['closes in the middle of the head', 'HTTP/1.1 200 OK\r\ncontent-', 'upstream_error'],
    ['does not speak HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', 'upstream_invalid_response'],
    [
      'sends endless headers',
      `HTTP/1.1 200 OK\r\n${`x: ${'a'.repeat(100)}\r\n`.repeat(1000)}`,
      'upstream_invalid_response',
    ],
  ])('of a provider that %s is told after it was sent', async (_what, bytes, code) => {
    const origin = await cannedUpstream(bytes);
    const sending = send(newClient(), origin, { body: json });
    expect(await failure(sending.reply)).toMatchObject({ code });
    expect(sending.sent).toBe(1);
  });

  it.each([
    ['with a length', 'HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc'],
    ['in chunks', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n'],
    ['in its last chunks', 'HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n'],
  ])('in the middle of an answer %s is upstream_error', async (_how, bytes) => {
    const origin = await cannedUpstream(bytes);
    const reply = await send(newClient(), origin).reply;
    expect(await failure(collect(reply.body))).toMatchObject({ code: 'upstream_error' });
  });

  it('of the body’s source is passed on as it is, and breaks the request off', async () => {
    const source = new GatewayError('invalid_image', 'The picture is gone.');
    const ended = Promise.withResolvers<void>();
    const origin = await rawUpstream((socket) => void socket.resume().once('close', () => ended.resolve()));
    const file = {
      byteLength: 100_000,
      async *read(): AsyncGenerator<Uint8Array> {
        yield new Uint8Array(90_000);
        throw source;
      },
      close: () => Promise.resolve(),
    };
    const body: WireBody = { kind: 'json', value: { image: new PictureText({ kind: 'file', file }) } };
    expect(await failure(send(newClient(), origin, { body }).reply)).toBe(source);
    await ended.promise;
  });
});

describe('the bound on an answer', () => {
  it('holds for its declared length', async () => {
    const { origin } = await httpUpstream((_request, response) => void response.end(Buffer.alloc(101)));
    const reply = await send(newClient(), origin, {}, { maxReplyBytes: 100 }).reply;
    expect(reply.body.length).toBe(101);
    expect(await failure(collect(reply.body))).toMatchObject({ code: 'upstream_invalid_response' });
  });

  it('holds for an endless one, and ends it', async () => {
    const ended = Promise.withResolvers<void>();
    const { origin } = await httpUpstream((_request, response) => {
      const piece = Buffer.alloc(64 * 1024);
      const write = (): void => {
        while (!response.destroyed && response.write(piece));
      };
      response.on('drain', write).on('close', () => ended.resolve());
      write();
    });
    const reply = await send(newClient(), origin).reply;
    expect(await failure(collect(reply.body))).toMatchObject({ code: 'upstream_invalid_response' });
    await ended.promise;
  });

  const encoders = { gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync, zstd: zstdCompressSync };

  it.each(Object.entries(encoders))('and the decoding of %s that nobody asked for', async (coding, encode) => {
    const { origin } = await httpUpstream((_request, response) => {
      response.writeHead(200, { 'content-encoding': coding }).end(encode(Buffer.from('plain text')));
    });
    const reply = await send(newClient(), origin).reply;
    expect(reply.headers).not.toHaveProperty('content-encoding');
    expect(reply.body.length).toBeUndefined();
    expect(await textOf(reply)).toBe('plain text');
  });

  it.each(Object.entries(encoders))('holds for what a bomb of %s would unfold to', async (coding, encode) => {
    const { origin } = await httpUpstream((_request, response) => {
      response.writeHead(200, { 'content-encoding': coding }).end(encode(Buffer.alloc(20_000_000)));
    });
    const reply = await send(newClient(), origin).reply;
    expect(await failure(collect(reply.body))).toMatchObject({ code: 'upstream_invalid_response' });
  });

  it('finds out data that is not compressed after all, and data that is cut', async () => {
    const { origin } = await httpUpstream((request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' });
      response.end(request.url === '/cut' ? gzipSync(Buffer.alloc(1000)).subarray(0, 20) : 'plain');
    });
    for (const path of ['/cut', '/plain']) {
      const reply = await send(newClient(), origin, { url: origin + path }).reply;
      expect(await failure(collect(reply.body))).toMatchObject({ code: 'upstream_invalid_response' });
    }
  });

  it('calls a connection that breaks in compressed data by its name', async () => {
    const compressed = gzipSync(Buffer.from('some text'));
    const head = Buffer.from(`HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1000\r\n\r\n`);
    const origin = await cannedUpstream(Buffer.concat([head, compressed]));
    const reply = await send(newClient(), origin).reply;
    expect(await failure(collect(reply.body))).toMatchObject({ code: 'upstream_error' });
  });

  it('refuses a coding that it does not know', async () => {
    const { origin } = await httpUpstream((_request, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip, br' }).end('x');
    });
    expect(await failure(send(newClient(), origin).reply)).toMatchObject({ code: 'upstream_invalid_response' });
  });
});

describe('an abort', () => {
  it('rejects with the signal’s own reason before anything is sent', async () => {
    const reason = new GatewayError('upstream_timeout', 'too late');
    const { origin } = await httpUpstream((_request, response) => void response.end());
    const sending = send(newClient(), origin, {}, { signal: AbortSignal.abort(reason) });
    expect(await failure(sending.reply)).toBe(reason);
    expect(sending.sent).toBe(0);
  });

  it('while the provider works closes the connection at once', async () => {
    const controller = new AbortController();
    const reason = new GatewayError('upstream_timeout', 'too late');
    const left = Promise.withResolvers<void>();
    const { origin } = await httpUpstream((request) => {
      request.socket.once('close', () => left.resolve());
      controller.abort(reason);
    });
    const sending = send(newClient(), origin, { body: jsonWithPicture }, { signal: controller.signal });
    expect(await failure(sending.reply)).toBe(reason);
    await left.promise;
    expect(sending.sent).toBe(1);
  });

  it('while the answer streams closes the connection at once', async () => {
    const controller = new AbortController();
    const reason = new GatewayError('client_closed_request', 'gone');
    const left = Promise.withResolvers<void>();
    const { origin } = await httpUpstream((request, response) => {
      request.socket.once('close', () => left.resolve());
      response.write('first');
    });
    const { body } = await send(newClient(), origin, {}, { signal: controller.signal }).reply;
    const chunks = body[Symbol.asyncIterator]();
    await chunks.next();
    const next = failure(chunks.next());
    controller.abort(reason);
    expect(await next).toBe(reason);
    await left.promise;
  });

  it('while it waits for a connection leaves the others alone', async () => {
    const gate = Promise.withResolvers<void>();
    const { origin } = await httpUpstream(async (request, response) => {
      await gate.promise;
      response.end(`${request.socket.remotePort}`);
    });
    const client = newClient({ maxConnections: 1 });
    const first = send(client, origin);
    const controller = new AbortController();
    const waiting = send(client, origin, {}, { signal: controller.signal });
    const last = send(client, origin);
    const reason = new Error('given up');
    controller.abort(reason);
    expect(await failure(waiting.reply)).toBe(reason);
    gate.resolve();
    expect(await textOf(await first.reply)).toBe(await textOf(await last.reply));
    expect(waiting.sent).toBe(0);
  });

  it('after the end changes nothing', async () => {
    const controller = new AbortController();
    const { origin } = await httpUpstream((_request, response) => void response.end('whole'));
    const client = newClient();
    const reply = await send(client, origin, {}, { signal: controller.signal }).reply;
    expect(await textOf(reply)).toBe('whole');
    controller.abort();
    expect(await textOf(await send(client, origin).reply)).toBe('whole');
  });
});

describe('giving an answer up', () => {
  it('closes the connection at once', async () => {
    const left = Promise.withResolvers<void>();
    const { origin } = await httpUpstream((request, response) => {
      request.socket.once('close', () => left.resolve());
      response.write('first');
    });
    const reply = await send(newClient(), origin).reply;
    for await (const chunk of reply.body) {
      expect(chunk.byteLength).toBe(5);
      break;
    }
    await left.promise;
    reply.body.cancel();
  });

  it('without having read any of it does, too', async () => {
    const left = Promise.withResolvers<void>();
    const { origin } = await httpUpstream((request, response) => {
      request.socket.once('close', () => left.resolve());
      response.flushHeaders();
    });
    (await send(newClient(), origin).reply).body.cancel();
    await left.promise;
  });
});

describe('closing the client', () => {
  it('lets requests under way finish', async () => {
    const gate = Promise.withResolvers<void>();
    const { origin, server } = await httpUpstream(async (_request, response) => {
      await gate.promise;
      response.end('finished');
    });
    const client = newClient();
    const sending = send(client, origin);
    await once(server, 'request');
    const closing = client.close();
    gate.resolve();
    expect(await textOf(await sending.reply)).toBe('finished');
    await closing;
  });
});
