import { mayBeBilled } from '../budget/usage.ts';
import type { GatewayError } from '../errors.ts';
import type { Attempt } from '../pipeline/exchange.ts';

/**
 * Whether an error is the answer to the call, and not only to this try: a picture may have been billed, or the provider
 * has refused the request itself.
 */
export function isFinal(error: GatewayError, attempts: readonly Attempt[]): boolean {
  if (!attempts.some(({ sent }) => sent)) return false;
  if (attempts.some(mayBeBilled)) return true;
  // What is wrong with the request stays wrong; a full queue, an outage or a credential of ours does not.
  const isAboutTheRequest = error.status < 500 && error.status !== 429 && error.code !== 'client_closed_request';
  return !error.retry && (isAboutTheRequest || error.code === 'upstream_invalid_response');
}
