/**
 * Closing a connection on which the client is still sending. A plain close makes the system answer further bytes with
 * a reset, and a reset makes the client throw away the answer that it has not read yet, such as the 413 that explains
 * everything. So the sending side is closed first, and what still comes is read and thrown away, within bounds.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { awaitsContinue, bodyFault, declaredBytes } from './inbound.ts';

interface LingerLimits {
  /** Milliseconds without a single byte. */
  readonly quietMs: number;
  readonly totalMs: number;
  readonly maxBytes: number;
}

/** For clients that are in the middle of sending something. */
const patient: LingerLimits = { quietMs: 5_000, totalMs: 30_000, maxBytes: 256 * 1024 * 1024 };

/** For clients that have used up their time already. */
const brief: LingerLimits = { quietMs: 1_000, totalMs: 2_000, maxBytes: 1024 * 1024 };

/** A body of up to this many bytes is read off, and its connection kept. */
const readOffBytes = 64 * 1024;

/**
 * Call before the head of an answer is written. When the request's body has not arrived completely, it decides what
 * becomes of the connection: a short body is read off after the answer, otherwise the answer announces
 * `connection: close`, and the connection is closed in a way that lets the client read it.
 */
export function prepareEarlyAnswer(request: IncomingMessage, response: ServerResponse): void {
  const length = declaredBytes(request);
  if (request.complete || length === 0 || response.headersSent) return;
  const short = length !== undefined && length <= readOffBytes;
  const keep = short && response.shouldKeepAlive && !awaitsContinue(request) && bodyFault(request) === undefined;
  if (!keep) {
    response.shouldKeepAlive = false;
    lingerOnClose(request.socket, bodyFault(request)?.code === 'request_timeout' ? 'brief' : 'patient');
  }
  response.once('finish', () => readOff(request));
}

/** The next time that this connection would be closed after an answer, linger instead. */
export function lingerOnClose(socket: Socket, patience: 'patient' | 'brief'): void {
  // Node calls this method of the socket after the last answer; it offers no other way to take part in the closing.
  socket.destroySoon = () => linger(socket, patience);
}

/** Closes the sending side once everything is written, reads on for a while, and then closes for good. */
export function linger(socket: Socket, patience: 'patient' | 'brief'): void {
  const limits = patience === 'patient' ? patient : brief;
  socket.end();
  if (socket.destroyed) return;
  const startedAt = performance.now();
  const startBytes = socket.bytesRead;
  let seenBytes = startBytes;
  let seenAt = startedAt;
  const watch = setInterval(() => {
    const now = performance.now();
    if (socket.bytesRead !== seenBytes) {
      seenBytes = socket.bytesRead;
      seenAt = now;
    }
    const over =
      now - seenAt >= limits.quietMs || now - startedAt >= limits.totalMs || seenBytes - startBytes > limits.maxBytes;
    if (over) socket.destroy();
  }, 250);
  socket.once('close', () => clearInterval(watch));
  socket.resume();
}

/** Throws the rest of a body away, so that the next request on the connection can be understood. */
function readOff(request: IncomingMessage): void {
  if (request.complete || request.destroyed) {
    request.resume();
    return;
  }
  const { socket } = request;
  const timer = setTimeout(() => socket.destroy(), patient.totalMs);
  const done = (): void => {
    clearTimeout(timer);
    socket.off('close', done);
  };
  // After its answer Node does not tell a request any more that its connection has ended.
  socket.once('close', done);
  request.once('end', done);
  request.resume();
}
