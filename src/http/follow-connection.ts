import { GatewayError } from '../errors.ts';
import type { LiveConnection } from '../pipeline/exchange.ts';

/** What ends an exchange before its answer does. */
export interface ExchangeAbort {
  /** Aborted when the client leaves, unless that is outlived, and when the gateway stops waiting. */
  readonly signal: AbortSignal;
  /** Aborted when `signal` is, and when the client leaves in any case. */
  readonly connected: AbortSignal;
  abort(reason: GatewayError): void;
  /** From here on the client's leaving does not abort `signal`. */
  outliveClient(): void;
  release(): void;
}

/** @param shutdown aborted when the gateway has waited long enough */
export function followConnection({ request, answer }: LiveConnection, shutdown: AbortSignal): ExchangeAbort {
  const controller = new AbortController();
  const connected = new AbortController();
  let outlived = false;
  const abort = (reason: GatewayError): void => {
    controller.abort(reason);
    connected.abort(reason);
  };
  const left = (): void => {
    const complete = answer.kind === 'response' && answer.response.writableFinished;
    if (complete) return;
    const reason = new GatewayError('client_closed_request', 'The client went away.');
    if (outlived) connected.abort(reason);
    else abort(reason);
  };
  const stop = (): void => abort(new GatewayError('overloaded', 'The gateway is shutting down.'));
  const connection = answer.kind === 'response' ? answer.response : answer.socket;
  connection.once('close', left);
  shutdown.addEventListener('abort', stop, { once: true });
  if (request.socket.destroyed) left();
  return {
    signal: controller.signal,
    connected: connected.signal,
    abort,
    outliveClient() {
      outlived = true;
    },
    release() {
      connection.off('close', left);
      shutdown.removeEventListener('abort', stop);
    },
  };
}

/** Whether it was the client that ended the connection. */
export function isGone({ reason }: AbortSignal): boolean {
  return reason instanceof GatewayError && reason.code === 'client_closed_request';
}

/** Ends a connection, so that nobody takes a part of an answer for the whole. */
export function breakOff({ answer }: LiveConnection): void {
  (answer.kind === 'response' ? answer.response : answer.socket).destroy();
}
