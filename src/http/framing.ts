/**
 * What Node's parser lets pass and a gateway must not: requests that another server might frame or route in another way.
 * The parser itself refuses folded lines, bare line feeds, `Content-Length` beside `Transfer-Encoding`, and their like.
 * The rules are those of RFC 9112; where it leaves a choice, the connection is refused.
 */
import type { IncomingMessage } from 'node:http';
import { GatewayError } from '../errors.ts';

/** More headers than any client sends. Node would leave out what is over a limit of its own, in silence. */
const maxHeaders = 256;

/** Headers of which a request has one at most: each of two servers might believe in another. */
const single: ReadonlySet<string> = new Set(['host', 'authorization', 'content-length', 'transfer-encoding', 'expect']);

/** A host with an optional port. */
const authority = /^(?:[a-z0-9._~!$&'()*+;=%-]+|\[[0-9a-f:.]+\])(?::\d{0,5})?$/i;

/** A request target as an absolute address, which clients send to proxies and servers have to understand. */
const absoluteForm = /^https?:\/\/([^/?]*)(.*)$/is;

/**
 * What is wrong with a request's head; undefined when nothing is. A target in absolute form is brought into origin form,
 * and the host in it takes the place of `Host`, as RFC 9112 §3.2.2 asks.
 */
export function framingFault(request: IncomingMessage): GatewayError | undefined {
  if (request.httpVersionMajor !== 1) return bad('Only HTTP/1.1 and HTTP/1.0 are spoken here.');
  return headerFault(request) ?? targetFault(request) ?? hostFault(request) ?? codingFault(request);
}

function headerFault({ rawHeaders }: IncomingMessage): GatewayError | undefined {
  if (rawHeaders.length > 2 * maxHeaders) {
    return new GatewayError('headers_too_large', `The request has more than ${maxHeaders} headers.`);
  }
  const seen = new Set<string>();
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]?.toLowerCase() ?? '';
    if (!single.has(name)) continue;
    if (seen.has(name)) return bad(`The request has more than one \`${name}\` header.`);
    seen.add(name);
  }
  return undefined;
}

function targetFault(request: IncomingMessage): GatewayError | undefined {
  const { url: target = '' } = request;
  if (target.includes('#')) return bad('The request target must not have a fragment.');
  if (target.startsWith('/')) return undefined;
  const [, host, path = ''] = absoluteForm.exec(target) ?? [];
  if (host === undefined) return bad('The request target must be a path that starts with `/`.');
  request.headers.host = host;
  request.url = path.startsWith('/') ? path : `/${path}`;
  return undefined;
}

function hostFault({ headers: { host }, httpVersionMinor }: IncomingMessage): GatewayError | undefined {
  if (host === undefined) return httpVersionMinor === 0 ? undefined : bad('The request has no `host` header.');
  return authority.test(host) ? undefined : bad('The `host` header is not a host.');
}

function codingFault({ headers, httpVersionMinor }: IncomingMessage): GatewayError | undefined {
  const coding = headers['transfer-encoding'];
  if (coding === undefined) return undefined;
  if (httpVersionMinor === 0) return bad('HTTP/1.0 has no `transfer-encoding`.');
  if (headers['content-length'] !== undefined) return bad('A body cannot have both a length and a transfer coding.');
  return coding.toLowerCase() === 'chunked' ? undefined : bad('The only transfer coding understood is `chunked`.');
}

/** An expectation other than `100-continue`. */
export function expectationFault(): GatewayError {
  return new GatewayError('bad_request', 'The only expectation that can be met is `100-continue`.', { status: 417 });
}

/** What Node's parser found, as an error with a public face. */
export function parserFault(error: NodeJS.ErrnoException): GatewayError {
  const details = { cause: error };
  if (error.code === 'HPE_HEADER_OVERFLOW') {
    return new GatewayError('headers_too_large', 'The request’s headers are too large.', details);
  }
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') {
    return new GatewayError('request_timeout', 'The request did not arrive in time.', details);
  }
  return new GatewayError('bad_request', 'The request is not valid HTTP/1.1.', details);
}

function bad(message: string): GatewayError {
  return new GatewayError('bad_request', message);
}
