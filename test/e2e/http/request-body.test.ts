import { once } from 'node:events';
import { createConnection } from 'node:net';
import { describe, expect, it } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import { requestBody, type RequestBodyOptions } from '../../../src/http/request-body.ts';
import { dial, echo, serve, timeouts } from './harness.ts';

const head = (headers: string): string => `POST / HTTP/1.1\r\nHost: gateway\r\n${headers}\r\n`;
const patient: RequestBodyOptions = { maxBytes: 1024 * 1024, bodyMs: 30_000 };

/** A server whose only business is to read bodies; the outcome of the first is promised. */
async function reader(
  options: Partial<RequestBodyOptions> = {},
): Promise<{ readonly port: number; readonly outcome: Promise<unknown>; readonly begun: Promise<void> }> {
  const { promise: outcome, resolve } = Promise.withResolvers<unknown>();
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const { port } = await serve(({ request }) => {
    const reading = collect(requestBody(request, { ...patient, ...options }));
    begin();
    resolve(reading.catch((error: unknown) => error));
  });
  return { port, outcome, begun };
}

const code = (error: unknown): string | undefined => (error instanceof GatewayError ? error.code : undefined);

describe('a request’s body', () => {
  it('arrives whole, whether it is chunked or has a length', async () => {
    const { port } = await serve(echo());
    const client = await dial(port);
    client.send(`${head('Transfer-Encoding: chunked\r\n')}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`);
    client.send(`${head('Content-Length: 4\r\n')}abcd`);
    const answers = await client.answers(2);
    expect(answers.map(({ body }) => body)).toEqual(['POST / 5', 'POST / 4']);
  });

  it('is refused by its declared length before anything of it is read', async () => {
    const { port } = await serve(echo([], { ...patient, maxBytes: 10 }));
    const client = await dial(port);
    client.send(head('Content-Length: 11\r\nExpect: 100-continue\r\n'));
    const [answer] = await client.all();
    expect(answer).toMatchObject({ status: 413, headers: { connection: 'close' } });
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({ error: { code: 'payload_too_large' } });
  });

  it('is refused when more comes than is accepted, without a declared length', async () => {
    const { port } = await serve(echo([], { ...patient, maxBytes: 4 }));
    const client = await dial(port);
    client.send(`${head('Transfer-Encoding: chunked\r\n')}5\r\nabcde\r\n`);
    expect((await client.all())[0]).toMatchObject({ status: 413, headers: { connection: 'close' } });
  });

  it('that is too large leaves its sender able to read the 413, although it sends on', async () => {
    const { port } = await serve(echo([], { ...patient, maxBytes: 1024 }));
    const client = await dial(port);
    const megabytes = 20;
    client.send(head(`Content-Length: ${megabytes * 1024 * 1024}\r\n`));
    const piece = Buffer.alloc(1024 * 1024);
    for (let sent = 0; sent < megabytes && !client.socket.destroyed; sent += 1) {
      client.send(piece);
      if (client.socket.writableNeedDrain)
        await Promise.race([once(client.socket, 'drain'), once(client.socket, 'close')]);
    }
    expect((await client.all())[0]).toMatchObject({ status: 413, headers: { connection: 'close' } });
  });

  it('is asked for with 100 Continue once it is read, and not before', async () => {
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>();
    const { port } = await serve(async ({ request, answer }) => {
      if (answer.kind !== 'response') return;
      const body = requestBody(request, patient);
      ask();
      answer.response.writeProcessing();
      answer.response.end(await collect(body));
    });
    const client = await dial(port);
    client.send(head('Content-Length: 3\r\nExpect: 100-continue\r\n'));
    await asked;
    expect((await client.answers(2)).map(({ status }) => status)).toEqual([102, 100]);
    client.send('abc');
    expect((await client.answers(3))[2]).toMatchObject({ status: 200, body: 'abc' });
  });

  it('that stops coming fails as a request timeout, and the connection is closed', async () => {
    const { port } = await serve(echo([], { ...patient, bodyMs: 50 }));
    const client = await dial(port);
    client.send(`${head('Content-Length: 10\r\n')}abc`);
    const [answer] = await client.all();
    expect(answer).toMatchObject({ status: 408, headers: { connection: 'close', 'x-should-retry': 'true' } });
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({ error: { code: 'request_timeout' } });
  });

  it('of a client that leaves fails as such', async () => {
    const { port, outcome, begun } = await reader();
    const client = await dial(port);
    client.send(`${head('Content-Length: 10\r\n')}abc`);
    await begun;
    client.socket.destroy();
    expect(code(await outcome)).toBe('client_closed_request');
  });

  it('of a client that had left before it was read fails as such', async () => {
    const { promise: outcome, resolve } = Promise.withResolvers<unknown>();
    const { port } = await serve(({ request }) => {
      client.socket.resetAndDestroy();
      request.socket.once('close', () => {
        resolve(collect(requestBody(request, patient)).catch((error: unknown) => error));
      });
    });
    const client = await dial(port);
    client.send(`${head('Content-Length: 10\r\n')}abc`);
    expect(code(await outcome)).toBe('client_closed_request');
  });

  it('whose framing breaks later on is answered with one 400', async () => {
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
    const answer = echo();
    const { port } = await serve((live) => {
      answer(live);
      begin();
    });
    const client = await dial(port);
    client.send(`${head('Transfer-Encoding: chunked\r\n')}3\r\nabc\r\n`);
    await begun;
    client.send('rubbish\r\n');
    const answers = await client.all();
    expect(answers.map(({ status }) => status)).toEqual([400]);
    expect(answers[0]?.headers).toMatchObject({ connection: 'close' });
  });

  it('whose framing breaks after the answer has begun ends the connection after the answer', async () => {
    const { promise: begun, resolve: begin } = Promise.withResolvers<() => void>();
    const { port } = await serve(({ answer }) => {
      if (answer.kind !== 'response') return;
      const { response } = answer;
      response.writeHead(200, { 'content-length': 4 });
      response.write('ab');
      begin(() => response.end('cd'));
    });
    const client = await dial(port);
    client.send(`${head('Transfer-Encoding: chunked\r\n')}3\r\nabc\r\n`);
    const finish = await begun;
    client.send('rubbish\r\n');
    await dial(port);
    finish();
    expect((await client.all()).map(({ status, body }) => [status, body])).toEqual([[200, 'abcd']]);
  });

  it('can be given up without an end to the connection', async () => {
    const { port } = await serve(({ request, answer }) => {
      const body = requestBody(request, patient);
      body.cancel();
      if (answer.kind === 'response')
        collect(body).then(
          (bytes) => answer.response.end(`${bytes.byteLength}`),
          () => {},
        );
    });
    const client = await dial(port);
    client.send(`${head('Content-Length: 3\r\n')}abc${head('Content-Length: 0\r\n')}`);
    expect((await client.answers(2)).map(({ body }) => body.slice(-1))).toEqual(['0', '0']);
  });
});

describe('a head that does not come', () => {
  it('is answered with 408 when it has begun', async () => {
    const { port } = await serve(echo(), { timeouts: { ...timeouts, headersMs: 100 } });
    const client = await dial(port);
    client.send('GET / HTTP/1.1\r\nHost: gate');
    const [answer] = await client.all();
    expect(answer).toMatchObject({ status: 408, headers: { connection: 'close', 'x-should-retry': 'true' } });
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({ error: { code: 'request_timeout' } });
  });

  it('ends the connection in silence when there was not a byte', async () => {
    const { port } = await serve(echo(), { timeouts: { ...timeouts, headersMs: 100 } });
    const socket = createConnection({ port, host: '127.0.0.1' });
    socket.on('error', () => undefined);
    const received: Buffer[] = [];
    socket.on('data', (chunk) => received.push(chunk));
    await once(socket, 'close');
    expect(received).toEqual([]);
  });

  it('ends an idle connection after its time', async () => {
    const { port } = await serve(echo(), { timeouts: { ...timeouts, keepAliveMs: 50 } });
    const client = await dial(port);
    client.send('GET / HTTP/1.1\r\nHost: gateway\r\n\r\n');
    expect(await client.all()).toHaveLength(1);
  });
});
