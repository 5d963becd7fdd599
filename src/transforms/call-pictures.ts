/** The pictures of a request, in every spelling that clients use for them. */
import { isDataUri } from '../body/data-uri.ts';
import { LongText } from '../body/long-text.ts';
import { GatewayError } from '../errors.ts';
import { payloadHead } from '../images/convert-payload.ts';
import type { ImagePayload } from '../images/payload.ts';
import { sniffMediaType } from '../images/probe.ts';
import { isJsonObject } from '../json.ts';
import type { InputImage } from '../pipeline/call.ts';

/** A picture whose bytes a reader of the body has taken in. */
export class TakenPicture {
  readonly payload: ImagePayload;

  constructor(payload: ImagePayload) {
    this.payload = payload;
  }
}

/** Where a picture is: with us, behind a link, in a data URI not yet taken in, or with the provider. */
export type PictureSource =
  | { readonly kind: 'taken'; readonly payload: ImagePayload; readonly param: PictureParam }
  | { readonly kind: 'link'; readonly url: string; readonly param: PictureParam }
  | { readonly kind: 'data-uri'; readonly slices: readonly Uint8Array[]; readonly param: PictureParam }
  | { readonly kind: 'provider-file'; readonly id: string; readonly param: PictureParam };

export type PictureParam = 'image' | 'mask';

/**
 * The pictures in one member: a link, a data URI, an upload, OpenAI's `{image_url}` or `{file_id}`, or a list of these.
 * @throws GatewayError invalid_image, image_url_not_allowed
 */
export function collectPictures(value: unknown, param: PictureParam): readonly PictureSource[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item) => collectPictures(item, param));
  if (value instanceof TakenPicture) return [{ kind: 'taken', payload: value.payload, param }];
  if (typeof value === 'string') return [fromText(value, param)];
  if (value instanceof LongText) return [fromLongText(value, param)];
  if (isJsonObject(value)) return fromObject(value, param);
  throw notAPicture(param);
}

function fromText(text: string, param: PictureParam): PictureSource {
  if (/^data:/i.test(text)) return { kind: 'data-uri', slices: [Buffer.from(text)], param };
  if (/^https:\/\//i.test(text)) return { kind: 'link', url: text, param };
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    throw new GatewayError('image_url_not_allowed', 'Only https:// URLs are fetched.', { param });
  }
  throw notAPicture(param);
}

/** The longest link: signed ones have a KiB and more. */
const maxLinkBytes = 8192;

/** A form's text field, or a long link; in JSON a long data URI has been taken in where it stood. */
function fromLongText(value: LongText, param: PictureParam): PictureSource {
  const { slices, byteLength } = value.text;
  // The first slice by itself may be shorter than the word that tells.
  if (isDataUri(Buffer.concat(slices, Math.min(byteLength, 5)))) return { kind: 'data-uri', slices, param };
  if (byteLength <= maxLinkBytes) return fromText(value.toText(), param);
  throw notAPicture(param);
}

function fromObject(value: Record<string, unknown>, param: PictureParam): readonly PictureSource[] {
  const fileId = value['file_id'] ?? undefined;
  const given = value['image_url'];
  // The chat API's `{url}`; what the reader of the body made of a long text is an object too.
  const isNested = isJsonObject(given) && !(given instanceof TakenPicture || given instanceof LongText);
  const imageUrl = (isNested ? given['url'] : given) ?? undefined;
  if (typeof fileId === 'string' && imageUrl === undefined) return [{ kind: 'provider-file', id: fileId, param }];
  if (fileId === undefined && imageUrl !== undefined) return collectPictures(imageUrl, param);
  throw new GatewayError('invalid_value', `Each of "${param}" needs exactly one of image_url and file_id.`, { param });
}

/**
 * Looks at a picture's first bytes: what it declared about itself does not count.
 * @throws GatewayError invalid_image
 */
export async function identify(payload: ImagePayload, param: PictureParam): Promise<InputImage> {
  const mediaType = sniffMediaType(await payloadHead(payload, magicBytes));
  if (mediaType === undefined || mediaType === 'image/svg+xml') throw notAPicture(param);
  return { kind: 'image', payload, mediaType };
}

/** Enough bytes for every magic number that we know. */
const magicBytes = 64;

function notAPicture(param: PictureParam): GatewayError {
  const message = `The parameter "${param}" must be a picture: a file, an https:// URL or a data URI of a PNG, JPEG, WebP, GIF or AVIF image.`;
  return new GatewayError('invalid_image', message, { param });
}
