/**
 * OpenAI's images API as a codec, for every provider that speaks it. A vendor configures the differences; nothing here
 * knows any vendor. Source: OpenAI's API reference, "Images", and openai-openapi (August 2026).
 */
import { GatewayError } from '../errors.ts';
import { base64OfDataUri } from '../body/data-uri.ts';
import { scanJson, LongText } from '../body/json-scan.ts';
import { fileExtension } from '../images/probe.ts';
import type { ByteText, ImagePayload } from '../images/payload.ts';
import { isJsonObject, type JsonValue } from '../json.ts';
import type { ImageParameters, InputImage, TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer, ResultImage } from '../pipeline/result.ts';
import { readUsage } from '../pipeline/wire-usage.ts';
import { PictureText, type UpstreamReply, type WireJson, type WirePart } from '../pipeline/upstream.ts';
import type { Secret } from '../secret.ts';
import { faultFrom, type FaultWords } from './faults.ts';
import type { EncodedCall, Provider } from './provider.ts';

/** What differs between the providers that speak the dialect. */
export interface DialectSettings {
  /** Up to and without the slash before `images/generations`. */
  readonly baseUrl: string;
  /** Sent with every request; lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * The parameters as this provider's model takes them. What the model cannot take is left out and named in `dropped`.
   */
  fit(parameters: DialectParameters, call: TargetCall): { fitted: DialectParameters; dropped: readonly string[] };
}

/** The parameters of the wire, `response_format` among them. Members that are undefined are not sent. */
export interface DialectParameters extends ImageParameters {
  readonly responseFormat?: 'url' | 'b64_json' | undefined;
}

export type DialectCodec = Pick<Provider, 'encode' | 'authorise' | 'decode' | 'fault'>;

/** The four functions of a provider that speaks the dialect. */
export function createOpenAiDialect(settings: DialectSettings): DialectCodec {
  return {
    encode: (call) => encode(call, settings),
    authorise,
    decode: (reply) => decode(reply),
    fault,
  };
}

/** Longest error document that is read for its message; beyond it the status alone speaks. */
const maxFaultBytes = 64 * 1024;
/** The largest JSON around the pictures: everything but `b64_json`. */
const maxSkeletonBytes = 1024 * 1024;

/** Members of a request in wire spelling; what is undefined is not sent. */
type Members = Readonly<Record<string, JsonValue | undefined>>;

function authorise(token: Secret | undefined): Readonly<Record<string, string>> {
  return token === undefined ? {} : { authorization: `Bearer ${token.reveal()}` };
}

function encode(call: TargetCall, settings: DialectSettings): EncodedCall {
  const asked: DialectParameters = {
    ...call.parameters,
    responseFormat: call.responseFormat === 'b64_ephemeral' ? 'b64_json' : call.responseFormat,
  };
  const { fitted, dropped } = settings.fit(asked, call);
  const members: Members = {
    ...call.unknown,
    model: call.model,
    prompt: call.prompt,
    ...wireParameters(fitted),
  };
  const headers = { ...settings.headers, accept: 'application/json' };

  if (call.operation === 'generation') {
    const request = {
      method: 'POST',
      url: `${settings.baseUrl}/images/generations`,
      headers,
      body: { kind: 'json', value: present(members) },
    } as const;
    return { request, dropped };
  }
  const url = `${settings.baseUrl}/images/edits`;
  const pictures = call.mask === undefined ? call.images : [...call.images, call.mask];
  if (pictures.every(isHere)) {
    // The multipart form of an edit knows no `moderation`; the JSON form does, but bounds pictures at 20 MiB of text.
    const { moderation, ...fields } = members;
    const body = { kind: 'multipart', parts: editParts(fields, call) } as const;
    return {
      request: { method: 'POST', url, headers, body },
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

function wireParameters(parameters: DialectParameters): Members {
  return {
    n: parameters.n,
    size: parameters.size,
    quality: parameters.quality,
    style: parameters.style,
    background: parameters.background,
    moderation: parameters.moderation,
    output_format: parameters.outputFormat,
    output_compression: parameters.outputCompression,
    input_fidelity: parameters.inputFidelity,
    user: parameters.user,
    seed: parameters.seed,
    response_format: parameters.responseFormat,
  };
}

function present(members: Members): { [name: string]: JsonValue } {
  const entries = Object.entries(members).filter((entry): entry is [string, JsonValue] => entry[1] !== undefined);
  return Object.fromEntries(entries);
}

/** Whether the picture can go into a multipart part: its bytes are with us. */
function isHere(image: InputImage): boolean {
  return image.kind === 'image' && image.payload.kind !== 'link';
}

function editParts(fields: Members, call: TargetCall): WirePart[] {
  const texts = Object.entries(present(fields)).map(([name, value]): WirePart => ({
    kind: 'field',
    name,
    value: typeof value === 'string' ? value : JSON.stringify(value),
  }));
  // One name twice is a "Duplicate parameter" to OpenAI; several pictures must be `image[]`.
  const imageName = call.images.length === 1 ? 'image' : 'image[]';
  const images = call.images.flatMap((image, index) => filePart(imageName, `image-${index}`, image));
  const mask = call.mask === undefined ? [] : filePart('mask', 'mask', call.mask);
  return [...texts, ...images, ...mask];
}

function filePart(name: string, stem: string, image: InputImage): WirePart[] {
  if (image.kind !== 'image') return [];
  const mediaType = image.mediaType ?? 'application/octet-stream';
  const fileName = `${stem}.${fileExtension(mediaType)}`;
  return [{ kind: 'file', name, fileName, mediaType, payload: image.payload }];
}

function imageReference(image: InputImage): WireJson {
  if (image.kind === 'provider-file') return { file_id: image.id };
  if (image.payload.kind === 'link') return { image_url: image.payload.url };
  return { image_url: new PictureText(image.payload, `data:${image.mediaType ?? 'image/png'};base64,`) };
}

/** @throws GatewayError upstream_invalid_response */
async function decode(reply: UpstreamReply): Promise<ImageAnswer> {
  const document = await readDocument(reply);
  if (!isJsonObject(document) || !Array.isArray(document['data']) || document['data'].length === 0) {
    throw invalidAnswer('it has no pictures');
  }
  return {
    created: wholeNumber(document['created']),
    images: document['data'].map(decodeImage),
    usage: readUsage(document['usage']),
    effective: {
      size: text(document['size']),
      quality: text(document['quality']),
      background: text(document['background']),
      outputFormat: text(document['output_format']),
    },
  };
}

async function readDocument(reply: UpstreamReply): Promise<unknown> {
  try {
    return await scanJson(reply.body, { maxSkeletonBytes, maxDepth: 32 });
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw invalidAnswer('it is not the JSON that it should be', error);
  }
}

function decodeImage(item: unknown): ResultImage {
  if (!isJsonObject(item)) throw invalidAnswer('a picture in it is not an object');
  const payload = base64Payload(item['b64_json']) ?? linkPayload(item['url']);
  if (payload === undefined) throw invalidAnswer('a picture in it has neither `b64_json` nor `url`');
  return { payload, revisedPrompt: text(item['revised_prompt']) };
}

function base64Payload(value: unknown): ImagePayload | undefined {
  const text = byteText(value);
  return text === undefined ? undefined : { kind: 'base64', text };
}

/** A link; or a picture that stands in the link itself, as a data URI. */
function linkPayload(value: unknown): ImagePayload | undefined {
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

function wholeNumber(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function text(value: unknown): string | undefined {
  const plain = value instanceof LongText ? value.toText() : value;
  return typeof plain === 'string' && plain !== '' ? plain : undefined;
}

function invalidAnswer(why: string, cause?: unknown): GatewayError {
  return new GatewayError('upstream_invalid_response', `The provider’s answer cannot be used: ${why}.`, { cause });
}

/** Codes with which a provider refuses the content rather than the form. */
const refusalCodes: ReadonlySet<string> = new Set(['moderation_blocked', 'content_policy_violation', 'content_filter']);

async function fault(reply: UpstreamReply): Promise<GatewayError> {
  return faultFrom(reply, faultWords(await readFault(reply)));
}

/** The error document, as far as it is one: a proxy on the way may have answered in HTML. */
async function readFault(reply: UpstreamReply): Promise<unknown> {
  try {
    const chunks: Uint8Array[] = [];
    let received = 0;
    for await (const chunk of reply.body) {
      received += chunk.byteLength;
      if (received > maxFaultBytes) return undefined;
      chunks.push(chunk);
    }
    return JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    // The status is known and decides; a body that broke off or is not JSON only costs us its words.
    return undefined;
  }
}

/** OpenAI's `{error: {message, type, param, code}}`, and the looser forms seen in the wild: `error` as a text, `message` outside. */
function faultWords(document: unknown): FaultWords {
  const outer = isJsonObject(document) ? document : {};
  const inner = isJsonObject(outer['error']) ? outer['error'] : outer;
  const code = text(inner['code']);
  const message = text(inner['message']) ?? text(outer['error']) ?? text(outer['detail']);
  return { message, code, param: text(inner['param']), refusal: code !== undefined && refusalCodes.has(code) };
}
