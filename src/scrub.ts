import { GatewayError } from './errors.ts';
import type { Secret } from './secret.ts';

/**
 * An upstream fault whose words do not give away our credentials, neither to the caller nor to the log: some providers
 * repeat the key that they refuse. Looks for each token as it is, in base64, in hexadecimal and percent-encoded.
 */
export function withoutTokens(error: GatewayError, tokens: readonly Secret[]): GatewayError {
  const clean = <Text extends string | undefined>(text: Text): Text =>
    (text === undefined ? text : scrub(text, tokens)) as Text;
  const { code, status, retryAfterMs, headers, retry, cause } = error;
  return new GatewayError(code, clean(error.message), {
    param: clean(error.param),
    publicCode: clean(error.publicCode),
    status,
    retryAfterMs,
    headers,
    retry,
    cause: cause instanceof Error ? new Error(clean(cause.message)) : undefined,
  });
}

/** A text in which every spelling of the tokens reads `[redacted]`. */
export function scrub(text: string, tokens: readonly Secret[]): string {
  // The longest first: of a token that begins with another one, the rest would be left to read.
  const secret = tokens.flatMap((token) => spellings(token.reveal())).toSorted((a, b) => b.length - a.length);
  return secret.reduce((scrubbed, spelling) => scrubbed.replaceAll(spelling, '[redacted]'), text);
}

function spellings(token: string): readonly string[] {
  if (token === '') return [];
  const bytes = Buffer.from(token);
  const base64 = bytes.toString('base64').replace(/=+$/, '');
  const member = new URLSearchParams({ '': token }).toString().slice(1);
  const written = [encodeURIComponent, encodeURI].map((encode) => encode(token.toWellFormed()));
  return [...new Set([token, base64, bytes.toString('hex'), member, ...written])];
}
