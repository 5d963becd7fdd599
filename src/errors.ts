/**
 * Every error that a caller can see, in one table. The place that knows the cause throws a `GatewayError` with a code
 * from this table; status, type and the retry hint come from here. The README's table is compared with this one by a test.
 */

import { withoutPictures } from './log-values.ts';

interface ErrorRow {
  /** HTTP status of the answer. 499 is only ever written to the log. */
  readonly status: number;
  /** OpenAI's `error.type`, from which clients other than the SDKs choose their reaction. */
  readonly type:
    | 'invalid_request_error'
    | 'authentication_error'
    | 'permission_error'
    | 'rate_limit_error'
    | 'insufficient_quota'
    | 'server_error'
    | 'upstream_error';
  /**
   * What `x-should-retry` says, which OpenAI's SDKs obey: is the same request worth sending again?
   * A generation that may already have been paid for is not.
   */
  readonly retry: boolean;
  /** Whether another candidate of the same call may well succeed where this one failed. */
  readonly curable: boolean;
  /** One line for the README. */
  readonly about: string;
}

const caller = (status: number, about: string): ErrorRow => ({
  status,
  type: 'invalid_request_error',
  retry: false,
  curable: false,
  about,
});

const upstream = (status: number, retry: boolean, about: string): ErrorRow => ({
  status,
  type: 'upstream_error',
  retry,
  curable: true,
  about,
});

export const errorTable = {
  bad_request: caller(400, 'The bytes on the connection are not an HTTP request we accept.'),
  invalid_json: caller(400, 'The body is not JSON, or not an object.'),
  invalid_multipart: caller(400, 'The multipart body is cut, malformed or has a part that is not understood.'),
  missing_required_parameter: caller(400, 'A parameter that this operation needs is absent; `param` names it.'),
  invalid_value: caller(400, 'A parameter has a value that is not accepted; `param` names it.'),
  unknown_parameter: caller(400, 'A strict route was sent a parameter that it does not know.'),
  unsupported_parameter: caller(400, 'The resolved provider cannot take this parameter, and the route says `reject`.'),
  invalid_image: caller(400, 'An input image is not a picture of a kind we accept, is cut, or has too many pixels.'),
  image_url_not_allowed: caller(400, 'An image URL may not be fetched, whatever the reason.'),
  operation_not_enabled: caller(400, 'The resolved entity has this operation switched off.'),
  too_many_images: caller(400, 'More input images than an edit takes.'),
  content_policy_violation: caller(400, 'The provider refused the content; its own words are in `message`.'),
  guard_blocked: caller(400, 'A guard rule of the gateway refused the prompt.'),
  missing_api_key: {
    ...caller(401, 'No key was sent.'),
    type: 'authentication_error',
  },
  invalid_api_key: {
    ...caller(401, 'The key is not known, or no longer valid.'),
    type: 'authentication_error',
  },
  model_not_allowed: {
    ...caller(403, 'The caller may not use the resolved model.'),
    type: 'permission_error',
  },
  ip_not_allowed: { ...caller(403, 'The caller’s address is not on the list.'), type: 'permission_error' },
  route_not_found: caller(404, 'No route has this path.'),
  model_not_found: caller(404, 'No entity or alias of this route serves the model.'),
  file_not_found: caller(404, 'No hosted image has this name, or it has expired.'),
  job_not_found: caller(404, 'The caller has no job of this id, or it has expired.'),
  method_not_allowed: caller(405, 'The path exists, the method does not; `allow` lists those that do.'),
  request_timeout: { ...caller(408, 'The request did not arrive in time.'), retry: true },
  payload_too_large: caller(
    413,
    'The body is over the route’s `max_size_upload`, or one part of it over its own bound.',
  ),
  unsupported_media_type: caller(415, 'The body is neither JSON nor multipart/form-data, or compressed.'),
  idempotency_key_reused: caller(422, 'The same `Idempotency-Key` came with another body.'),
  headers_too_large: caller(431, 'The request’s headers are larger than the gateway reads.'),
  rate_limit_exceeded: {
    status: 429,
    type: 'rate_limit_error',
    retry: true,
    curable: true,
    about: 'Too many requests, by the gateway’s count or the provider’s.',
  },
  budget_exceeded: {
    status: 429,
    type: 'insufficient_quota',
    retry: false,
    curable: false,
    about: 'A budget that applies has no room for this call.',
  },
  unpriced_model: {
    status: 429,
    type: 'insufficient_quota',
    retry: false,
    curable: false,
    about: 'A budget in money applies, and no price is known for the model.',
  },
  client_closed_request: caller(499, 'The client went away. Only in the log.'),
  internal_error: {
    status: 500,
    type: 'server_error',
    retry: false,
    curable: false,
    about: 'A bug of the gateway, never anything else.',
  },
  operation_not_supported: {
    status: 501,
    type: 'server_error',
    retry: false,
    curable: true,
    about: 'The resolved provider has no such operation.',
  },
  upstream_error: upstream(502, true, 'The provider failed.'),
  upstream_auth_failed: upstream(502, false, 'The provider refused the gateway’s own credential.'),
  upstream_invalid_response: upstream(502, false, 'The provider’s answer is not what its API promises.'),
  upstream_unreachable: upstream(502, true, 'The provider could not be reached; nothing was sent.'),
  no_healthy_target: upstream(503, true, 'Every candidate of the call is out of service.'),
  overloaded: {
    status: 503,
    type: 'upstream_error',
    retry: true,
    curable: false,
    about: 'The gateway has as many requests as it takes, is draining, or cannot keep its books or pictures right now.',
  },
  guard_unavailable: {
    ...upstream(503, true, 'A guard rule could not tell whether the prompt is allowed; nothing was sent.'),
    curable: false,
  },
  not_cached: caller(504, 'The request said `only-if-cached`, and no answer is kept that would do.'),
  upstream_timeout: upstream(504, false, 'The provider did not answer within the entity’s `timeout`.'),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof errorTable;

/** What the thrower knows beyond the code. */
export interface ErrorDetails {
  /** The request parameter at fault, in wire spelling. */
  readonly param?: string | undefined;
  /** Replaces the table's status: a provider's own 4xx about the request keeps its status. */
  readonly status?: number | undefined;
  /** The provider's own `code`, where it says more than ours. */
  readonly publicCode?: string | undefined;
  /** How long the caller should wait before it tries again, in milliseconds. */
  readonly retryAfterMs?: number | undefined;
  /** Further response headers, such as `allow`. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Replaces the table's `retry`. */
  readonly retry?: boolean | undefined;
  /** For the log only. */
  readonly cause?: unknown;
}

/** An error with a public face. `message` is shown to the caller: no hosts, credentials or stack in it. */
export class GatewayError extends Error {
  override readonly name = 'GatewayError';
  readonly code: ErrorCode;
  readonly param: string | undefined;
  readonly status: number;
  readonly publicCode: string;
  readonly retryAfterMs: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly retry: boolean;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    const row = errorTable[code];
    this.code = code;
    this.param = details.param;
    this.status = details.status ?? row.status;
    this.publicCode = details.publicCode ?? code;
    this.retryAfterMs = details.retryAfterMs;
    this.headers = details.headers ?? {};
    this.retry = details.retry ?? row.retry;
  }

  /** Whether another candidate may well succeed where this one failed. */
  get curable(): boolean {
    return errorTable[this.code].curable;
  }
}

/** Something that the operator can mend, such as an address in use. Its message says all, its stack nothing. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
}

/** Anything thrown, as an error with a public face: what is not a `GatewayError` is a bug of ours. */
export function toGatewayError(thrown: unknown): GatewayError {
  if (thrown instanceof GatewayError) return thrown;
  return new GatewayError('internal_error', 'The gateway failed to handle this request.', { cause: thrown });
}

/**
 * OpenAI's error object, as every answer with an error carries it. Callers' texts and providers' words stand in it; should
 * they hold a picture, a note stands in its place.
 */
export function errorBody(error: GatewayError): string {
  return JSON.stringify({ error: errorObject(error) });
}

/** What `errorBody` has under `error`. */
export function errorObject(error: GatewayError) {
  return {
    message: withoutPictures(error.message),
    type: errorTable[error.code].type,
    param: error.param === undefined ? null : withoutPictures(error.param),
    code: withoutPictures(error.publicCode),
  };
}
