/** Upstreams of every kind for the tests of this folder. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

import { createServer as createRawServer, type AddressInfo, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

/** A well-behaved HTTP server, until the test is over. */
export async function httpUpstream(
  listener: (request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<{ readonly origin: string; readonly server: Server }> {
  const server = createServer((request, response) => void listener(request, response)).listen(0, '127.0.0.1');
  onTestFinished(() => server.close().closeAllConnections());
  await once(server, 'listening');
  return { origin: originOf(server.address()), server };
}

/** One that is handed the bare connections. */
export async function rawUpstream(onConnection: (socket: Socket, index: number) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createRawServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    onConnection(socket, sockets.size - 1);
  }).listen(0, '127.0.0.1');
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  await once(server, 'listening');
  return originOf(server.address());
}

/** One that gives the same bytes to every request, and then closes. */
export function cannedUpstream(answer: string | Buffer): Promise<string> {
  return rawUpstream((socket) => {
    socket.once('data', () => socket.end(typeof answer === 'string' ? Buffer.from(answer, 'latin1') : answer));
  });
}

/** An origin where nothing listens. */
export async function deadOrigin(): Promise<string> {
  const server = createRawServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = originOf(server.address());
  server.close();
  await once(server, 'close');
  return origin;
}

function originOf(address: AddressInfo | string | null): string {
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return `http://127.0.0.1:${address.port}`;
}
