import type { IncomingHttpHeaders } from 'node:http';
import schema from '../../schemas/stages/serve-image.schema.json' with { type: 'json' };
import type { Blob } from '../blobs/blob-store.ts';
import type { ByteSource } from '../body/byte-source.ts';
import { GatewayError } from '../errors.ts';
import type { BodyResponse } from '../pipeline/response.ts';
import { defineStage } from '../pipeline/stage.ts';

/**
 * A hosted picture → its bytes. The name in the route's path is all that a caller needs, so it cannot be guessed, unless
 * the file asks for signed links; what is under a name never changes, so it may be cached for as long as it is there.
 */
export const serveImage = defineStage({
  name: 'serve-image',
  schema,
  reads: [],
  writes: ['response'],
  create(_config, env) {
    const { signer } = env.catalogue.hosting;

    return async function serveImage(exchange) {
      const { request, signal } = exchange;
      const name = request.parameters['name'] ?? '';
      const nowMs = env.clock.now();
      // A link that is not good tells nothing, not even whether there is such a picture.
      const linkUntilMs = signer === undefined ? Infinity : signer.check(name, request.query, nowMs);
      if (linkUntilMs === undefined) throw notFound();
      const blob = await env.blobs.open(name, signal);
      if (blob === undefined) throw notFound();
      exchange.defer(() => blob.close());
      const cacheControl = cacheControlOf(blob, Math.min(linkUntilMs, blob.expiresAtMs ?? Infinity), nowMs);
      return { response: answer(blob, { name, cacheControl }, request.method === 'HEAD', request.headers) };
    };
  },
});

const notFound = (): GatewayError => new GatewayError('file_not_found', 'There is no image of this name.');

/** A year: what RFC 9111 takes for ever, and browsers for the most there is. */
const foreverSeconds = 31_536_000;

/** How long a picture may be kept by whoever got it. Never longer than the gateway itself gives it out. */
function cacheControlOf({ oneCall }: Blob, untilMs: number, nowMs: number): string {
  if (oneCall) return 'private, no-store';
  if (untilMs === Infinity) return `public, max-age=${foreverSeconds}, immutable`;
  return `public, max-age=${Math.min(foreverSeconds, Math.floor((untilMs - nowMs) / 1000))}`;
}

function answer(
  blob: Blob,
  { name, cacheControl }: { readonly name: string; readonly cacheControl: string },
  headOnly: boolean,
  asked: IncomingHttpHeaders,
): BodyResponse {
  const cacheHeaders = { etag: blob.etag, 'cache-control': cacheControl };
  const headers = {
    ...cacheHeaders,
    'content-type': blob.mediaType,
    // Nothing is in a name that would have to be quoted.
    'content-disposition': `inline; filename="${name}"`,
    'accept-ranges': 'bytes',
    'x-content-type-options': 'nosniff',
    // An SVG opened by itself is a document, which could run scripts on the gateway's origin.
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; sandbox",
  };
  const whole: BodyResponse = { kind: 'body', status: 200, headers, body: unsent(blob.byteLength) };

  if (isCurrent(blob.etag, asked['if-none-match'])) return { ...whole, status: 304, headers: cacheHeaders };
  // A range is defined for GET only.
  if (headOnly) return whole;
  const range = mayBeRanged(blob.etag, asked['if-range']) ? askedRange(asked.range, blob.byteLength) : undefined;
  if (range === undefined) return { ...whole, body: source(blob, { start: 0, end: blob.byteLength - 1 }) };
  return {
    ...whole,
    status: 206,
    headers: { ...headers, 'content-range': `bytes ${range.start}-${range.end}/${blob.byteLength}` },
    body: source(blob, range),
  };
}

/** First and last byte, both included. */
interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Whether the caller has this picture already: RFC 9110 §13.1.2, weak comparison. */
function isCurrent(etag: string, ifNoneMatch: string | undefined): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.trim() === '*' || new Set<string>(ifNoneMatch.match(/"[^"]*"/g)).has(etag);
}

/** Whether a part of this picture fits what the caller has: RFC 9110 §13.1.5, strong comparison, so a date never does. */
function mayBeRanged(etag: string, ifRange: unknown): boolean {
  return ifRange === undefined || ifRange === etag;
}

/**
 * The one range that was asked for, RFC 9110 §14.1.2; undefined for everything that may be answered with the whole:
 * several ranges, other units, nonsense.
 * @throws GatewayError with status 416 when no byte of the picture lies within
 */
function askedRange(header: string | undefined, byteLength: number): ByteRange | undefined {
  const [, first = '', last = ''] = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header ?? '') ?? [];
  if (first === '' && last === '') return undefined;
  if (first !== '' && last !== '' && Number(first) > Number(last)) return undefined;

  const start = first === '' ? Math.max(0, byteLength - Number(last)) : Number(first);
  const end = first === '' || last === '' ? byteLength - 1 : Math.min(Number(last), byteLength - 1);
  if (start > end) {
    throw new GatewayError('invalid_value', 'The range lies outside of the image.', {
      status: 416,
      param: 'range',
      headers: { 'content-range': `bytes */${byteLength}` },
    });
  }
  return { start, end };
}

/** A part of a picture as a body. */
function source(blob: Blob, range: ByteRange): ByteSource {
  return {
    length: range.end + 1 - range.start,
    // Nothing is read ahead, and the file is closed when the exchange is over.
    cancel() {},
    [Symbol.asyncIterator]: () => blob.read(range)[Symbol.asyncIterator](),
  };
}

/** The body of an answer to HEAD, or of a 304: it has a length, of which nothing is sent. */
function unsent(length: number): ByteSource {
  return { length, cancel() {}, async *[Symbol.asyncIterator]() {} };
}
