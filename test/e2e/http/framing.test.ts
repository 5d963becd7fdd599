import { describe, expect, it } from 'vitest';
import { dial, echo, exchange, serve } from './harness.ts';

const host = 'Host: gateway\r\n';
const chunked = `POST / HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\n`;
const get = (headers: string): string => `GET / HTTP/1.1\r\n${headers}\r\n`;
const post = (headers: string, body = ''): string => `POST / HTTP/1.1\r\n${host}${headers}\r\n${body}`;

/** Requests of which another server might see other ones than we would. */
const refused: Readonly<Record<string, string>> = {
  'a bare line feed after the request line': `GET / HTTP/1.1\n${host}\r\n`,
  'a bare line feed after a header': get('Host: gateway\nX: 1\r\n'),
  'a bare carriage return in a header': get(`${host}X: a\rb\r\n`),
  'a folded header': get(`${host}X: a\r\n b\r\n`),
  'a folded content-length': post('Content-Length:\r\n 1\r\n', 'a'),
  'a space before the colon': get(`${host}X : 1\r\n`),
  'a space before the first header': get(` X: 1\r\n${host}`),
  'a NUL in a header': get(`${host}X: a\0b\r\n`),
  'a control character in a header': get(`${host}X: a\x01b\r\n`),
  'a DEL in a header': get(`${host}X: a\x7fb\r\n`),
  'a header without a colon': get(`${host}foo\r\n`),
  'a header without a name': get(`${host}: x\r\n`),
  'no host': get(''),
  'an empty host': get('Host:\r\n'),
  'a host that is none': get('Host: a/b\r\n'),
  'a host with credentials': get('Host: user@gateway\r\n'),
  'two hosts': get(`${host}Host: other\r\n`),
  'two equal hosts': get(`${host}${host}`),
  'two authorizations': get(`${host}Authorization: Bearer a\r\nAuthorization: Bearer b\r\n`),
  'two content lengths': post('Content-Length: 1\r\nContent-Length: 2\r\n', 'ab'),
  'two equal content lengths': post('Content-Length: 1\r\nContent-Length: 1\r\n', 'a'),
  'a list of content lengths': post('Content-Length: 1, 1\r\n', 'a'),
  'a signed content length': post('Content-Length: +1\r\n', 'a'),
  'a negative content length': post('Content-Length: -1\r\n', 'a'),
  'a hexadecimal content length': post('Content-Length: 0x1\r\n', 'a'),
  'a content length with a space': post('Content-Length: 1 1\r\n', 'a'),
  'an empty content length': post('Content-Length:\r\n', 'a'),
  'a content length beyond all bounds': post('Content-Length: 99999999999999999999999\r\n', 'a'),
  'length and transfer coding': post('Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  'transfer coding and length': post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', '0\r\n\r\n'),
  'a coding before chunked': post('Transfer-Encoding: gzip, chunked\r\n', '0\r\n\r\n'),
  'a coding in place of chunked': post('Transfer-Encoding: gzip\r\n', '0\r\n\r\n'),
  'a coding after chunked': post('Transfer-Encoding: chunked, identity\r\n', '0\r\n\r\n'),
  'an identity coding': post('Transfer-Encoding: identity\r\nContent-Length: 1\r\n', 'a'),
  'an unknown coding': post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'),
  'chunked twice': post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
  'chunked with a vertical tab': post('Transfer-Encoding: \x0bchunked\r\n', '0\r\n\r\n'),
  'chunked with a comma': post('Transfer-Encoding: chunked,\r\n', '0\r\n\r\n'),
  'an empty transfer coding': post('Transfer-Encoding:\r\nContent-Length: 1\r\n', 'a'),
  'chunked in HTTP/1.0': `POST / HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  'chunks that end in bare line feeds': `${chunked}1\na\n0\n\n`,
  'a chunk extension that ends in a bare line feed': `${chunked}1;a=b\na\r\n0\r\n\r\n`,
  'chunk data that ends in a bare line feed': `${chunked}1\r\na\n0\r\n\r\n`,
  'a negative chunk size': `${chunked}-1\r\na\r\n0\r\n\r\n`,
  'a chunk size with 0x': `${chunked}0x1\r\na\r\n0\r\n\r\n`,
  'a chunk size with a space': `${chunked}1 \r\na\r\n0\r\n\r\n`,
  'a chunk size beyond all bounds': `${chunked}ffffffffffffffffff\r\na\r\n0\r\n\r\n`,
  'an empty chunk size': `${chunked}\r\na\r\n0\r\n\r\n`,
  'a chunk longer than its size': `${chunked}1\r\nab\r\n0\r\n\r\n`,
  'endless chunk extensions': `${chunked}1;${'a'.repeat(20_000)}\r\na\r\n0\r\n\r\n`,
  'a content length among the trailers': `${chunked}0\r\nContent-Length: 5\r\n\r\n`,
  'a transfer coding among the trailers': `${chunked}0\r\nTransfer-Encoding: chunked\r\n\r\n`,
  'a request line without a version': 'GET /\r\n\r\n',
  'an unknown version': `GET / HTTP/1.2\r\n${host}\r\n`,
  'HTTP/2 in the clothes of HTTP/1': `GET / HTTP/2.0\r\n${host}\r\n`,
  'the preface of HTTP/2': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'a method in lower case': `get / HTTP/1.1\r\n${host}\r\n`,
  'an unknown method': `FOO / HTTP/1.1\r\n${host}\r\n`,
  'a tab in the request line': `GET\t/ HTTP/1.1\r\n${host}\r\n`,
  'a space after the version': `GET / HTTP/1.1 \r\n${host}\r\n`,
  'a space before the method': ` GET / HTTP/1.1\r\n${host}\r\n`,
  'a target without a slash': `GET foo HTTP/1.1\r\n${host}\r\n`,
  'a target of bytes beyond ASCII': `GET /\xe9 HTTP/1.1\r\n${host}\r\n`,
  'a target with a fragment': `GET /a#b HTTP/1.1\r\n${host}\r\n`,
  'the target *': `OPTIONS * HTTP/1.1\r\n${host}\r\n`,
  'an absolute target of another scheme': `GET ftp://gateway/ HTTP/1.1\r\n${host}\r\n`,
  'an absolute target with credentials': `GET http://user@gateway/ HTTP/1.1\r\n${host}\r\n`,
  CONNECT: `CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n`,
  'a TLS handshake': '\x16\x03\x01\x02\x00\x01\x00\x01',
};

describe('framing', () => {
  it.each(Object.entries(refused))('refuses %s with one 400 and closes', async (_name, request) => {
    const seen: string[] = [];
    const { port } = await serve(echo(seen));
    // What follows in the same breath is what a smuggler wants to have taken for a request.
    const answers = await exchange(port, `${request}GET /smuggled HTTP/1.1\r\n${host}\r\n`);
    expect(answers).toHaveLength(1);
    const [answer] = answers;
    expect(answer?.status).toBe(400);
    expect(answer?.headers).toMatchObject({
      'content-type': 'application/json',
      connection: 'close',
      'x-should-retry': 'false',
    });
    expect(answer?.headers['x-request-id']).toMatch(/^req_[0-9a-f]{32}$/);
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({
      error: { type: 'invalid_request_error', code: 'bad_request', param: null },
    });
    expect(seen).toEqual([]);
  });

  it('answers headers that are too large with 431', async () => {
    const { port } = await serve(echo());
    const [answer] = await exchange(port, get(`${host}X: ${'a'.repeat(17 * 1024)}\r\n`));
    expect(answer?.status).toBe(431);
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({ error: { code: 'headers_too_large' } });
  });

  it('answers too many headers with 431 in place of leaving some out', async () => {
    const { port } = await serve(echo());
    const [answer] = await exchange(port, get(`${host}${'a:b\r\n'.repeat(300)}`));
    expect(answer?.status).toBe(431);
  });

  it('answers an expectation that it cannot meet with 417', async () => {
    const seen: string[] = [];
    const { port } = await serve(echo(seen));
    const [answer] = await exchange(port, post('Expect: the-impossible\r\nContent-Length: 1\r\n', 'a'));
    expect(answer?.status).toBe(417);
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({ error: { code: 'bad_request' } });
    expect(seen).toEqual([]);
  });

  it('takes a target in absolute form, whose host wins', async () => {
    const { port } = await serve(({ request, answer }) => {
      if (answer.kind === 'response') answer.response.end(`${request.url} ${request.headers.host}`);
    });
    const [answer] = await exchange(
      port,
      'GET http://other:81/a?b=c HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n',
    );
    expect(answer?.body).toBe('/a?b=c other:81');
  });

  it('ignores an upgrade to anything but a WebSocket', async () => {
    const { port } = await serve(echo());
    const upgrade =
      'Connection: upgrade, close, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n';
    const [answer] = await exchange(port, get(host + upgrade));
    expect(answer).toMatchObject({ status: 200, body: 'GET / 0' });
  });

  it('takes an upgrade with a body for an ordinary request', async () => {
    const { port } = await serve(echo());
    const [answer] = await exchange(
      port,
      get(`${host}Connection: upgrade, close\r\nUpgrade: websocket\r\nContent-Length: 1\r\n`) + 'a',
    );
    expect(answer).toMatchObject({ status: 200, body: 'GET / 1' });
  });

  it('accepts HTTP/1.0 without a host', async () => {
    const { port } = await serve(echo());
    const [answer] = await exchange(port, 'GET /old HTTP/1.0\r\n\r\n');
    expect(answer).toMatchObject({ status: 200, body: 'GET /old 0' });
  });
});

describe('pipelining', () => {
  it('answers in the order of the requests, whatever the order in which the work is done', async () => {
    const held: (() => void)[] = [];
    const { port } = await serve(({ request, answer }) => {
      if (answer.kind !== 'response') return;
      const { response } = answer;
      held.push(() => void response.end(request.url));
      if (held.length === 3) for (const finish of held.toReversed()) finish();
    });
    const client = await dial(port);
    client.send(['/1', '/2', '/3'].map((path) => `GET ${path} HTTP/1.1\r\n${host}\r\n`).join(''));
    const answers = await client.answers(3);
    expect(answers.map(({ body }) => body)).toEqual(['/1', '/2', '/3']);
  });

  it('keeps the connection in step after an early answer to a short body that it did not read', async () => {
    const { port } = await serve(echo([], { maxBytes: 10, bodyMs: 30_000 }));
    const client = await dial(port);
    client.send(post('Content-Length: 1000\r\n', 'GET /smuggled HTTP/1.1\r\n'));
    expect((await client.answers(1))[0]).toMatchObject({ status: 413, headers: { connection: 'keep-alive' } });
    client.send('x'.repeat(1000 - 24));
    client.send(`GET /next HTTP/1.1\r\n${host}\r\n`);
    expect((await client.answers(2))[1]).toMatchObject({ status: 200, body: 'GET /next 0' });
  });

  it('answers what came before a broken request first', async () => {
    let finish = (): void => undefined;
    const { port } = await serve(({ request, answer }) => {
      if (answer.kind === 'response') finish = () => void answer.response.end(request.url);
    });
    const client = await dial(port);
    client.send(`GET /good HTTP/1.1\r\n${host}\r\nGARBAGE\r\n\r\n`);
    // The answer to the broken request is waiting by the time that this connection has been looked at.
    (await dial(port)).socket.end();
    finish();
    const answers = await client.all();
    expect(answers.map(({ status }) => status)).toEqual([200, 400]);
  });

  it('ignores what follows a request that said close', async () => {
    const seen: string[] = [];
    const { port } = await serve(echo(seen));
    const answers = await exchange(port, `${get(`${host}Connection: close\r\n`)}GET /2 HTTP/1.1\r\n${host}\r\n`);
    expect(answers.map(({ body }) => body)).toEqual(['GET / 0']);
    expect(seen).toEqual(['GET /']);
  });
});
