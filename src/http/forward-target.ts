import { GatewayError } from '../errors.ts';

/**
 * `.` or `..` as a whole segment of a path, in any spelling that some server reads that way: percent-encoded, between
 * encoded slashes, between backslashes.
 */
const dotSegment = /(?:[/\\]|%2f|%5c)(?:\.|%2e){1,2}(?=[/\\]|%2f|%5c|$)/i;

/**
 * Where a request goes: the base's path followed by the request's whole path, and both queries. A route `/v1/*` with the
 * upstream `https://host/base` sends `/v1/files` to `https://host/base/v1/files`.
 * @param requestTarget path and query as they came
 * @throws GatewayError bad_request for a path that climbs: routing saw another one than the upstream would
 */
export function forwardTarget(base: URL, requestTarget: string): URL {
  const at = requestTarget.indexOf('?');
  const path = at < 0 ? requestTarget : requestTarget.slice(0, at);
  if (dotSegment.test(path)) throw new GatewayError('bad_request', 'The path has `.` or `..` segments.');
  const target = new URL(base);
  target.pathname = base.pathname.replace(/\/$/, '') + path;
  const queries = [base.search.slice(1), at < 0 ? '' : requestTarget.slice(at + 1)];
  target.search = queries.filter((query) => query !== '').join('&');
  target.hash = '';
  return target;
}
