/** Cross-origin requests from browsers. */
import type { IncomingMessage } from 'node:http';

export interface CorsSettings {
  /** Origins such as `https://app.example.com`, or `*` for all. */
  readonly origins: readonly string[];
}

/** Headers of answers that scripts may read beyond those that browsers always show. */
const exposedHeaders = [
  'location',
  'preference-applied',
  'x-request-id',
  'retry-after',
  'retry-after-ms',
  'x-should-retry',
  'server-timing',
  'x-pinhole-attempts',
  'x-pinhole-cache',
  'x-pinhole-cost-usd',
  'x-pinhole-dropped-params',
  'x-pinhole-entity',
  'x-pinhole-guard',
  'x-pinhole-idempotent-replay',
  'x-pinhole-model',
  'x-pinhole-partial',
  'x-pinhole-provider',
  'x-pinhole-saved-usd',
  'x-ratelimit-limit-images',
  'x-ratelimit-limit-requests',
  'x-ratelimit-remaining-images',
  'x-ratelimit-remaining-requests',
  'x-ratelimit-reset-images',
  'x-ratelimit-reset-requests',
].join(', ');

/** What clients are known to send. A `*` would not cover `authorization`. */
const usualHeaders = [
  'authorization',
  'content-type',
  'x-requested-with',
  'x-api-key',
  'api-key',
  'idempotency-key',
  'openai-organization',
  'openai-project',
  'x-request-id',
  'prefer',
];

const methods = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS';

/** Seconds for which a browser need not ask again; more than this none of them honours. */
const maxAgeSeconds = 7_200;

/**
 * The headers that every answer carries, errors included, so that a script can read it.
 * @param origin the request's `origin` header
 * @param settings undefined: no origin may
 */
export function corsHeaders(origin: string | undefined, settings: CorsSettings | undefined): Record<string, string> {
  if (settings === undefined) return {};
  const allowed = allowedOrigin(origin, settings);
  // Also without an origin: a cache must not give this answer to a request with one.
  const vary: Record<string, string> = allowed === '*' ? {} : { vary: 'origin' };
  if (allowed === undefined) return vary;
  return { ...vary, 'access-control-allow-origin': allowed, 'access-control-expose-headers': exposedHeaders };
}

/** Whether a browser asks, before the real request and without its credentials, if it may send it. */
export function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && headers['access-control-request-method'] !== undefined;
}

/** The answer to a preflight, besides `corsHeaders`. Any header that is asked for is allowed: unknown ones do no harm. */
export function preflightHeaders(request: IncomingMessage, settings: CorsSettings): Record<string, string> {
  if (allowedOrigin(request.headers.origin, settings) === undefined) return {};
  const asked = (request.headers['access-control-request-headers'] ?? '').toLowerCase().split(',');
  const names = asked.map((name) => name.trim()).filter((name) => /^[\w!#$%&'*+.^`|~-]+$/.test(name));
  return {
    'access-control-allow-methods': methods,
    'access-control-allow-headers': [...new Set([...usualHeaders, ...names])].join(', '),
    'access-control-max-age': String(maxAgeSeconds),
  };
}

function allowedOrigin(origin: string | undefined, { origins }: CorsSettings): string | undefined {
  if (origins.includes('*')) return '*';
  return origin !== undefined && origins.includes(origin) ? origin : undefined;
}
