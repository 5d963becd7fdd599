import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { text as textOf } from 'node:stream/consumers';
import { afterEach, describe, expect, it } from 'vitest';
import { bytesSource, collect, type ByteSource } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import { errorResponse, hasBegun, sendResponse } from '../../../src/http/reply.ts';
import type { LiveConnection } from '../../../src/pipeline/exchange.ts';
import { jsonResponse, type BodyResponse } from '../../../src/pipeline/response.ts';

describe('an error as an answer', () => {
  it('is OpenAI’s error object, and says whether another try makes sense', async () => {
    const response = errorResponse(new GatewayError('invalid_value', 'Too many.', { param: 'n' }));
    expect([response.status, response.headers]).toEqual([
      400,
      { 'content-type': 'application/json', 'x-should-retry': 'false' },
    ]);
    expect(await documentOf(response)).toEqual({
      error: { message: 'Too many.', type: 'invalid_request_error', param: 'n', code: 'invalid_value' },
    });
    expect(errorResponse(new GatewayError('upstream_error', '')).headers).toMatchObject({ 'x-should-retry': 'true' });
    expect(errorResponse(new GatewayError('upstream_error', '', { retry: false })).headers).toMatchObject({
      'x-should-retry': 'false',
    });
  });

  it.each([
    [undefined, undefined],
    [0, '1'],
    [1, '1'],
    [1000, '1'],
    [1001, '2'],
    [90_500, '91'],
  ])('tells to wait %j milliseconds in whole seconds, rounded up: %j', (retryAfterMs, header) => {
    const { headers } = errorResponse(new GatewayError('rate_limit_exceeded', '', { retryAfterMs }));
    expect(headers['retry-after']).toBe(header);
  });

  it('has further headers of the error', () => {
    const error = new GatewayError('method_not_allowed', '', { headers: { allow: 'GET, HEAD' }, status: 405 });
    expect(errorResponse(error).headers).toMatchObject({ allow: 'GET, HEAD' });
  });
});

describe('an answer that is complete', () => {
  it('goes out with its length; its own headers win over those of the exchange', async () => {
    const { answer } = await exchange(jsonResponse(201, { ok: true }, { 'x-a': 'own' }), {
      headers: new Map([
        ['x-a', 'theirs'],
        ['x-request-id', 'req_1'],
      ]),
    });
    expect(answer.statusCode).toBe(201);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/json',
      'content-length': '11',
      'x-a': 'own',
      'x-request-id': 'req_1',
    });
    expect(await textOf(answer)).toBe('{"ok":true}');
  });

  it('has no body for HEAD, but its length', async () => {
    const { answer } = await exchange(jsonResponse(200, { ok: true }), { method: 'HEAD' });
    expect(answer.headers['content-length']).toBe('11');
    expect(await textOf(answer)).toBe('');
  });

  it.each([204, 304])('has neither body nor length for %i', async (status) => {
    const { answer } = await exchange({ kind: 'body', status, headers: {}, body: new Uint8Array() });
    expect(answer.headers).not.toHaveProperty('content-length');
    expect(await textOf(answer)).toBe('');
  });

  it('is sent when its last byte was handed to the system', async () => {
    const body = Buffer.alloc(20_000_000, 'x');
    const { answer, sent } = await exchange({ kind: 'body', status: 200, headers: {}, body });
    const finished = sent.then(({ answer }) => answer.kind === 'response' && answer.response.writableFinished);
    expect((await collect(answer)).byteLength).toBe(body.byteLength);
    expect(await finished).toBe(true);
  });

  it('that nobody takes is given up at the signal', async () => {
    const body = Buffer.alloc(20_000_000, 'x');
    const controller = new AbortController();
    const { answer, sent } = await exchange(
      { kind: 'body', status: 200, headers: {}, body },
      { signal: controller.signal },
    );
    const failed = expect(sent).rejects.toMatchObject({ name: 'AbortError' });
    controller.abort(new Error('waited long enough'));
    await failed;
    await expect(collect(answer)).rejects.toMatchObject({ code: 'ECONNRESET' });
  });

  it('does not wait for a client that has gone', async () => {
    const body = Buffer.alloc(20_000_000, 'x');
    const { answer, sent } = await exchange({ kind: 'body', status: 200, headers: {}, body });
    answer.destroy();
    await sent;
  });
});

describe('an answer that is streamed', () => {
  it('has the length that is known', async () => {
    const { answer } = await exchange(streamed(bytesSource(Buffer.from('hello'))));
    expect(answer.headers['content-length']).toBe('5');
    expect(await textOf(answer)).toBe('hello');
  });

  it('is chunked where the length is not known', async () => {
    const { answer } = await exchange(streamed(sourceOf(['hel', 'lo'])));
    expect(answer.headers['transfer-encoding']).toBe('chunked');
    expect(await textOf(answer)).toBe('hello');
  });

  it('may be empty', async () => {
    const { answer } = await exchange(streamed(bytesSource(new Uint8Array())));
    expect([answer.statusCode, answer.headers['content-length']]).toEqual([200, '0']);
    expect(await textOf(answer)).toBe('');
  });

  it('is sent when its last byte was handed to the system', async () => {
    const large = Buffer.alloc(5_000_000, 'x');
    const { answer, sent } = await exchange(streamed(sourceOf([large, large, large])));
    const finished = sent.then(({ answer }) => answer.kind === 'response' && answer.response.writableFinished);
    expect((await collect(answer)).byteLength).toBe(3 * large.byteLength);
    expect(await finished).toBe(true);
  });

  it('that fails before its first byte can still become an error', async () => {
    let begun: boolean | undefined;
    const fault = new GatewayError('upstream_error', 'The provider failed.');
    const failing = streamed(sourceOf([], () => Promise.reject(fault)));
    const { answer, sent } = await exchange(failing, {
      async afterFailure(live, error) {
        begun = hasBegun(live);
        if (error instanceof GatewayError) await send(live, errorResponse(error));
      },
    });
    expect(answer.statusCode).toBe(502);
    expect(await textOf(answer)).toContain('The provider failed.');
    await sent;
    expect(begun).toBe(false);
  });

  it('that fails midway is broken off, and its source let go of', async () => {
    const fault = new Error('the provider went away');
    const arrived = Promise.withResolvers<never>();
    const source = sourceOf([Buffer.alloc(1000)], () => arrived.promise);
    const { answer, sent } = await exchange(streamed(source));
    const failed = expect(sent).rejects.toBe(fault);
    arrived.reject(fault);
    await expect(collect(answer)).rejects.toMatchObject({ code: 'ECONNRESET' });
    await failed;
    expect(source.cancelled()).toBe(true);
  });

  it('waits for a client that reads slowly, and for the signal', async () => {
    let pulled = 0;
    const endless: ByteSource = {
      length: undefined,
      cancel() {},
      async *[Symbol.asyncIterator]() {
        for (;;) {
          pulled += 1;
          yield Buffer.alloc(1_000_000);
        }
      },
    };
    const controller = new AbortController();
    const { sent } = await exchange(streamed(endless), {
      signal: controller.signal,
      onDrainWait: () => controller.abort(),
    });
    await expect(sent).rejects.toMatchObject({ name: 'AbortError' });
    expect(pulled).toBeLessThan(100);
  });
});

describe('an answer in place of an upgrade', () => {
  it('goes out on the bare socket, which is closed then', async () => {
    const server = await listening();
    server.on('upgrade', (request, socket, head) => {
      void send(
        { request, answer: { kind: 'upgrade', socket, head } },
        jsonResponse(403, { no: 1 }),
        new Map([['x-request-id', 'req_1']]),
      );
    });
    const socket = connect(portOf(server), '127.0.0.1');
    sockets.push(socket);
    socket.write('GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n');
    const [head = '', body] = (await textOf(socket)).split('\r\n\r\n');
    const [status, ...headers] = head.split('\r\n');
    expect(status).toBe('HTTP/1.1 403 Forbidden');
    expect(headers).toEqual(expect.arrayContaining(['content-length: 8', 'connection: close', 'x-request-id: req_1']));
    expect(body).toBe('{"no":1}');
  });
});

const servers: Server[] = [];
const sockets: Socket[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

async function listening(): Promise<Server> {
  const server = createServer();
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

interface ExchangeOptions {
  readonly method?: string;
  readonly headers?: ReadonlyMap<string, string>;
  readonly signal?: AbortSignal;
  /** Called when the answer could not be sent. What it throws not is taken as mended. */
  readonly afterFailure?: (live: LiveConnection, error: unknown) => Promise<void>;
  /** Called when the answer waits for the client the first time. */
  readonly onDrainWait?: () => void;
}

/** Sends an answer over a real connection. */
async function exchange(
  response: BodyResponse,
  options: ExchangeOptions = {},
): Promise<{ readonly answer: IncomingMessage; readonly sent: Promise<LiveConnection> }> {
  const server = await listening();
  const { promise: sent, resolve, reject } = Promise.withResolvers<LiveConnection>();
  // The test may look at it only later.
  sent.catch(() => undefined);
  server.on('request', (request, answering) => {
    const live: LiveConnection = { request, answer: { kind: 'response', response: answering } };
    const write = answering.write.bind(answering) as (chunk: Uint8Array) => boolean;
    if (options.onDrainWait !== undefined) {
      answering.write = (chunk: Uint8Array): boolean => {
        const more = write(chunk);
        if (!more) setImmediate(() => options.onDrainWait?.());
        return more;
      };
    }
    send(live, response, options.headers, options.signal)
      .catch((error: unknown) => {
        if (options.afterFailure === undefined) throw error;
        return options.afterFailure(live, error);
      })
      .then(() => resolve(live), reject);
  });
  const asked = httpRequest({ port: portOf(server), host: '127.0.0.1', method: options.method ?? 'GET', agent: false });
  asked.end();
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  asked.on('error', () => undefined);
  return { answer, sent };
}

function send(
  live: LiveConnection,
  response: BodyResponse,
  headers: ReadonlyMap<string, string> = new Map(),
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  return sendResponse(live, response, headers, signal);
}

function streamed(body: ByteSource): BodyResponse {
  return { kind: 'body', status: 200, headers: {}, body };
}

/** A source of unknown length. @param fault called after the chunks */
function sourceOf(
  chunks: readonly (string | Uint8Array)[],
  fault?: () => Promise<never>,
): ByteSource & { readonly cancelled: () => boolean } {
  let cancelled = false;
  return {
    length: undefined,
    cancel: () => void (cancelled = true),
    cancelled: () => cancelled,
    async *[Symbol.asyncIterator]() {
      for (const chunk of chunks) yield Buffer.from(chunk);
      await fault?.();
    },
  };
}

async function documentOf({ body }: BodyResponse): Promise<unknown> {
  const bytes = body instanceof Uint8Array ? body : await collect(body);
  return JSON.parse(Buffer.from(bytes).toString());
}
