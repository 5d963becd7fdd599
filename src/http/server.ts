import { randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { errorBody, type GatewayError } from '../errors.ts';
import type { Logger } from '../log.ts';
import type { LiveConnection } from '../pipeline/exchange.ts';
import {
  addRequest,
  createConnections,
  whenAnswered,
  type Connection,
  type Connections,
  type Incoming,
} from './connections.ts';
import { expectationFault, framingFault, parserFault } from './framing.ts';
import { expectContinue, failBody, hasBody } from './inbound.ts';
import { linger, lingerOnClose, prepareEarlyAnswer } from './lingering.ts';
import type { ListenAddress } from '../listen-address.ts';
import { rawAnswer } from './raw-answer.ts';
import { errorResponse } from './reply.ts';

/**
 * Gets every request that is well-formed as far as its head and the first packet of its body tell. It answers in its own
 * time and throws nothing.
 */
export type RequestHandler = (live: LiveConnection) => void;

/** A certificate and its key, as PEM. */
export interface TlsSettings {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
}

export interface ServerTimeouts {
  /** Milliseconds from the first byte of a request, or the opening of a connection, to the end of the head. */
  readonly headersMs: number;
  /** Milliseconds for which an idle connection is kept open. */
  readonly keepAliveMs: number;
}

/** A server that speaks HTTP/1.1 as strictly as Node's can be made to. */
export interface GatewayServer {
  readonly connections: Connections;
  /**
   * Resolves with the port.
   * @throws the system's own error
   */
  listen(address: ListenAddress): Promise<number>;
  /** Stops accepting, and lets go of idle connections. It can listen again. */
  pause(): void;
  setTimeouts(timeouts: ServerTimeouts): void;
  /** New connections get this certificate. Without effect on a server of plain HTTP. */
  setTls(tls: TlsSettings): void;
  /**
   * From now on the connections are used up: each is closed as soon as its answers are finished, one that stays silent
   * in a moment, and a request whose head never completes after `headersMs`. Upgraded connections are left alone.
   */
  retire(headersMs: number): void;
}

const options = {
  // Checked here instead, because Node would answer with an empty body.
  requireHostHeader: false,
  insecureHTTPParser: false,
  joinDuplicateHeaders: false,
  // A body is held to a pace of its own, which knows a slow client from a dead one.
  requestTimeout: 0,
  // How often Node looks for heads that take too long, in milliseconds.
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 16 * 1024,
  noDelay: true,
};

/** Milliseconds that a new connection gets for its first byte once the server retires: its request may be on the way. */
const silentMs = 500;

/** Milliseconds for a TLS handshake. */
const handshakeTimeout = 10_000;

export function createGatewayServer({
  tls,
  onRequest,
  log,
}: {
  readonly tls: TlsSettings | undefined;
  readonly onRequest: RequestHandler;
  readonly log: Logger;
}): GatewayServer {
  const connections = createConnections();
  let retired = false;
  const secure: SecureServer | undefined =
    tls && createSecureServer({ ...options, shouldUpgradeCallback, handshakeTimeout, cert: tls.cert, key: tls.key });
  const node: Server = secure ?? createServer({ ...options, shouldUpgradeCallback });
  // Node leaves out headers beyond its own count without a word; the size and `framingFault` bound them instead.
  node.maxHeadersCount = 0;

  const take = (
    request: IncomingMessage,
    response: ServerResponse,
    expectation: 'none' | 'continue' | 'other',
  ): void => {
    const connection = connections.find(request.socket);
    if (connection === undefined || connection.closing) {
      request.resume();
      return;
    }
    const incoming = addRequest(connection, request, response);
    const fault = framingFault(request) ?? (expectation === 'other' ? expectationFault() : undefined);
    if (fault !== undefined) {
      refuse(connection, incoming, fault);
      return;
    }
    if (retired) response.shouldKeepAlive = false;
    if (expectation === 'continue') expectContinue(request, response);
    if (!hasBody(request)) {
      hand(incoming, onRequest);
      return;
    }
    // Node is still at the packet with the head. After it, a body that is broken from the start has been found out.
    setImmediate(() => {
      if (!incoming.handed && !response.destroyed) hand(incoming, onRequest);
    });
  };

  node.on('connection', (socket: Socket) => connections.accept(socket));
  node.on(secure === undefined ? 'connection' : 'secureConnection', (socket: Socket) => connections.open(socket));
  node.on('request', (request, response) => take(request, response, 'none'));
  node.on('checkContinue', (request, response) => take(request, response, 'continue'));
  node.on('checkExpectation', (request, response) => take(request, response, 'other'));
  node.on('upgrade', (request, socket, head) => upgrade(connections, { request, socket, head }, onRequest));
  node.on('connect', (request, socket) => {
    const connection = leaveHttp(connections, socket);
    if (connection !== undefined) refuseRaw(connection, framingFault(request) ?? parserFault(new Error('CONNECT')));
  });
  node.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const connection = connections.find(socket);
    if (connection === undefined || !connection.socket.writable) socket.destroy();
    else connectionFault(connection, error);
  });
  node.on('tlsClientError', (error: Error) => log.debug('TLS handshake failed', { error }));

  return {
    connections,
    listen: async (address) => {
      const port = await listen(node, address);
      // Such as too many open files. The server goes on listening.
      node.removeAllListeners('error').on('error', (error) => log.warn('a connection was not accepted', { error }));
      return port;
    },
    pause: () => void node.close(),
    setTls: ({ cert, key }) => secure?.setSecureContext({ cert, key }),
    setTimeouts({ headersMs, keepAliveMs }) {
      node.headersTimeout = headersMs;
      node.keepAliveTimeout = keepAliveMs;
    },
    retire(headersMs) {
      retired = true;
      node.close();
      for (const connection of connections.all()) retireConnection(connection);
      // Node looks for slow heads only as long as it listens.
      const sweeps = [
        setTimeout(() => closeUnused(connections, 'silent'), Math.min(silentMs, headersMs)),
        setTimeout(() => closeUnused(connections, 'all'), headersMs),
      ];
      void connections.ended().then(() => sweeps.forEach(clearTimeout));
    },
  };
}

function listen(node: Server, { host, port }: ListenAddress): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  node.once('error', reject);
  node.listen({ port, ...(host === '' ? {} : { host }) }, () => {
    node.off('error', reject);
    const bound = node.address();
    resolve(bound !== null && typeof bound === 'object' ? bound.port : port);
  });
  return promise;
}

/** Only WebSockets are let through; any other `Upgrade` is ignored, as RFC 9110 §7.8 allows, and so is one with a body. */
function shouldUpgradeCallback(request: IncomingMessage): boolean {
  return request.method === 'GET' && request.headers.upgrade?.toLowerCase() === 'websocket' && !hasBody(request);
}

function hand(incoming: Incoming, onRequest: RequestHandler): void {
  const { request, response } = incoming;
  incoming.handed = true;
  onRequest({ request, answer: { kind: 'response', response } });
}

/** Answers a request that the handler has not seen, in its turn, and closes the connection. */
function refuse(connection: Connection, incoming: Incoming, fault: GatewayError): void {
  const { request, response } = incoming;
  incoming.handed = true;
  connection.closing = true;
  response.shouldKeepAlive = false;
  lingerOnClose(connection.socket, 'patient');
  prepareEarlyAnswer(request, response);
  const { status, headers } = errorResponse(fault);
  const body = errorBody(fault);
  response.writeHead(status, {
    ...headers,
    'x-request-id': newRequestId(),
    'content-length': Buffer.byteLength(body),
  });
  response.end(body);
}

/** Answers what never became a request, after everything that came before it has its answer. */
function refuseRaw(connection: Connection, fault: GatewayError): void {
  connection.closing = true;
  const { socket } = connection;
  whenAnswered(connection, () => {
    if (!socket.writable) return;
    socket.write(rawAnswer(errorResponse(fault), { 'x-request-id': newRequestId() }));
    linger(socket, fault.code === 'request_timeout' ? 'brief' : 'patient');
  });
}

function newRequestId(): string {
  return `req_${randomUUID().replaceAll('-', '')}`;
}

/** Something on the connection is not HTTP: the head of a next request, or the body of the latest. */
function connectionFault(connection: Connection, error: NodeJS.ErrnoException): void {
  const { socket, latest } = connection;
  // Bytes after a request that said `connection: close` mean nothing, and what comes after a fault is thrown away.
  if (error.code === 'HPE_CLOSED_CONNECTION' || connection.closing) return;
  // Broken by the system, or never used.
  if (error.syscall !== undefined || socket.bytesRead === 0) {
    socket.destroy();
    return;
  }
  const fault = parserFault(error);
  if (latest === undefined || latest.request.complete) {
    refuseRaw(connection, fault);
    return;
  }
  if (error.code === 'HPE_INVALID_EOF_STATE') {
    // A client that stops in the middle of a body has gone away.
    socket.destroy();
    return;
  }
  if (!latest.handed) {
    refuse(connection, latest, fault);
    return;
  }
  connection.closing = true;
  lingerOnClose(socket, 'patient');
  if (latest.response.headersSent) whenAnswered(connection, () => linger(socket, 'patient'));
  else latest.response.shouldKeepAlive = false;
  failBody(latest.request, fault);
}

function upgrade(
  connections: Connections,
  { request, socket, head }: { request: IncomingMessage; socket: Duplex; head: Buffer },
  onRequest: RequestHandler,
): void {
  const connection = leaveHttp(connections, socket);
  if (connection === undefined) return;
  // An answer that is still to be written would end up in the middle of the new protocol.
  const pipelined = connection.unanswered.size > 0;
  const fault = framingFault(request) ?? (pipelined ? parserFault(new Error('pipelined upgrade')) : undefined);
  if (fault !== undefined) refuseRaw(connection, fault);
  else onRequest({ request, answer: { kind: 'upgrade', socket, head } });
}

/** From here on Node has nothing to do with the socket any more, its errors included. */
function leaveHttp(connections: Connections, socket: Duplex): Connection | undefined {
  // An error is followed by `close`, on which everybody concerned acts.
  socket.on('error', () => {});
  const connection = connections.find(socket);
  if (connection === undefined || connection.closing) {
    socket.destroy();
    return undefined;
  }
  connection.upgraded = true;
  return connection;
}

function retireConnection(connection: Connection): void {
  if (connection.upgraded) return;
  for (const { response } of connection.unanswered) {
    if (!response.headersSent) response.shouldKeepAlive = false;
  }
  if (connection.unanswered.size > 0 && connection.afterwards === undefined) {
    whenAnswered(connection, () => connection.socket.destroySoon());
  }
}

/** @param which `silent`: those on which not one byte has come; `all`: also those with half a head */
function closeUnused(connections: Connections, which: 'silent' | 'all'): void {
  for (const { socket, unanswered, upgraded } of connections.all()) {
    if (unanswered.size === 0 && !upgraded && (which === 'all' || socket.bytesRead === 0)) socket.destroy();
  }
}
