import { GatewayError } from './errors.ts';
import type { Secret } from './secret.ts';

/**
 * An upstream fault whose words do not give away our credentials: some providers repeat the key that they refuse.
 * Looks for each token as it is, in base64 and percent-encoded.
 */
export function withoutTokens(error: GatewayError, tokens: readonly Secret[]): GatewayError {
  const message = scrub(error.message, tokens);
  if (message === error.message) return error;
  const { code, param, status, publicCode, retryAfterMs, headers, retry } = error;
  return new GatewayError(code, message, { param, status, publicCode, retryAfterMs, headers, retry });
}

/** A text in which every spelling of the tokens reads `[redacted]`. */
export function scrub(text: string, tokens: readonly Secret[]): string {
  let scrubbed = text;
  for (const token of tokens) {
    for (const spelling of spellings(token.reveal())) scrubbed = scrubbed.replaceAll(spelling, '[redacted]');
  }
  return scrubbed;
}

function spellings(token: string): readonly string[] {
  if (token === '') return [];
  const bytes = Buffer.from(token);
  const base64 = bytes.toString('base64').replace(/=+$/, '');
  return [...new Set([token, base64, bytes.toString('hex'), encodeURIComponent(token)])];
}
