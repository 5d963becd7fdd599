/** What a provider's refusals have in common, whatever the vendor: which status is whose fault, and how long to wait. */
import { GatewayError, type ErrorCode } from '../errors.ts';
import { isJsonObject } from '../json.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { list, object, text } from './answers.ts';

/** What a vendor's own error shape said. */
export interface FaultWords {
  readonly message: string | undefined;
  /** The vendor's code, shown to the caller where it says more than ours. */
  readonly code: string | undefined;
  readonly param: string | undefined;
  /** Whether this is a refusal of the content rather than of the form. */
  readonly refusal: boolean;
  /**
   * What it is about where the status does not say: our credential or account, a model that there is not, a limit on how
   * much may be asked for, or a failure of the provider that another one would not have.
   */
  readonly about?: 'credential' | 'model' | 'limit' | 'failure' | undefined;
  /** How long the vendor asks to wait, where it says so in the body. */
  readonly retryAfterMs?: number | undefined;
}

/** Longest error document that is read for its message; beyond it the status alone speaks. */
const maxFaultBytes = 64 * 1024;

/**
 * A provider's `fault`.
 * @param read finds the vendor's words in the error document, which is undefined when there is none
 */
export function faultReader(
  read: (document: unknown, reply: UpstreamReply) => FaultWords,
): (reply: UpstreamReply) => Promise<GatewayError> {
  return async function fault(reply) {
    return faultFrom(reply, read(await readFault(reply), reply));
  };
}

/** The error document, as far as it is one: a proxy on the way may have answered in HTML. */
async function readFault(reply: UpstreamReply): Promise<unknown> {
  try {
    const chunks: Uint8Array[] = [];
    let received = 0;
    for await (const chunk of reply.body) {
      received += chunk.byteLength;
      if (received > maxFaultBytes) return undefined;
      chunks.push(chunk);
    }
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    // The status is known and decides; a body that broke off or is not JSON only costs us its words.
    return undefined;
  }
}

/**
 * The words of an error document in the shapes that most vendors share: OpenAI's `{error: {message, type, param, code}}`,
 * `{error: "text"}`, `{message}`, `{detail: "text"}`, FastAPI's `{detail: [{loc, msg, type}]}`, `{errors: ["text"]}`, each
 * of them also within a list of one. A code that is a number repeats the status and is none.
 */
export function commonWords(document: unknown): Omit<FaultWords, 'refusal'> {
  const outer = object(Array.isArray(document) ? document[0] : document);
  const inner = isJsonObject(outer['error']) ? outer['error'] : outer;
  const [detail] = list(inner['detail']).map(object);
  const place = list(detail?.['loc']).filter((step) => step !== 'body');
  const message =
    text(inner['message']) ??
    text(outer['error']) ??
    text(outer['message']) ??
    text(inner['detail']) ??
    text(outer['detail']) ??
    text(detail?.['msg']) ??
    text(list(inner['errors'])[0]) ??
    text(inner['title']);
  return {
    message,
    code: text(inner['code']) ?? text(outer['code']) ?? text(detail?.['type']),
    param: text(inner['param']) ?? (place.length === 0 ? undefined : place.join('.')),
  };
}

/**
 * Statuses of 4xx that are about the gateway's own request, its method, headers and connection, and that say nothing to a
 * caller: nginx's 444 and 494 to 499 among them. Some clients take a 407 for one of a proxy of their own, and a 499 stands in
 * our log for a client that has left.
 */
const aboutTheWay: ReadonlySet<number> = new Set([
  405, 406, 411, 412, 414, 416, 417, 421, 426, 428, 431, 444, 494, 495, 496, 497, 498, 499,
]);

/**
 * The error that a caller sees for a provider's answer with another status than 2xx. A 4xx about the request keeps its
 * status and words; 401, 402, 403 and 407 are about our own credential, which is no business of the caller's.
 */
export function faultFrom(reply: UpstreamReply, words: FaultWords): GatewayError {
  const { status } = reply;
  const retryAfterMs = believable(words.retryAfterMs) ?? retryDelayMs(reply.headers, words.message);
  const message = words.message ?? `The provider answered with status ${status}.`;
  const { code: publicCode, param, about } = words;

  // One code, whatever the vendor calls it: callers must be able to tell a refusal without knowing who refused.
  if (words.refusal) return new GatewayError('content_policy_violation', message, { param });
  if (about === 'credential' || (about === undefined && [401, 402, 403, 407].includes(status))) {
    return new GatewayError('upstream_auth_failed', 'The provider refused the credential of the gateway.', {
      cause: new Error(message),
    });
  }
  if (about === 'model') return new GatewayError('model_not_found', message, { publicCode, param });
  if (about === 'failure' || status >= 500) {
    return new GatewayError('upstream_error', `The provider failed with status ${status}.`, {
      retryAfterMs,
      cause: new Error(message),
    });
  }
  if (status === 408) return new GatewayError('upstream_timeout', message);
  if (about === 'limit' || status === 429) {
    const exhausted = publicCode === 'insufficient_quota';
    return new GatewayError('rate_limit_exceeded', message, {
      publicCode,
      retryAfterMs,
      ...(exhausted ? { retry: false } : {}),
    });
  }
  if (status >= 400 && status < 500 && !aboutTheWay.has(status)) {
    return new GatewayError(codeOfStatus(status), message, { status, publicCode, param });
  }
  return new GatewayError('upstream_invalid_response', `The provider answered with status ${status}.`);
}

function codeOfStatus(status: number): ErrorCode {
  switch (status) {
    case 404:
      return 'model_not_found';
    case 413:
      return 'payload_too_large';
    case 415:
      return 'unsupported_media_type';
    default:
      return 'invalid_value';
  }
}

/**
 * How long the provider asks to wait, in milliseconds, in whichever of the usual spellings comes first:
 * `retry-after-ms`, `retry-after` (seconds, or a date), `x-ratelimit-reset-requests` (`6m12s`, or seconds since 1970), or in
 * the message's words.
 */
export function retryDelayMs(
  headers: Readonly<Record<string, string>>,
  message: string | undefined,
): number | undefined {
  const delayMs =
    number(headers['retry-after-ms']) ??
    seconds(headers['retry-after']) ??
    untilDate(headers['retry-after'], headers['date']) ??
    duration(headers['x-ratelimit-reset-requests']) ??
    untilEpoch(headers['x-ratelimit-reset-requests'], headers['date']) ??
    worded(message);
  return believable(delayMs);
}

function believable(delayMs: number | undefined): number | undefined {
  return delayMs !== undefined && delayMs >= 0 && delayMs <= longestDelayMs ? delayMs : undefined;
}

/** Quotas begin anew with a month at the latest. What is longer than that, Infinity included, is a slip of the provider's. */
const longestDelayMs = 31 * 86_400_000;

function number(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+(\.\d+)?$/.test(text.trim()) ? Math.ceil(Number(text)) : undefined;
}

function seconds(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+(\.\d+)?$/.test(text.trim()) ? Math.ceil(Number(text) * 1000) : undefined;
}

/** The date is compared with the provider's own clock, as its `date` header tells it. */
function untilDate(text: string | undefined, now: string | undefined): number | undefined {
  const until = Date.parse(text ?? '') - Date.parse(now ?? '');
  return Number.isFinite(until) ? Math.max(until, 0) : undefined;
}

/** A moment in seconds since 1970, compared in the same way. */
function untilEpoch(text: string | undefined, now: string | undefined): number | undefined {
  const nowMs = Date.parse(now ?? '');
  return /^\d{9,11}$/.test(text ?? '') && Number.isFinite(nowMs) ? Math.max(Number(text) * 1000 - nowMs, 0) : undefined;
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of `12s`, `6m0s`, `467ms`; undefined for anything else. */
export function duration(text: string | undefined): number | undefined {
  if (text === undefined || !/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  return Math.ceil(parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (unitMs[unit ?? ''] ?? 0), 0));
}

/** "Please try again in 12s.", "try again after 51.84 seconds", "Please retry after 20 seconds", "resets in ~30s". */
function worded(message: string | undefined): number | undefined {
  const match = /(?:in|after) ~?(\d+(?:\.\d+)?) ?(ms|s(?:econds?)?)\b/i.exec(message ?? '');
  return match === null ? undefined : Math.ceil(Number(match[1]) * (match[2] === 'ms' ? 1 : 1000));
}
