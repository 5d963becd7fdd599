import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** One request on a connection. */
export interface Incoming {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Whether the gateway's handler has it; until then the server may still answer it. */
  handed: boolean;
}

/** One connection of a client, from its opening to its end. */
export interface Connection {
  readonly socket: Socket;
  /** Requests whose answers are not finished, oldest first. There are several when the client pipelines. */
  readonly unanswered: Set<Incoming>;
  latest: Incoming | undefined;
  /** No request is taken any more: what still comes is thrown away. */
  closing: boolean;
  /** The connection has left HTTP. */
  upgraded: boolean;
  /** What to do when nothing is unanswered any more. */
  afterwards: (() => void) | undefined;
}

/** The connections of one server. */
export interface Connections {
  /** Notes a socket as soon as it is accepted, also when a TLS handshake is still to come. */
  accept(socket: Socket): void;
  /** Notes a connection that is ready for HTTP. */
  open(socket: Socket): void;
  find(socket: Duplex): Connection | undefined;
  all(): Iterable<Connection>;
  /** Resolves when there is no socket left. */
  ended(): Promise<void>;
  destroyAll(): void;
}

export function createConnections(): Connections {
  const sockets = new Set<Socket>();
  const connections = new Map<Duplex, Connection>();
  const empty: (() => void)[] = [];
  return {
    accept(socket) {
      sockets.add(socket);
      socket.once('close', () => {
        sockets.delete(socket);
        if (sockets.size === 0) for (const resolve of empty.splice(0)) resolve();
      });
    },
    open(socket) {
      connections.set(socket, {
        socket,
        unanswered: new Set(),
        latest: undefined,
        closing: false,
        upgraded: false,
        afterwards: undefined,
      });
      socket.once('close', () => connections.delete(socket));
    },
    find: (socket) => connections.get(socket),
    all: () => connections.values(),
    ended: () => (sockets.size === 0 ? Promise.resolve() : new Promise((resolve) => void empty.push(resolve))),
    destroyAll() {
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** Notes a request until its answer is finished or broken off. */
export function addRequest(connection: Connection, request: IncomingMessage, response: ServerResponse): Incoming {
  const incoming: Incoming = { request, response, handed: false };
  connection.unanswered.add(incoming);
  connection.latest = incoming;
  response.once('close', () => {
    connection.unanswered.delete(incoming);
    if (connection.unanswered.size > 0) return;
    const { afterwards } = connection;
    connection.afterwards = undefined;
    afterwards?.();
  });
  return incoming;
}

/** Does something once every request that came before has its answer. A later call takes the place of an earlier one. */
export function whenAnswered(connection: Connection, work: () => void): void {
  if (connection.unanswered.size === 0) work();
  else connection.afterwards = work;
}
