import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { GatewayError } from '../errors.ts';
import type { Exchange } from '../pipeline/exchange.ts';
import type { ForwardSettings } from '../pipeline/settings.ts';
import { replyHeaders } from './forward-headers.ts';
import { prepareEarlyAnswer } from './lingering.ts';
import { timeoutFault, watchConnection, type Relay } from './relay.ts';

/**
 * An ordinary request. `done` resolves when the last byte of the answer was handed to the system. It rejects with a
 * GatewayError upstream_unreachable, upstream_error or upstream_timeout, the body's own error, or the signal's reason;
 * if the head of the answer was out by then, the connection is broken off, so that nobody takes a part for the whole.
 */
export function relayRequest(exchange: Exchange, response: ServerResponse, settings: ForwardSettings): Relay {
  const { live, signal, body: source, responseHeaders } = exchange;
  const { promise: done, resolve, reject } = Promise.withResolvers<{ readonly status: number }>();
  const connection = watchConnection(settings);
  let upstream: ClientRequest | undefined;
  let over = false;

  const settle = (): void => {
    over = true;
    clearTimeout(timer);
    signal.removeEventListener('abort', abort);
    body?.destroy();
  };
  const fail = (error: unknown): void => {
    if (over) return;
    settle();
    upstream?.destroy();
    if (response.headersSent) response.destroy();
    reject(error);
  };
  const abort = (): void => fail(signal.reason);
  const failed = (error: unknown): void => fail(signal.aborted ? signal.reason : connection.fault(error));

  const relayReply = (reply: IncomingMessage): void => {
    if (over) {
      reply.destroy();
      return;
    }
    clearTimeout(timer);
    prepareEarlyAnswer(live.request, response);
    response.writeHead(reply.statusCode ?? 502, replyHeaders(reply, responseHeaders));
    // An event stream may be silent for long after its head.
    if (reply.headers['content-length'] === undefined) response.flushHeaders();
    // Not `pipeline`: whoever breaks first is to be told apart, and not to be hidden by what follows.
    reply.once('error', failed).once('close', () => {
      if (!reply.complete) failed(undefined);
    });
    reply.pipe(response).once('finish', () => {
      settle();
      // An answer that did not wait for the whole request: its connection would wait for the rest for ever.
      if (upstream?.writableFinished === false) upstream.destroy();
      resolve({ status: response.statusCode });
    });
  };

  const body = source.length === 0 ? undefined : Readable.from(source, { objectMode: false });
  // Too large, too slow, or broken: the body's own error is what the caller should hear of.
  body?.on('error', fail);
  // A long upload is no silence of the upstream's; one that it does not take is.
  body?.on('data', () => void timer.refresh());
  body?.pause();
  const timer = setTimeout(() => fail(timeoutFault(settings)), settings.timeoutMs);
  signal.addEventListener('abort', abort, { once: true });
  response.once('close', () => fail(new GatewayError('client_closed_request', 'The client went away.')));

  return {
    body,
    done,
    upstream(request) {
      upstream = request;
      connection.follow(request);
      if (over) request.destroy();
      else request.once('response', relayReply);
    },
    failed,
  };
}
