import type { ClientRequest } from 'node:http';
import type { Readable } from 'node:stream';
import { GatewayError } from '../errors.ts';
import type { ForwardSettings } from '../pipeline/settings.ts';
import { brokenError, unreachableError } from './client-faults.ts';

/** One exchange between a caller and an upstream, as far as it is not the library's work. */
export interface Relay {
  /** The request's body, bounded and paced; undefined when there is none. */
  readonly body: Readable | undefined;
  /** Settles when the exchange is over. */
  readonly done: Promise<{ readonly status: number }>;
  /** The upstream request exists, but nothing of it has been sent yet. */
  upstream(this: void, request: ClientRequest): void;
  /** The upstream request came to nothing, or the caller's connection broke. */
  failed(this: void, error: unknown): void;
}

/** Tells whether anything can have been sent when an upstream request fails. */
export interface ConnectionWatch {
  follow(request: ClientRequest): void;
  fault(error: unknown): GatewayError;
}

export function watchConnection({ url }: ForwardSettings): ConnectionWatch {
  let connected = false;
  return {
    follow(request) {
      const note = (): void => void (connected = true);
      if (request.reusedSocket) note();
      const attach = (): void =>
        void request.socket?.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', note);
      if (request.socket === null) request.once('socket', attach);
      else attach();
    },
    fault(error) {
      if (error instanceof GatewayError) return error;
      return connected ? brokenError(error) : unreachableError(error);
    },
  };
}

export function timeoutFault({ timeoutMs }: ForwardSettings): GatewayError {
  return new GatewayError('upstream_timeout', `The upstream did not answer within ${timeoutMs / 1000} seconds.`);
}
