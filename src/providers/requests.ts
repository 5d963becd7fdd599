/** Writing what a provider is asked: members, pictures and forms, in the terms of its API. */
import { GatewayError } from '../errors.ts';
import { fileExtension } from '../images/probe.ts';
import type { ImagePayload } from '../images/payload.ts';
import type { InputImage } from '../pipeline/call.ts';
import { PictureText, type WireJson, type WirePart, type WireRequest } from '../pipeline/upstream.ts';

/** Members of a request in the vendor's spelling; what is undefined is not sent. */
export type WireMembers = Readonly<Record<string, WireJson | undefined>>;

/** The members that are there. */
export function present(members: WireMembers): { [name: string]: WireJson } {
  const entries = Object.entries(members).filter((entry): entry is [string, WireJson] => entry[1] !== undefined);
  return Object.fromEntries(entries);
}

/** A `POST` of a JSON document. @param headers lower-case names */
export function postJson(
  url: string,
  members: WireMembers,
  headers: Readonly<Record<string, string>> = {},
): WireRequest {
  return {
    method: 'POST',
    url,
    headers: { accept: 'application/json', ...headers },
    body: { kind: 'json', value: present(members) },
  };
}

/** A `GET` of a JSON document. */
export function getJson(url: string, headers: Readonly<Record<string, string>> = {}): WireRequest {
  return { method: 'GET', url, headers: { accept: 'application/json', ...headers }, body: { kind: 'none' } };
}

/** An address without the slashes at its end. */
export function withoutSlash(url: string): string {
  return url.replace(/\/+$/, '');
}

/**
 * A model's name as a segment of a path.
 * @throws GatewayError model_not_found for a name by which the path would lead elsewhere
 */
export function modelSegment(model: string): string {
  if (/^\.{0,2}$/.test(model)) {
    throw new GatewayError('model_not_found', `The provider has no model \`${model}\`.`, { param: 'model' });
  }
  return encodeURIComponent(model.toWellFormed());
}

/** A model's name as a path: each part between its slashes is a segment. @throws as `modelSegment` */
export function modelPath(model: string): string {
  return model.split('/').map(modelSegment).join('/');
}

/** A picture as a data URI. */
export function dataUri(image: InputImage): PictureText {
  const { payload, mediaType } = pictureOf(image);
  if (payload.kind === 'link') throw unprepared();
  return new PictureText(payload, `data:${mediaType};base64,`);
}

/** A picture as bare base64. */
export function bareBase64(image: InputImage): PictureText {
  const { payload } = pictureOf(image);
  if (payload.kind === 'link') throw unprepared();
  return new PictureText(payload);
}

/** The link of a picture that a vendor takes by its address. */
export function linkOf(image: InputImage): string {
  const { payload } = pictureOf(image);
  if (payload.kind !== 'link') throw unprepared();
  return payload.url;
}

/** The picture and its media type, for forms that name both. @throws GatewayError for a file that lies with another provider */
export function pictureOf(image: InputImage): { readonly payload: ImagePayload; readonly mediaType: string } {
  if (image.kind !== 'image') throw unprepared();
  return { payload: image.payload, mediaType: image.mediaType ?? 'image/png' };
}

/** Fields of a form, each as text. */
export function fieldParts(members: WireMembers): WirePart[] {
  return Object.entries(present(members)).map(([name, value]) => ({
    kind: 'field',
    name,
    value: typeof value === 'string' ? value : JSON.stringify(value),
  }));
}

/** A picture as the file of a form. @param stem of its file name */
export function filePart(name: string, stem: string, image: InputImage): WirePart {
  const { payload, mediaType } = pictureOf(image);
  if (payload.kind === 'link') throw unprepared();
  return { kind: 'file', name, fileName: `${stem}.${fileExtension(mediaType)}`, mediaType, payload };
}

/** `provider-transform` brings pictures into the form that `capabilities` asks for. */
function unprepared(): GatewayError {
  return new GatewayError('internal_error', 'A picture came in a form that the provider has not asked for.');
}
