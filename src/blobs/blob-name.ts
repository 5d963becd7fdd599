/**
 * The names of hosted pictures, which are all that is known about them besides their bytes:
 *
 *     gXw…Q.png                 a picture that stays: 24 random bytes as 32 url-safe characters, and an extension
 *     0t2k9zq-gXw…Q.png         one that expires, after seven digits in base 36 for the second at which it does
 *     0t2k9zq-once-gXw…Q.png    an upload that is hosted for one call
 *
 * Those that expire are in order of their time when they are in order of their names.
 */
import { randomBytes } from 'node:crypto';
import { fileExtension } from '../images/probe.ts';
import { GatewayError } from '../errors.ts';
import type { BlobEntry, PutOptions } from './blob-store.ts';

/** What a name tells. */
export interface BlobName extends Pick<BlobEntry, 'name' | 'mediaType' | 'expiresAtMs'> {
  readonly oneCall: boolean;
}

/** By extension. Whatever is not in the list is kept as nothing but bytes. */
const mediaTypes: ReadonlyMap<string, string> = new Map(
  [
    'image/png',
    'image/jpeg',
    'image/webp',
    'image/gif',
    'image/avif',
    'image/heic',
    'image/bmp',
    'image/tiff',
    'image/svg+xml',
    'application/octet-stream',
  ].map((mediaType) => [fileExtension(mediaType), mediaType]),
);

/** Nothing that matches can lead out of a folder, or has to be encoded anywhere. */
const namePattern = new RegExp(
  `^(?:([0-9a-z]{7})-(once-)?)?[A-Za-z0-9_-]{32}\\.(${[...mediaTypes.keys()].join('|')})$`,
);

const unknownExtension = fileExtension('application/octet-stream');

const secondsDigits = 7;
const lastSecond = 36 ** secondsDigits - 1;

/** A name that nobody can guess. @throws TypeError for a picture of one call that would stay */
export function newBlobName(mediaType: string, { expiresAtMs, oneCall = false }: PutOptions): BlobName {
  if (oneCall && expiresAtMs === undefined) throw new TypeError('What is hosted for one call must expire.');
  const extension = fileExtension(mediaType);
  const known = mediaTypes.has(extension) ? extension : unknownExtension;
  const lifetime = expiresAtMs === undefined ? '' : `${secondsText(expiresAtMs)}-${oneCall ? 'once-' : ''}`;
  const name = `${lifetime}${randomBytes(24).toString('base64url')}.${known}`;
  const parsed = parseBlobName(name);
  if (parsed === undefined) throw new TypeError(`${name} is no name of a picture.`);
  return parsed;
}

/** What a name tells; undefined for a text that is no name of a picture. */
export function parseBlobName(name: string): BlobName | undefined {
  const parts = namePattern.exec(name);
  const mediaType = mediaTypes.get(parts?.[3] ?? '');
  if (parts === null || mediaType === undefined) return undefined;
  const [, seconds, once] = parts;
  const expiresAtMs = seconds === undefined ? undefined : Number.parseInt(seconds, 36) * 1000;
  return { name, mediaType, expiresAtMs, oneCall: once !== undefined };
}

/** What a name tells of a picture that may still be given out; undefined for every other text. */
export function parseCurrentName(name: string, nowMs: number): BlobName | undefined {
  const parsed = parseBlobName(name);
  return parsed === undefined || hasExpired(parsed, nowMs) ? undefined : parsed;
}

export function hasExpired({ expiresAtMs }: Pick<BlobName, 'expiresAtMs'>, nowMs: number): boolean {
  return expiresAtMs !== undefined && expiresAtMs <= nowMs;
}

/** A text that comes after the names of all pictures that have expired, and before those of all others that will. */
export function endOfExpired(nowMs: number): string {
  return `${secondsText(Math.floor(nowMs / 1000) * 1000)}~`;
}

/** @throws GatewayError invalid_value when the cursor of a page is no name of a picture */
export function checkCursor(after: string): BlobName {
  const parsed = parseBlobName(after);
  if (parsed !== undefined) return parsed;
  throw new GatewayError('invalid_value', 'The parameter "after" must be the name of a picture.', { param: 'after' });
}

function secondsText(timeMs: number): string {
  const seconds = Math.min(Math.max(0, Math.ceil(timeMs / 1000)), lastSecond);
  return seconds.toString(36).padStart(secondsDigits, '0');
}
