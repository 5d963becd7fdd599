import { STATUS_CODES } from 'node:http';
import type { BodyResponse } from '../pipeline/response.ts';

/**
 * An answer as the bytes that go on a connection, for connections that have no `ServerResponse`: after a request that
 * could not be parsed, and in place of an upgrade. It always announces that the connection will be closed.
 * @param headers further headers; those of `response` win
 */
export function rawAnswer(response: BodyResponse, headers: Readonly<Record<string, string>> = {}): Buffer {
  const { status } = response;
  const body = response.body instanceof Uint8Array ? response.body : new Uint8Array();
  const all = {
    date: new Date().toUTCString(),
    ...headers,
    ...response.headers,
    connection: 'close',
    'content-length': String(body.byteLength),
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.concat([
    Buffer.from(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${lines.join('')}\r\n`),
    body,
  ]);
}
