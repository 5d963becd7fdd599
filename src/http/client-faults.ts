import { GatewayError } from '../errors.ts';

/** What keeps a request from being sent, by the code of the error; the words are for callers and name no host. */
const unreachable: readonly { readonly codes: RegExp; readonly message: string }[] = [
  {
    codes: /^(?:UND_ERR_CONNECT_TIMEOUT|ETIMEDOUT)$/,
    message: 'No connection to the provider could be made in time; nothing was sent.',
  },
  {
    codes: /^(?:ENOTFOUND|EAI_AGAIN|EAI_FAIL|EAI_NODATA|EAI_NONAME)$/,
    message: 'The provider’s host name could not be looked up; nothing was sent.',
  },
  {
    codes: /^(?:CERT_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_|ERR_TLS_|ERR_SSL_|EPROTO$)/,
    message: 'No secure connection to the provider could be made; nothing was sent.',
  },
];

/** A request that never went out. */
export function unreachableError(cause: unknown): GatewayError {
  const code = codeOf(cause);
  const known = unreachable.find(({ codes }) => codes.test(code));
  return new GatewayError(
    'upstream_unreachable',
    known?.message ?? 'The provider could not be reached; nothing was sent.',
    { cause },
  );
}

/** A request that went out, or part of it, and whose answer did not come, or only part of it. */
export function brokenError(cause: unknown): GatewayError {
  if (isNotHttp(cause)) {
    return new GatewayError('upstream_invalid_response', 'The provider’s answer is not valid HTTP.', { cause });
  }
  // The picture may have been made and billed: a caller that sends the call again may pay twice.
  return new GatewayError('upstream_error', 'The connection to the provider broke before its answer was complete.', {
    retry: false,
    cause,
  });
}

/** An answer larger than may be read. */
export function overflowError(maxBytes: number): GatewayError {
  return new GatewayError('upstream_invalid_response', `The provider’s answer is larger than ${maxBytes} bytes.`);
}

/**
 * Undici's and Node's parsers, and what undici itself finds wrong; an answer that merely ends too early is HTTP. That a
 * protocol was switched to or a body waited for which nobody has spoken of, only the error's message tells.
 */
function isNotHttp(error: unknown): boolean {
  if (!(error instanceof Error) || /\bEOF\b/.test(error.message)) return false;
  return (
    error.name === 'HTTPParserError' ||
    /^(?:HPE_|UND_ERR_HEADERS_OVERFLOW$|UND_ERR_RES_CONTENT_LENGTH_MISMATCH$)/.test(codeOf(error)) ||
    /^bad (?:upgrade|response)$/.test(error.message)
  );
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';
}
