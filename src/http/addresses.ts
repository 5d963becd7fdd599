import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { canonicalAddress, type AddressRanges } from '../ip-address.ts';

/** The proxies whose `x-forwarded-for` is believed. */
export type TrustedProxies = AddressRanges;

/**
 * Whose request it is: the peer, or, as long as that is a trusted proxy, whoever it says it had the request from. The
 * list in `x-forwarded-for` is read from the right, because only what trusted proxies wrote can be believed.
 */
export function remoteAddress(request: IncomingMessage, trusted: TrustedProxies): string {
  let address = canonicalAddress(request.socket.remoteAddress ?? '');
  const forwarded = request.headers['x-forwarded-for'];
  if (forwarded === undefined || !trusted.contains(address)) return address;
  // Node joins repeated headers with a comma, in their order.
  const hops = String(forwarded).split(',');
  for (let hop = hops.pop(); hop !== undefined && trusted.contains(address); hop = hops.pop()) {
    const next = withoutPort(hop.trim());
    if (isIP(next) === 0) break;
    address = canonicalAddress(next);
  }
  return address;
}

/** Some proxies add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`. */
function withoutPort(hop: string): string {
  const [, six, four] = /^\[([^\]]*)\](?::\d+)?$|^(\d+\.\d+\.\d+\.\d+)(?::\d+)?$/.exec(hop) ?? [];
  return six ?? four ?? hop;
}
