/** The hosted images on the admin listener: a list of them, and their removal. */
import type { BlobEntry, BlobStore } from '../blobs/blob-store.ts';
import { GatewayError } from '../errors.ts';
import { jsonResponse, type BodyResponse } from '../pipeline/response.ts';

const defaultLimit = 100;
const mostListed = 1000;

/** `GET /api/images?after=NAME&limit=N`. @throws GatewayError invalid_value, overloaded */
export async function listImages(blobs: BlobStore, query: URLSearchParams): Promise<BodyResponse> {
  const limit = limitOf(query.get('limit'));
  const entries = await blobs.list({ after: query.get('after') ?? undefined, limit });
  const next = entries.length < limit ? null : (entries.at(-1)?.name ?? null);
  return jsonResponse(200, { images: entries.map(describe), next });
}

function limitOf(text: string | null): number {
  if (text === null) return defaultLimit;
  const limit = /^\d{1,4}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= mostListed) return limit;
  const message = `The parameter "limit" must be a number from 1 to ${mostListed}.`;
  throw new GatewayError('invalid_value', message, { param: 'limit' });
}

function describe({ name, mediaType, byteLength, createdAtMs, expiresAtMs }: BlobEntry): object {
  return {
    name,
    media_type: mediaType,
    bytes: byteLength,
    created_at: new Date(createdAtMs).toISOString(),
    expires_at: expiresAtMs === undefined ? null : new Date(expiresAtMs).toISOString(),
  };
}

/** `DELETE /api/images/NAME`. @throws GatewayError file_not_found, overloaded */
export async function deleteImage(blobs: BlobStore, name: string): Promise<BodyResponse> {
  const blob = await blobs.open(name);
  if (blob === undefined) throw new GatewayError('file_not_found', 'There is no image of this name.');
  await blob.close();
  await blobs.remove(name);
  return { kind: 'body', status: 204, headers: {}, body: new Uint8Array() };
}
