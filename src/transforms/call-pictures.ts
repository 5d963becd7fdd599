/** The pictures of a request, in every spelling that clients use for them. */
import { isDataUri } from '../body/data-uri.ts';
import { LongText } from '../body/long-text.ts';
import { GatewayError } from '../errors.ts';
import { isJsonObject } from '../json.ts';
import type { UploadedImage } from '../pipeline/call.ts';
import { notAPicture, type PictureParam } from './picture-check.ts';

/** A picture whose bytes a reader of the body has taken in, in the place where it stood. */
export class TakenPicture {
  readonly image: UploadedImage;

  constructor(image: UploadedImage) {
    this.image = image;
  }
}

/** Where a picture is: with us, behind a link, in a data URI not yet taken in, or with the provider. */
export type PictureSource =
  | { readonly kind: 'taken'; readonly image: UploadedImage; readonly param: PictureParam }
  | { readonly kind: 'link'; readonly url: string; readonly param: PictureParam }
  | { readonly kind: 'data-uri'; readonly slices: readonly Uint8Array[]; readonly param: PictureParam }
  | { readonly kind: 'provider-file'; readonly id: string; readonly param: PictureParam };

/** Whether a part of a form with this name holds a picture: `image`, `image[]`, `image[0]`, … */
export function isPicturePart(name: string): boolean {
  return /^(image|images|mask)(\[\d*\])?$/.test(name);
}

/** The parameter that a member or part belongs to, as errors name it. */
export function pictureParam(name: string | number | undefined): PictureParam {
  return typeof name === 'string' && name.startsWith('mask') ? 'mask' : 'image';
}

/**
 * The pictures in one member: a link, a data URI, an upload, OpenAI's `{image_url}` or `{file_id}`, or a list of these.
 * @throws GatewayError invalid_image, invalid_value
 */
export function collectPictures(value: unknown, param: PictureParam): readonly PictureSource[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item) => collectPictures(item, param));
  if (value instanceof TakenPicture) return [{ kind: 'taken', image: value.image, param }];
  if (typeof value === 'string') return [fromText(value, param)];
  if (value instanceof LongText) return [fromLongText(value, param)];
  if (isJsonObject(value)) return fromObject(value, param);
  throw notAPicture(param);
}

/** Whatever has a scheme, or begins like a link without one, is judged as a link; what parsers take out is no way around it. */
const beginsLikeLink = /^[\s\p{Cc}]*(?:[a-z][a-z0-9+.\t\r\n-]*:|[/\\]{2})/iu;

function fromText(text: string, param: PictureParam): PictureSource {
  if (isDataUri(Buffer.from(text.slice(0, 5)))) return { kind: 'data-uri', slices: [Buffer.from(text)], param };
  if (beginsLikeLink.test(text) && !/^\s*data:/i.test(text)) return { kind: 'link', url: text, param };
  throw notAPicture(param);
}

/** More than any link has: whoever judges it needs no more to see that it is too long. */
const maxLinkBytes = 10_000;

/** A form's text field, or a long link; a long data URI has been taken in where it stood. */
function fromLongText({ text: { slices, byteLength } }: LongText, param: PictureParam): PictureSource {
  return fromText(Buffer.concat(slices, Math.min(byteLength, maxLinkBytes)).toString('utf8'), param);
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
