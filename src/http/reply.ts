/** Writes answers to the caller's connection, errors included. */
import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { ByteSource } from '../body/byte-source.ts';
import { errorBody, type GatewayError } from '../errors.ts';
import type { LiveConnection } from '../pipeline/exchange.ts';
import type { BodyResponse } from '../pipeline/response.ts';
import { prepareEarlyAnswer } from './lingering.ts';
import { rawAnswer } from './raw-answer.ts';

/** An error as an answer: OpenAI's body, and the headers by which SDKs decide whether to try again. */
export function errorResponse(error: GatewayError): BodyResponse {
  const retryAfter =
    error.retryAfterMs === undefined
      ? {}
      : { 'retry-after': String(Math.max(1, Math.ceil(error.retryAfterMs / 1000))) };
  return {
    kind: 'body',
    status: error.status,
    headers: {
      'content-type': 'application/json',
      'x-should-retry': String(error.retry),
      ...retryAfter,
      ...error.headers,
    },
    body: Buffer.from(errorBody(error)),
  };
}

/** Whether a part of the answer is on its way, so that no other answer can be given any more. */
export function hasBegun({ answer }: LiveConnection): boolean {
  return answer.kind === 'response' && answer.response.headersSent;
}

/**
 * Sends an answer, and resolves when its last byte was handed to the system, or the client is gone.
 * @throws the body's own error, or an AbortError; the connection is then broken off, so that nobody takes a part for the whole
 */
export async function sendResponse(
  live: LiveConnection,
  response: BodyResponse,
  headers: ReadonlyMap<string, string>,
  signal: AbortSignal,
): Promise<void> {
  const { answer } = live;
  const all = { ...Object.fromEntries(headers), ...response.headers };
  if (answer.kind === 'upgrade') {
    answer.socket.end(rawAnswer(response, Object.fromEntries(headers)));
    return;
  }
  const target = answer.response;
  prepareEarlyAnswer(live.request, target);
  const { status, body } = response;
  const bytes = body instanceof Uint8Array ? body.byteLength : body.length;
  const length = bytes === undefined || bodiless(status) ? {} : { 'content-length': bytes };
  const writeHead = (): void => void target.writeHead(status, { ...length, ...all });
  try {
    if (body instanceof Uint8Array) {
      writeHead();
      target.end(body);
    } else {
      await stream(target, body, writeHead, signal);
    }
    // It comes after the last byte, and as well when there is nobody left to take that.
    if (!target.closed) await once(target, 'close', { signal });
  } catch (error) {
    if (!(body instanceof Uint8Array)) body.cancel();
    if (target.headersSent) target.destroy();
    throw error;
  }
}

/** The headers go out with the first bytes, so a body that fails at once can still become a proper error. */
async function stream(
  target: ServerResponse,
  body: ByteSource,
  writeHead: () => void,
  signal: AbortSignal,
): Promise<void> {
  for await (const chunk of body) {
    if (!target.headersSent) writeHead();
    signal.throwIfAborted();
    if (!target.write(chunk)) await once(target, 'drain', { signal });
  }
  if (!target.headersSent) writeHead();
  target.end();
}

const bodiless = (status: number): boolean => status === 204 || status === 304;
