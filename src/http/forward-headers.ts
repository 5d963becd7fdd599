/** Which headers go through the reverse proxy, in either direction. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { canonicalAddress } from '../ip-address.ts';
import { Secret } from '../secret.ts';

/** Headers for one connection only, RFC 9110 §7.6.1, and what else must not leave it. */
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** The caller's credentials for this gateway, and who it is. None of the upstream's business. */
const callersOwn: ReadonlySet<string> = new Set([
  'authorization',
  'api-key',
  'cookie',
  'openai-organization',
  'openai-project',
  'x-api-key',
]);

/** Names that the gateway gives to callers and sessions. */
const internal = /^x-(?:pinhole|opengateway)-/;

/** What the upstream says about itself and must not be taken for the gateway's word. */
const upstreamsOwn: ReadonlySet<string> = new Set(['alt-svc', 'strict-transport-security']);

export interface ForwardedRequest {
  readonly request: IncomingMessage;
  readonly id: string;
  /** The caller's address, trusted proxies taken off. */
  readonly remoteAddress: string;
  /** Whether the request asks for a WebSocket. */
  readonly upgrade: boolean;
}

/** The request's headers as the upstream gets them, but for those that the settings add. */
export function requestHeaders({ request, id, remoteAddress, upgrade }: ForwardedRequest): IncomingHttpHeaders {
  const { headers, socket } = request;
  const named = namedByConnection(headers.connection);
  // Also `expect`: the gateway has asked for the body by itself by the time that it is sent on.
  const dropped = (name: string): boolean =>
    hopByHop.has(name) || callersOwn.has(name) || named.has(name) || internal.test(name) || name === 'expect';
  const kept = Object.entries(headers).filter(([name]) => !dropped(name));
  // A peer that is not the caller is a trusted proxy: its word about the caller's side stands.
  const trusted = canonicalAddress(socket.remoteAddress ?? '') !== remoteAddress;
  const { 'x-forwarded-proto': proto, 'x-forwarded-host': host } = trusted ? headers : {};
  return {
    ...Object.fromEntries(kept),
    'x-forwarded-for': remoteAddress,
    'x-forwarded-proto': proto ?? ('encrypted' in socket ? 'https' : 'http'),
    'x-forwarded-host': host ?? headers.host ?? '',
    'x-request-id': id,
    // Framing is never left to chance: without it, a body would follow a request that declares none.
    ...(headers['transfer-encoding'] === undefined ? {} : { 'transfer-encoding': 'chunked' }),
    ...(headers['content-length'] === undefined ? {} : { 'content-length': headers['content-length'] }),
    ...(upgrade ? { connection: 'Upgrade', upgrade: 'websocket' } : {}),
  };
}

/** The headers of the settings, secrets opened. */
export function settingsHeaders(headers: Readonly<Record<string, string | Secret>>): Record<string, string> {
  const opened = Object.entries(headers).map(([name, value]) => [
    name,
    value instanceof Secret ? value.reveal() : value,
  ]);
  return Object.fromEntries(opened);
}

/** The upstream's headers as the caller gets them, repeated ones kept apart. `own` take the place of the upstream's. */
export function replyHeaders(
  reply: IncomingMessage,
  own: ReadonlyMap<string, string>,
): Record<string, string | string[]> {
  const named = namedByConnection(reply.headers.connection);
  const kept: Record<string, string | string[]> = {};
  for (const [name, values] of Object.entries(reply.headersDistinct)) {
    if (values === undefined || hopByHop.has(name) || named.has(name) || upstreamsOwn.has(name)) continue;
    const [value] = values;
    kept[name] = values.length === 1 && value !== undefined ? value : values;
  }
  for (const [name, value] of own) kept[name] = value;
  return kept;
}

/** Headers that `connection` declares to be for this connection only. */
function namedByConnection(connection: string | undefined): ReadonlySet<string> {
  return new Set((connection ?? '').toLowerCase().split(/[\s,]+/));
}
