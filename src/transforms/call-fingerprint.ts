import { createHash, hash } from 'node:crypto';
import { payloadBytes } from '../images/convert-payload.ts';
import type { ImageCall, InputImage } from '../pipeline/call.ts';
import type { RequestHead } from '../pipeline/exchange.ts';

/**
 * What a request asks for, as the SHA-256 of everything that its answer depends on: the same for the same members in
 * another order, as another content type, or between other multipart boundaries. Reads the pictures.
 */
export async function callFingerprint({ method, path, query, headers }: RequestHead, call: ImageCall): Promise<string> {
  const { images, mask, inputRules: _ofTheGateway, ...members } = call;
  const digests: string[] = [];
  // One after the other: each may be as large as the route allows.
  for (const image of images) digests.push(await pictureDigest(image));
  const document = {
    method,
    path: path.split('?')[0],
    query: [...query].toSorted(([name], [other]) => (name < other ? -1 : Number(name > other))),
    wantsImage: /^\s*image\//i.test(headers.accept ?? ''),
    members,
    images: digests,
    mask: mask === undefined ? null : await pictureDigest(mask),
  };
  return hash('sha256', JSON.stringify(sorted(document)));
}

/** What a picture is, whatever the form in which it came; a link is its address. */
export async function pictureDigest(image: InputImage): Promise<string> {
  if (image.kind === 'provider-file') return `file ${image.id}`;
  if (image.payload.kind === 'link') return `link ${image.payload.url}`;
  const digest = createHash('sha256');
  for await (const chunk of payloadBytes(image.payload)) digest.update(chunk);
  return `bytes ${digest.digest('hex')}`;
}

/** The same value with the members of each object in the order of their names. */
export function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const members = Object.entries(value).toSorted(([name], [other]) => (name < other ? -1 : 1));
  // As pairs: a member may be called `__proto__`, or look like a number, which would come first.
  return { members: members.flatMap(([name, member]) => (member === undefined ? [] : [[name, sorted(member)]])) };
}
