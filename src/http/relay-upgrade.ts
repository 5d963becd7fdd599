import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { GatewayError } from '../errors.ts';
import type { Exchange } from '../pipeline/exchange.ts';
import type { ForwardSettings } from '../pipeline/settings.ts';
import { replyHeaders } from './forward-headers.ts';
import { rawAnswer } from './raw-answer.ts';
import { timeoutFault, watchConnection, type Relay } from './relay.ts';
import { errorResponse } from './reply.ts';

/** The most that is passed on of an answer that denies an upgrade. The library does not wait for slow readers of it. */
const maxDenialBytes = 1024 * 1024;

/**
 * A WebSocket. `done` resolves when the caller's connection is closed, with 101, the status with which the upstream
 * denied the upgrade, or that of an error. Errors are written here, because the library closes the connection on them.
 * It rejects when the caller went away before there was any answer.
 */
export function relayUpgrade(exchange: Exchange, socket: Duplex, settings: ForwardSettings): Relay {
  const { signal, log, responseHeaders } = exchange;
  const { promise: done, resolve, reject } = Promise.withResolvers<{ readonly status: number }>();
  const connection = watchConnection(settings);
  let upstream: ClientRequest | undefined;
  let status: number | undefined;
  let fault: GatewayError | undefined;

  /** Ends the upstream request; the library reports that as a failure, and closes the caller's connection after it. */
  const giveUp = (error: GatewayError): void => {
    fault ??= error;
    upstream?.destroy(fault);
  };
  const abort = (): void => {
    if (status === undefined && signal.reason instanceof GatewayError) giveUp(signal.reason);
    else socket.destroy();
  };
  const timer = setTimeout(() => giveUp(timeoutFault(settings)), settings.timeoutMs);
  signal.addEventListener('abort', abort, { once: true });

  socket.once('close', () => {
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    // Also while the upstream has not answered yet.
    upstream?.destroy();
    if (status === undefined) reject(new GatewayError('client_closed_request', 'The client went away.'));
    else resolve({ status });
  });

  const stopWatching = watchForLeaving(socket);

  /** The answer's head, before the library writes it out. */
  const prepare = (reply: IncomingMessage, framing: Readonly<Record<string, string>>): void => {
    clearTimeout(timer);
    status = reply.statusCode ?? 502;
    reply.headers = { ...replyHeaders(reply, responseHeaders), ...framing };
  };

  return {
    body: undefined,
    done,
    // These listeners come before the library's own.
    upstream(request) {
      upstream = request;
      connection.follow(request);
      request.once('upgrade', (reply, upstreamSocket) => {
        prepare(reply, { connection: 'Upgrade', upgrade: 'websocket' });
        stopWatching();
        // The library ends only its own half of the connection.
        socket.once('close', () => upstreamSocket.destroy());
      });
      request.once('response', (reply) => {
        prepare(reply, { connection: 'close' });
        relayDenial(reply, socket);
      });
    },
    failed(error) {
      if (status !== undefined || !socket.writable) return;
      const shown = fault ?? connection.fault(error);
      log.warn('an upgrade could not be forwarded', { error: shown.cause ?? shown.message });
      status = shown.status;
      socket.write(rawAnswer(errorResponse(shown), Object.fromEntries(responseHeaders)));
    },
  };
}

/**
 * Until the upstream has answered nobody reads from the caller's connection, so nobody would notice its end either.
 * @returns ends the watch, without having taken a byte
 */
function watchForLeaving(socket: Duplex): () => void {
  const look = (): void => {
    // Bytes that came early are left for the upstream; where there are none, reading brings the end to light.
    if (socket.readableLength === 0) socket.read();
  };
  const leave = (): void => void socket.destroy();
  socket.on('readable', look).once('end', leave);
  return () => void socket.off('readable', look).off('end', leave);
}

/** What the library leaves out: an end to endless answers, and to those that break off. */
function relayDenial(reply: IncomingMessage, socket: Duplex): void {
  let received = 0;
  reply.on('data', (chunk: Buffer) => {
    received += chunk.byteLength;
    if (received > maxDenialBytes) reply.destroy();
  });
  reply.on('error', () => socket.destroy());
  reply.once('close', () => {
    if (!reply.complete) socket.destroy();
  });
}
