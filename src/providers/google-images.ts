/**
 * Gemini's image models at `:generateContent`, and how Google words its errors; shared by its services. Sources:
 * ai.google.dev, "Image generation" and "Troubleshooting"; google.rpc.Status and its details (November 2026).
 */
import type { GatewayError } from '../errors.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer, ImageUsage } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import {
  answerOf,
  base64Picture,
  invalidAnswer,
  list,
  object,
  readObject,
  refusal,
  text,
  wholeNumber,
  type Members,
} from './answers.ts';
import { commonWords, duration, type FaultWords } from './faults.ts';
import { geminiSize } from './gemini-sizes.ts';
import type { EncodedCall, KnownModel, OperationCapabilities } from './provider.ts';
import { bareBase64, pictureOf, postJson, present } from './requests.ts';

/** Source: Google's page of deprecations, 20 November 2026. */
export const googleImageModels: readonly KnownModel[] = [
  { name: 'gemini-3.1-flash-image' },
  { name: 'gemini-3.1-flash-lite-image' },
  { name: 'gemini-3-pro-image' },
  { name: 'gemini-2.5-flash-image', retired: '2026-10-02', successor: 'gemini-3.1-flash-image' },
  { name: 'gemini-3.1-flash-image-preview', retired: '2026-06-25', successor: 'gemini-3.1-flash-image' },
  { name: 'gemini-3-pro-image-preview', retired: '2026-06-25', successor: 'gemini-3-pro-image' },
  { name: 'imagen-4.0-*', retired: '2026', successor: 'gemini-3.1-flash-image' },
  { name: 'imagen-3.0-*', retired: '2026', successor: 'gemini-3.1-flash-image' },
];

/** What callers may send of the API's own, and where in the document it goes. */
const imageMembers = ['aspectRatio', 'imageSize'];
const generationMembers = ['responseModalities', 'temperature', 'topP', 'topK', 'maxOutputTokens', 'thinkingConfig'];
const documentMembers = ['safetySettings', 'systemInstruction', 'tools'];

export const geminiGeneration: OperationCapabilities = {
  maxImages: 1,
  nativeForm: 'b64_json',
  parameters: { n: 'mapped', size: 'mapped', seed: 'native' },
  further: bothSpellings([...imageMembers, ...generationMembers, ...documentMembers]),
};
export const geminiEdition: OperationCapabilities = { ...geminiGeneration, inputs: { max: 14, as: 'bytes' } };

/** Where a model is asked. Only `@`, which stands before a version, may be in its name as it is. */
export function modelUrl(models: string, model: string, method: string): string {
  return `${models}/${encodeURIComponent(model.toWellFormed()).replaceAll('%40', '@')}:${method}`;
}

export function encodeContent(url: string, call: TargetCall): EncodedCall {
  const { prompt, images, parameters, unknown } = call;
  const pictures = images.map((image) => ({
    inlineData: { mimeType: pictureOf(image).mediaType, data: bareBase64(image) },
  }));
  const imageConfig = imageConfigOf(call);
  const request = postJson(url, {
    contents: [{ role: 'user', parts: [{ text: prompt ?? '' }, ...pictures] }],
    generationConfig: present({
      responseModalities: ['IMAGE'],
      imageConfig: Object.keys(imageConfig).length === 0 ? undefined : imageConfig,
      seed: parameters.seed,
      ...taken(unknown, generationMembers),
    }),
    ...taken(unknown, documentMembers),
  });
  return { request, dropped: [] };
}

function imageConfigOf({ model, parameters, unknown }: TargetCall): ReturnType<typeof present> {
  return present({ ...geminiSize(model, parameters.size), ...taken(unknown, imageMembers) });
}

/** @throws GatewayError upstream_invalid_response; content_policy_violation */
export async function decodeContent(reply: UpstreamReply): Promise<ImageAnswer> {
  const document = await readObject(reply);
  const candidates = list(document['candidates']).map(object);
  const parts = candidates
    .flatMap((candidate) => list(object(candidate['content'])['parts']).map(object))
    // Sketches that the model made on the way.
    .filter((part) => part['thought'] !== true);
  const pictures = parts.flatMap((part) => {
    const { data, mimeType } = object(part['inlineData']);
    const payload = base64Picture(data);
    return payload === undefined ? [] : [{ payload, mimeType }];
  });
  if (pictures.length === 0) throw withoutPicture(document, candidates[0], parts);
  return answerOf(
    pictures.map(({ payload }) => payload),
    {
      usage: readTokens(document['usageMetadata']),
      effective: {
        outputFormat: formatOf(pictures[0]?.mimeType),
      },
    },
  );
}

/** `png` of `image/png`. */
export function formatOf(mimeType: unknown): string | undefined {
  return /^image\/(\w+)$/.exec(text(mimeType) ?? '')?.[1];
}

/** Reasons for which a model stops that are about the content. Without a picture, others are a failure. */
const refusals: ReadonlySet<string> = new Set([
  'SAFETY',
  'PROHIBITED_CONTENT',
  'BLOCKLIST',
  'SPII',
  'RECITATION',
  'IMAGE_SAFETY',
  'IMAGE_PROHIBITED_CONTENT',
  'IMAGE_RECITATION',
]);

function withoutPicture(document: Members, candidate: Members = {}, parts: readonly Members[]): GatewayError {
  const feedback = object(document['promptFeedback']);
  const blocked = text(feedback['blockReason']);
  const finished = text(candidate['finishReason']);
  const words =
    text(feedback['blockReasonMessage']) ??
    text(candidate['finishMessage']) ??
    text(parts.flatMap((part) => text(part['text']) ?? []).join(' '));
  const reason = blocked ?? (finished !== undefined && refusals.has(finished) ? finished : undefined);
  if (reason !== undefined) return refusal(words ?? `The provider refused this content: ${reason}.`);
  const why = `it has no picture${finished === undefined ? '' : ` (${finished})`}`;
  return invalidAnswer(words === undefined ? why : `${why}; the model says: ${words.slice(0, 500)}`);
}

/** Thoughts are output that is paid for. What is not of pictures is text. */
function readTokens(value: unknown): ImageUsage | undefined {
  const told = object(value);
  const inputTokens = wholeNumber(told['promptTokenCount']);
  const answered = wholeNumber(told['candidatesTokenCount']);
  if (inputTokens === undefined || answered === undefined) return undefined;
  const outputTokens = answered + (wholeNumber(told['thoughtsTokenCount']) ?? 0);
  const inputImageTokens = imageTokens(told['promptTokensDetails']);
  const outputImageTokens = imageTokens(told['candidatesTokensDetails']);
  const rest = (all: number, images: number | undefined): number | undefined =>
    images === undefined ? undefined : Math.max(all - images, 0);
  return {
    inputTokens,
    outputTokens,
    totalTokens: wholeNumber(told['totalTokenCount']) ?? inputTokens + outputTokens,
    inputTextTokens: rest(inputTokens, inputImageTokens),
    inputImageTokens,
    outputTextTokens: rest(outputTokens, outputImageTokens),
    outputImageTokens,
  };
}

function imageTokens(details: unknown): number | undefined {
  const told = list(details).map(object);
  if (told.length === 0) return undefined;
  return told
    .filter(({ modality }) => modality === 'IMAGE')
    .reduce((sum, { tokenCount }) => sum + (wholeNumber(tokenCount) ?? 0), 0);
}

/** Google's error document, which some of its services wrap in a list. */
export function googleWords(document: unknown): FaultWords {
  const words = commonWords(document);
  const error = object(object(Array.isArray(document) ? document[0] : document)['error']);
  const details = list(error['details']).map(object);
  const told = (name: string): string | undefined => details.flatMap((detail) => text(detail[name]) ?? [])[0];
  const { message = '' } = words;
  // A bad key is a 400, and so are an account without billing and a region that is not served: FAILED_PRECONDITION.
  const ours =
    error['status'] === 'FAILED_PRECONDITION' ||
    told('reason')?.startsWith('API_KEY_') === true ||
    /^API key (not valid|expired)/.test(message);
  return {
    ...words,
    refusal: /\bthe prompt could not be submitted/i.test(message),
    about: ours ? 'credential' : undefined,
    retryAfterMs: duration(told('retryDelay')),
  };
}

/** Google takes members in camelCase as well as in snake_case. */
export function bothSpellings(names: readonly string[]): readonly string[] {
  return [...new Set(names.flatMap((name) => [name, snakeCase(name)]))];
}

/** Those of a caller's own members that go to one place, in camelCase. */
export function taken(unknown: TargetCall['unknown'], names: readonly string[]): ReturnType<typeof present> {
  return present(Object.fromEntries(names.map((name) => [name, unknown[name] ?? unknown[snakeCase(name)]])));
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
