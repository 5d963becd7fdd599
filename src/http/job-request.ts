/** A request that was kept for a job, as an exchange wants to have it. */
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import type { Blob, BlobStore } from '../blobs/blob-store.ts';
import { GatewayError } from '../errors.ts';
import type { Exchange, LiveConnection } from '../pipeline/exchange.ts';
import type { JobRequest } from '../pipeline/job.ts';
import { splitTarget } from './exchange.ts';

/** The bytes of its body. @throws GatewayError overloaded when they are not there any more, or cannot be read */
export async function openRequest({ body }: JobRequest, answers: BlobStore, signal: AbortSignal): Promise<Blob> {
  const blob = await answers.open(body, signal);
  if (blob !== undefined) return blob;
  throw new GatewayError('overloaded', 'The job has waited for too long: its request is not kept any more.');
}

export function replayed(kept: JobRequest, body: Blob): Pick<Exchange, 'live' | 'body' | 'request'> {
  const { method, path, parameters, remoteAddress } = kept;
  const headers = headersOf(kept);
  return {
    live: absentClient(headers, kept.secure),
    body: {
      length: body.byteLength,
      // It is closed by whoever has opened it.
      cancel: () => undefined,
      [Symbol.asyncIterator]: () => body.read()[Symbol.asyncIterator](),
    },
    request: { method, path, query: splitTarget(path).query, parameters, headers, remoteAddress },
  };
}

function headersOf({ headers }: JobRequest): IncomingMessage['headers'] {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, typeof value === 'string' ? value : [...value]]),
  );
}

/** In place of the connection: it has the name under which the gateway was called, and nothing else. */
function absentClient(headers: IncomingMessage['headers'], secure: boolean): LiveConnection {
  const socket = new Socket();
  if (secure) Object.assign(socket, { encrypted: true });
  const request = new IncomingMessage(socket);
  Object.assign(request.headers, headers);
  return { request, answer: { kind: 'response', response: new ServerResponse(request) } };
}
