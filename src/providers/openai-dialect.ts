/**
 * OpenAI's images API as a codec, for every provider that speaks it. A vendor configures the differences; nothing here
 * knows any vendor. Source: OpenAI's API reference, "Images", and openai-openapi (August 2026).
 */
import type { InputImage, Operation, TargetCall } from '../pipeline/call.ts';
import { wireNames, type ImageParameters } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import { readUsage } from '../pipeline/wire-usage.ts';
import type { UpstreamReply, WireJson, WirePart } from '../pipeline/upstream.ts';
import type { Secret } from '../secret.ts';
import type { GatewayError } from '../errors.ts';
import type { ImagePayload, LinkPayload } from '../images/payload.ts';
import { answerOf, list, readObject, secondsOf, type Members } from './answers.ts';
import { commonWords, faultReader, type FaultWords } from './faults.ts';
import { effectiveOf, gatherEvents, imageEvents, imageOf } from './openai-events.ts';
import type { EncodedCall, OperationCapabilities, Provider } from './provider.ts';
import { dataUri, fieldParts, filePart, present, type WireMembers } from './requests.ts';
import { askedSize, fittingPixels } from './sizes.ts';

/** What differs between the providers that speak the dialect. */
export interface DialectSettings {
  /** Where an operation is asked for. */
  url(operation: Operation, model: string): string;
  /** Sent with every request; lower-case names. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Headers that carry the credential; a bearer token if not given. */
  readonly authorise?: Provider['authorise'];
  /**
   * The parameters as this provider's model takes them; those that its `capabilities` do not name are not there. What is
   * left out because of its value is named in `dropped`.
   */
  fit?(parameters: DialectParameters, call: TargetCall): Fitted;
  /** The last word on the members of a request, in wire spelling. */
  finish?(members: WireMembers, call: TargetCall): WireMembers;
  /** Whether all edits go as JSON; if not, only those with something that a form cannot carry, such as a file id. */
  readonly jsonEdits?: boolean;
  /** What an error document says; in OpenAI's words if not given. */
  words?(document: unknown, reply: UpstreamReply): FaultWords;
  /** What went wrong although the answer came as a success. */
  failure?(document: Members, reply: UpstreamReply): GatewayError | undefined;
  /** What the answer tells beyond OpenAI's members. */
  told?(document: Members): Pick<ImageAnswer, 'costNanoUsd'>;
}

export interface Fitted {
  readonly fitted: DialectParameters;
  readonly dropped?: readonly string[];
}

/** The parameters of the wire, `response_format` among them. Members that are undefined are not sent. */
export interface DialectParameters extends ImageParameters {
  readonly responseFormat?: 'url' | 'b64_json' | undefined;
}

export type DialectCodec = Pick<Provider, 'encode' | 'authorise' | 'decode' | 'fault'> &
  Required<Pick<Provider, 'events'>>;

/** The functions of a provider that speaks the dialect. */
export function createOpenAiDialect(settings: DialectSettings): DialectCodec {
  const { words = openAiWords, told } = settings;
  return {
    encode: (call) => encode(call, settings),
    authorise: settings.authorise ?? bearer,
    decode: (reply) => decode(reply, settings),
    events: (reply) => imageEvents(reply, { words, told }),
    fault: faultReader(words),
  };
}

/** What a provider of the dialect does about whose models nothing is known: it passes everything on. */
export const unknownDialect: OperationCapabilities = {
  maxImages: 10,
  nativeForm: 'unknown',
  parameters: {
    n: 'native',
    size: 'native',
    quality: 'native',
    style: 'native',
    background: 'native',
    moderation: 'native',
    outputFormat: 'native',
    outputCompression: 'native',
    inputFidelity: 'native',
    user: 'native',
    seed: 'native',
  },
  further: 'any',
  inputs: { max: 16, as: 'bytes', files: true },
  mask: 'alpha',
};

/** Where OpenAI's API has an operation, below its base. */
export function imagesPath(operation: Operation): string {
  return operation === 'generation' ? '/images/generations' : '/images/edits';
}

/** A size that is only a ratio as `WIDTHxHEIGHT` of about a megapixel; any other as it is. */
export function ratioInPixels(size: string | undefined): string | undefined {
  const isRatio = askedSize(size)?.kind === 'ratio';
  const sides = isRatio ? fittingPixels(size, { multipleOf: 16, least: 16, most: 3840 }) : undefined;
  return sides === undefined ? size : `${sides.width}x${sides.height}`;
}

/** The credential as a bearer token (RFC 6750). */
export function bearer(token: Secret | undefined): Readonly<Record<string, string>> {
  return token === undefined ? {} : { authorization: `Bearer ${token.reveal()}` };
}

function encode(call: TargetCall, settings: DialectSettings): EncodedCall {
  const asked: DialectParameters = {
    ...call.parameters,
    responseFormat: call.responseFormat === 'b64_ephemeral' ? 'b64_json' : call.responseFormat,
  };
  const { fitted, dropped = [] } = settings.fit?.(asked, call) ?? { fitted: asked };
  const streaming = call.stream ? { stream: true, partial_images: call.partialImages } : {};
  const own = present({ model: call.model, prompt: call.prompt, ...wireParameters(fitted), ...streaming });
  const written: WireMembers = { ...call.unknown, ...own };
  const members = settings.finish?.(written, call) ?? written;
  const url = settings.url(call.operation, call.model);
  const accept = call.stream ? 'text/event-stream, application/json' : 'application/json';
  const headers = { ...settings.headers, accept };

  if (call.operation === 'generation') {
    return { request: { method: 'POST', url, headers, body: { kind: 'json', value: present(members) } }, dropped };
  }
  const pictures = call.mask === undefined ? call.images : [...call.images, call.mask];
  // The form of an edit knows no `moderation`; JSON does, but bounds each picture.
  const needsJson = members['moderation'] !== undefined && pictures.every(fitsJson);
  if (settings.jsonEdits !== true && !needsJson && pictures.every(({ kind }) => kind === 'image')) {
    const { moderation, ...fields } = members;
    return {
      request: { method: 'POST', url, headers, body: { kind: 'multipart', parts: editParts(fields, call) } },
      dropped: moderation === undefined ? dropped : [...dropped, 'moderation'],
    };
  }
  const value = {
    ...present(members),
    images: call.images.map(imageReference),
    ...(call.mask === undefined ? {} : { mask: imageReference(call.mask) }),
  };
  return { request: { method: 'POST', url, headers, body: { kind: 'json', value } }, dropped };
}

function wireParameters({ responseFormat, ...parameters }: DialectParameters): WireMembers {
  const names = Object.keys(wireNames) as (keyof ImageParameters)[];
  const named = names.map((name): [string, WireJson | undefined] => [wireNames[name], parameters[name]]);
  return { ...Object.fromEntries(named), response_format: responseFormat };
}

/** The longest `image_url` of a picture in JSON, in characters. */
const maxDataUriLength = 20_971_520;
const longestPrefix = 'data:image/jpeg;base64,'.length;

/** Whether the picture can go into JSON. */
function fitsJson(image: InputImage): boolean {
  if (image.kind !== 'image' || image.payload.kind === 'link') return true;
  return base64Length(image.payload) + longestPrefix <= maxDataUriLength;
}

function base64Length(payload: Exclude<ImagePayload, LinkPayload>): number {
  if (payload.kind === 'base64') return payload.text.byteLength;
  const { byteLength } = payload.kind === 'bytes' ? payload.bytes : payload.file;
  return Math.ceil(byteLength / 3) * 4;
}

function editParts(fields: WireMembers, call: TargetCall): WirePart[] {
  // One name twice is a "Duplicate parameter" to OpenAI; several pictures must be `image[]`.
  const imageName = call.images.length === 1 ? 'image' : 'image[]';
  const images = call.images.map((image, index) => filePart(imageName, `image-${index}`, image));
  return [...fieldParts(fields), ...images, ...(call.mask === undefined ? [] : [filePart('mask', 'mask', call.mask)])];
}

function imageReference(image: InputImage): WireJson {
  return image.kind === 'provider-file' ? { file_id: image.id } : { image_url: dataUri(image) };
}

/** @throws GatewayError upstream_invalid_response; what `failure` found */
async function decode(reply: UpstreamReply, settings: DialectSettings): Promise<ImageAnswer> {
  // Some services give events to everybody.
  const events = imageEvents(reply, { words: settings.words ?? openAiWords, told: settings.told });
  if (events !== undefined) return gatherEvents(events);
  const document = await readObject(reply);
  const failure = settings.failure?.(document, reply);
  if (failure !== undefined) throw failure;
  return answerOf(list(document['data']).map(imageOf), {
    created: secondsOf(document['created']),
    usage: readUsage(document['usage']),
    effective: effectiveOf(document),
    ...settings.told?.(document),
  });
}

/** Codes with which OpenAI refuses the content rather than the form. */
const refusalCodes: ReadonlySet<string> = new Set(['moderation_blocked', 'content_policy_violation', 'content_filter']);

/** OpenAI's error document, and the looser forms seen in the wild. */
export function openAiWords(document: unknown): FaultWords {
  const words = commonWords(document);
  return { ...words, refusal: words.code !== undefined && refusalCodes.has(words.code) };
}
