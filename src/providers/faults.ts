/** What a provider's refusals have in common, whatever the vendor: which status is whose fault, and how long to wait. */
import { GatewayError, type ErrorCode } from '../errors.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';

/** What a vendor's own error shape said. */
export interface FaultWords {
  readonly message: string | undefined;
  /** The vendor's code, shown to the caller where it says more than ours. */
  readonly code: string | undefined;
  readonly param: string | undefined;
  /** Whether this is a refusal of the content rather than of the form. */
  readonly refusal: boolean;
}

/**
 * The error that a caller sees for a provider's answer with another status than 2xx. A 4xx about the request keeps its
 * status and words; 401, 402 and 403 are about our own credential, which is no business of the caller's.
 */
export function faultFrom(reply: UpstreamReply, words: FaultWords): GatewayError {
  const { status } = reply;
  const retryAfterMs = retryDelayMs(reply.headers, words.message);
  const message = words.message ?? `The provider answered with status ${status}.`;
  const { code: publicCode, param } = words;

  if (words.refusal) return new GatewayError('content_policy_violation', message, { publicCode, param });
  if (status === 401 || status === 402 || status === 403) {
    return new GatewayError('upstream_auth_failed', 'The provider refused the credential of the gateway.', {
      cause: new Error(message),
    });
  }
  if (status === 408) return new GatewayError('upstream_timeout', message);
  if (status === 429) {
    const exhausted = publicCode === 'insufficient_quota';
    return new GatewayError('rate_limit_exceeded', message, {
      publicCode,
      retryAfterMs,
      ...(exhausted ? { retry: false } : {}),
    });
  }
  if (status >= 400 && status < 500) {
    return new GatewayError(codeOfStatus(status), message, { status, publicCode, param });
  }
  if (status >= 500) {
    return new GatewayError('upstream_error', `The provider failed with status ${status}.`, {
      retryAfterMs,
      cause: new Error(message),
    });
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
 * `retry-after-ms`, `retry-after` (seconds, or a date), `x-ratelimit-reset-requests` (`6m12s`), or in the message's words.
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
    worded(message);
  // Digits without end come to Infinity, which is no time that anybody could be told.
  return Number.isSafeInteger(delayMs) ? delayMs : undefined;
}

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

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** `12s`, `6m0s`, `467ms`. */
function duration(text: string | undefined): number | undefined {
  if (text === undefined || !/^(\d+(\.\d+)?(ms|s|m|h))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h)/g)];
  return Math.ceil(parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * (unitMs[unit ?? ''] ?? 0), 0));
}

/** "Please try again in 12s.", "try again after 51.84 seconds", "Please retry after 20 seconds". */
function worded(message: string | undefined): number | undefined {
  const match = /(?:in|after) (\d+(?:\.\d+)?) ?(ms|s(?:econds?)?)\b/i.exec(message ?? '');
  return match === null ? undefined : Math.ceil(Number(match[1]) * (match[2] === 'ms' ? 1 : 1000));
}
