/** Reading what a provider answered: the document, with its pictures left as bytes, and the values in it. */
import { base64OfDataUri } from '../body/data-uri.ts';
import { bytesSource, collect } from '../body/byte-source.ts';
import { LongText, scanJson } from '../body/json-scan.ts';
import { GatewayError } from '../errors.ts';
import type { ByteText, ImagePayload } from '../images/payload.ts';
import { isJsonObject } from '../json.ts';
import type { EffectiveParameters, ImageAnswer, ImageUsage, ResultImage } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';

/** A document, or a part of it, in which every member may be missing. */
export type Members = Readonly<Record<string, unknown>>;

/** The largest JSON around the pictures: everything but their base64. */
const maxSkeletonBytes = 1024 * 1024;
/** How deep an answer may be nested. */
const maxDepth = 64;

/**
 * The answer's JSON document. Long texts, which pictures are, stay bytes: `LongText`.
 * @throws GatewayError upstream_invalid_response; whatever the body's own reading throws
 */
export async function readDocument(reply: UpstreamReply): Promise<unknown> {
  try {
    return await scanJson(reply.body, { maxSkeletonBytes, maxDepth });
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw invalidAnswer('it is not the JSON that it should be', error);
  }
}

/** As `readDocument`, for a document that must be an object. */
export async function readObject(reply: UpstreamReply): Promise<Members> {
  const document = await readDocument(reply);
  if (!isJsonObject(document)) throw invalidAnswer('it is not a JSON object');
  return document;
}

/**
 * The answer with its body at hand, so that it can be looked at by `poll` and still be read by `decode`. For answers
 * about jobs, which are small.
 */
export async function keepReply(reply: UpstreamReply): Promise<{ readonly bytes: Uint8Array; reply(): UpstreamReply }> {
  const bytes = await collect(reply.body);
  return { bytes, reply: () => ({ ...reply, body: bytesSource(bytes) }) };
}

/** The error for an answer that is not what the vendor's API promises. */
export function invalidAnswer(why: string, cause?: unknown): GatewayError {
  return new GatewayError('upstream_invalid_response', `The provider’s answer cannot be used: ${why}.`, { cause });
}

/** The error for a refusal of the content. @param words the vendor's own, if it gave any */
export function refusal(words: string | undefined): GatewayError {
  return new GatewayError('content_policy_violation', words ?? 'The provider refused this content.');
}

/** The error for a job that failed without anybody's fault. @param words the vendor's own, for the log */
export function failedJob(words: string | undefined): GatewayError {
  const cause = words === undefined ? undefined : new Error(words);
  return new GatewayError('upstream_error', 'The provider could not make the picture.', { retry: false, cause });
}

/** The member as an object; without members when it is none. */
export function object(value: unknown): Members {
  return isJsonObject(value) ? value : {};
}

/** The items of a list; none when it is no list. */
export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The text; undefined when it is none, or empty. */
export function text(value: unknown): string | undefined {
  const plain = value instanceof LongText ? value.toText() : value;
  return typeof plain === 'string' && plain !== '' ? plain : undefined;
}

/** The number; undefined when it is none. */
export function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

/** A whole number from 0 on; undefined for anything else. */
export function wholeNumber(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/**
 * Seconds since 1970 of a moment told in seconds, in milliseconds, or as an ISO date; undefined for anything else.
 * Some vendors mix the first two.
 */
export function secondsOf(value: unknown): number | undefined {
  const told = typeof value === 'string' ? Date.parse(value) : wholeNumber(value);
  if (told === undefined || !Number.isFinite(told)) return undefined;
  return Math.floor(told > 1e11 ? told / 1000 : told);
}

/** Nano-dollars of an amount in dollars; undefined for what is none. */
export function nanoUsd(dollars: unknown): number | undefined {
  const amount = number(dollars);
  if (amount === undefined || amount < 0) return undefined;
  const rounded = Math.round(amount * 1e9);
  // Nine million dollars for a picture are a mistake in the unit.
  return Number.isSafeInteger(rounded) ? rounded : undefined;
}

/** A picture in base64, bare or as a data URI. */
export function base64Picture(value: unknown): ImagePayload | undefined {
  const found = byteText(value);
  return found === undefined ? undefined : { kind: 'base64', text: base64OfDataUri(found) ?? found };
}

/** A link; or a picture that stands in the link itself, as a data URI. */
export function linkPicture(value: unknown): ImagePayload | undefined {
  const link = byteText(value);
  const inside = link === undefined ? undefined : base64OfDataUri(link);
  if (inside !== undefined) return { kind: 'base64', text: inside };
  return typeof value === 'string' && value !== '' ? { kind: 'link', url: value, trust: 'response' } : undefined;
}

function byteText(value: unknown): ByteText | undefined {
  if (value instanceof LongText) return value.text;
  if (typeof value !== 'string' || value === '') return undefined;
  const bytes = Buffer.from(value);
  return { slices: [bytes], byteLength: bytes.byteLength, escaped: false };
}

/**
 * An answer put together from what was found in it.
 * @throws GatewayError upstream_invalid_response when there are no pictures
 */
export function answerOf(
  images: readonly (ResultImage | ImagePayload | undefined)[],
  told: {
    readonly created?: number | undefined;
    readonly usage?: ImageUsage | undefined;
    readonly effective?: EffectiveParameters | undefined;
    readonly costNanoUsd?: number | undefined;
  } = {},
): ImageAnswer {
  const found = images.flatMap((image): ResultImage[] => {
    if (image === undefined) return [];
    return ['payload' in image ? image : { payload: image }];
  });
  if (found.length === 0) throw invalidAnswer('it has no pictures');
  const { created, usage, effective = {}, costNanoUsd } = told;
  return { created, images: found, usage, effective, costNanoUsd };
}
