/** The way to services that the file names: JSON out, JSON back, in bounds. They may lie anywhere, for an operator wrote their addresses. */
import { createHmac } from 'node:crypto';
import { collect, type ByteSource } from '../body/byte-source.ts';
import { GatewayError } from '../errors.ts';
import {
  ServiceFailure,
  type Service,
  type ServiceConnector,
  type ServiceQuestion,
  type ServiceSignature,
} from '../pipeline/stage.ts';
import type { WireBody } from '../pipeline/upstream.ts';
import { createHttpClient } from './client.ts';
import { writeWireBody } from './wire-body.ts';

/** Milliseconds for making a connection. The asker's signal may give it less. */
const connectTimeoutMs = 10_000;

/** More than any judgement takes. */
const maxAnswerBytes = 256 * 1024;

export function createServiceConnector(): ServiceConnector {
  return { connect };
}

function connect(origin: string): Service {
  const client = createHttpClient({ connectTimeoutMs });

  async function post({ url, headers, body, signature }: ServiceQuestion, signal: AbortSignal): Promise<ByteSource> {
    if (new URL(url).origin !== origin) throw new TypeError(`This connection does not lead to ${url}.`);
    const json = { kind: 'json', value: body } as const;
    const signed = signature === undefined ? {} : await signatureHeaders(json, signature);
    const request = {
      method: 'POST',
      url,
      headers: { accept: 'application/json', ...headers, ...signed },
      body: json,
    } as const;
    const { status, body: answer } = await client.send(request, { signal, maxReplyBytes: maxAnswerBytes, onSent() {} });
    if (status < 200 || status > 299) {
      answer.cancel();
      throw new ServiceFailure(`the service answered with status ${status}`);
    }
    return answer;
  }

  async function ask(question: ServiceQuestion, signal: AbortSignal): Promise<unknown> {
    return parse(Buffer.from(await collect(await post(question, signal))).toString('utf8'));
  }

  return {
    ask: (question, signal) =>
      inWordsOfServices(signal, () =>
        // A connection may have been closed at the other end since it was last used.
        ask(question, signal).catch((error: unknown) => {
          if (signal.aborted || !(error instanceof GatewayError && error.code === 'upstream_error')) throw error;
          return ask(question, signal);
        }),
      ),
    tell: (message, signal) => inWordsOfServices(signal, async () => (await post(message, signal)).cancel()),
    close: () => client.close(),
  };
}

/** @throws ServiceFailure, or the signal's reason */
async function inWordsOfServices<Value>(signal: AbortSignal, work: () => Promise<Value>): Promise<Value> {
  try {
    return await work();
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof GatewayError)) throw error;
    // What is said of providers there is true of this service as well, but for the word.
    throw new ServiceFailure(`the service could not be asked (${error.code})`, { cause: error.cause });
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new ServiceFailure('the service’s answer is not JSON');
  }
}

/** Pictures in the body are read for this, and again when it is sent. */
async function signatureHeaders(
  body: WireBody & { readonly kind: 'json' },
  { secret, id, timestamp }: ServiceSignature,
): Promise<Readonly<Record<string, string>>> {
  const key = keyBytes(secret.reveal());
  const hmac = createHmac('sha256', key).update(`${id}.${timestamp}.`);
  const withoutId = createHmac('sha256', key).update(`${timestamp}.`);
  const bytes = writeWireBody(body).open();
  for await (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) {
    hmac.update(piece);
    withoutId.update(piece);
  }
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': `v1,${hmac.digest('base64')}`,
    'x-pinhole-signature': `t=${timestamp},v1=${withoutId.digest('hex')}`,
  };
}

function keyBytes(secret: string): Buffer {
  const prefix = 'whsec_';
  return secret.startsWith(prefix) ? Buffer.from(secret.slice(prefix.length), 'base64') : Buffer.from(secret);
}
