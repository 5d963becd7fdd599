/** Real sockets for the tests of this folder: a server under test, and a client that speaks raw bytes. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import { errorResponse } from '../../../src/http/reply.ts';
import { toGatewayError } from '../../../src/errors.ts';
import { createListeners, type Listeners, type ListenerSettings } from '../../../src/http/listeners.ts';
import { prepareEarlyAnswer } from '../../../src/http/lingering.ts';
import { requestBody, type RequestBodyOptions } from '../../../src/http/request-body.ts';
import type { Logger } from '../../../src/log.ts';
import type { LiveConnection } from '../../../src/pipeline/exchange.ts';

export const silent: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  child: () => silent,
};

export const timeouts = { headersMs: 10_000, keepAliveMs: 75_000 };

export function plain(port = 0, host = '127.0.0.1'): ListenerSettings['addresses'][number] {
  return { host, port, tls: undefined };
}

export interface TestServer {
  readonly port: number;
  readonly listeners: Listeners;
}

/** Listens on a port of its own until the test is over. */
export async function serve(
  onRequest: (live: LiveConnection) => unknown,
  settings: Partial<ListenerSettings> = {},
): Promise<TestServer> {
  const listeners = createListeners({ onRequest: (live) => void onRequest(live), log: silent });
  onTestFinished(() => listeners.drain(0));
  const [bound] = await listeners.apply({ addresses: [plain()], timeouts, ...settings });
  if (bound === undefined) throw new Error('nothing is open');
  return { port: bound.port, listeners };
}

/** A handler that tells what it got, and answers errors in the way of the gateway. */
export function echo(
  seen: string[] = [],
  options: RequestBodyOptions = { maxBytes: 1024 * 1024, bodyMs: 30_000 },
): (live: LiveConnection) => void {
  return ({ request, answer }) => {
    seen.push(`${request.method} ${request.url}`);
    if (answer.kind === 'upgrade') {
      answer.socket.end('HTTP/1.1 403 Forbidden\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    const { response } = answer;
    const reply = (status: number, headers: Record<string, string>, body: Uint8Array): void => {
      if (response.destroyed) return;
      prepareEarlyAnswer(request, response);
      response.writeHead(status, { ...headers, 'content-length': body.byteLength }).end(body);
    };
    collect(requestBody(request, options)).then(
      (body) => reply(200, {}, Buffer.from(`${request.method} ${request.url} ${body.byteLength}`)),
      (error: unknown) => {
        const { status, headers, body } = errorResponse(toGatewayError(error));
        if (body instanceof Uint8Array) reply(status, headers, body);
      },
    );
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** The answers in what came over a connection. Bodies have a length or go on to the end. */
export function parseAnswers(bytes: Buffer): Answer[] {
  const answers: Answer[] = [];
  for (let rest = bytes; rest.byteLength > 0;) {
    const headEnd = rest.indexOf('\r\n\r\n');
    if (headEnd < 0) throw new Error(`not an answer: ${rest.toString()}`);
    const [statusLine = '', ...lines] = rest.subarray(0, headEnd).toString().split('\r\n');
    const headers = Object.fromEntries(
      lines.map((line) => {
        const colon = line.indexOf(':');
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
      }),
    );
    const status = Number(statusLine.split(' ')[1]);
    const length = status < 200 ? 0 : Number(headers['content-length'] ?? rest.byteLength);
    answers.push({ status, headers, body: rest.subarray(headEnd + 4, headEnd + 4 + length).toString() });
    rest = rest.subarray(headEnd + 4 + length);
  }
  return answers;
}

/** A connection that speaks raw bytes. */
export interface RawClient {
  readonly socket: Socket;
  send(text: string | Uint8Array): void;
  /** Everything received once it holds `count` complete answers, interim ones counted. */
  answers(count: number): Promise<Answer[]>;
  /** Everything received up to the end of the connection. */
  all(): Promise<Answer[]>;
}

export async function dial(port: number): Promise<RawClient> {
  const socket = connect({ port, host: '127.0.0.1' });
  onTestFinished(() => void socket.destroy());
  let received = Buffer.alloc(0);
  socket.on('data', (chunk) => (received = Buffer.concat([received, chunk])));
  // A reset ends the connection as well; what came before it counts.
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  await once(socket, 'connect');
  const complete = (): Answer[] => {
    try {
      return parseAnswers(received);
    } catch {
      return [];
    }
  };
  return {
    socket,
    send: (text) => void socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text),
    async answers(count) {
      while (complete().length < count) {
        if (socket.destroyed) throw new Error(`the connection ended after ${received.toString()}`);
        await Promise.race([once(socket, 'data'), closed]);
      }
      return complete();
    },
    async all() {
      await closed;
      return parseAnswers(received);
    },
  };
}

/** Sends bytes on a new connection and waits until the server closes it. */
export async function exchange(port: number, text: string): Promise<Answer[]> {
  const client = await dial(port);
  client.send(text);
  return client.all();
}
