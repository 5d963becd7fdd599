/** From the members of a request, in wire spelling, to a canonical call. JSON and multipart meet here. */
import { LongText } from '../body/long-text.ts';
import { GatewayError } from '../errors.ts';
import { isJsonObject, type JsonValue } from '../json.ts';
import type { ImageCall, ImageParameters, Operation, ResponseFormat } from '../pipeline/call.ts';
import type { Route } from '../pipeline/settings.ts';
import { schemaFile } from '../schema-files.ts';
import { compileRequestValidator } from '../validation.ts';
import { collectPictures, type PictureSource } from './call-pictures.ts';

/** Members as they came: from JSON, or from form fields brought to JSON's types. A picture is what its reader made of it. */
export type CallMembers = Readonly<Record<string, unknown>>;

/** A call whose pictures have been found but not looked at. */
export interface DraftCall {
  readonly call: Omit<ImageCall, 'images' | 'mask' | 'inputRules'>;
  readonly images: readonly PictureSource[];
  readonly mask: PictureSource | undefined;
}

const validateRequest = compileRequestValidator(schemaFile('api/images-request'));

const pictureMembers = ['image', 'image[]', 'images', 'images[]'] as const;
const maskMembers = ['mask', 'mask[]'] as const;
/** What the gateway understands; everything else is passed on to providers that may. */
const knownMembers: ReadonlySet<string> = new Set([
  ...pictureMembers,
  ...maskMembers,
  'prompt',
  'model',
  'n',
  'size',
  'quality',
  'style',
  'background',
  'moderation',
  'output_format',
  'output_compression',
  'response_format',
  'user',
  'seed',
  'stream',
  'partial_images',
  'input_fidelity',
  'extra',
  'fallbacks',
]);
/** Longest text outside of pictures; OpenAI takes prompts of 32,000 characters. */
const maxTextBytes = 256 * 1024;

/**
 * @throws GatewayError missing_required_parameter, invalid_value, unknown_parameter, too_many_images; `param` names the member
 */
export function draftCall(given: CallMembers, route: Route, maxImages: number): DraftCall {
  const members = { ...route.defaults, ...presentMembers(given) };
  const problem = validateRequest(members);
  if (problem !== undefined) throw new GatewayError(problem.code, problem.message, { param: problem.param });

  const images = pictureMembers.flatMap((name) => collectPictures(members[name], 'image'));
  const masks = maskMembers.flatMap((name) => collectPictures(members[name], 'mask'));
  if (images.length > maxImages) {
    throw new GatewayError('too_many_images', `At most ${maxImages} images can be sent; these are ${images.length}.`, {
      param: 'image',
    });
  }
  if (masks.length > 1) throw new GatewayError('invalid_value', 'Only one mask can be sent.', { param: 'mask' });
  const [mask] = masks;
  const operation = operationOf(route, images.length > 0, mask !== undefined);
  const { fallbacks, unknown } = furtherMembers(members, route.strict);
  return {
    call: {
      operation,
      // Whether it may be missing is the model's to say.
      prompt: text(members, 'prompt') || undefined,
      model: text(members, 'model'),
      parameters: parametersOf(members),
      responseFormat: responseFormatOf(members),
      stream: members['stream'] === true,
      partialImages: number(members, 'partial_images'),
      fallbacks,
      unknown,
    },
    images,
    mask,
  };
}

/** Without the members that are `null`, which clients send for absent ones; long texts that are no pictures become strings. */
function presentMembers(given: CallMembers): Record<string, unknown> {
  const present = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined) continue;
    present[name] = isPictureMember(name) ? value : inWords(name, value);
  }
  return present;
}

/** Whether a member of this name holds pictures. */
export function isPictureMember(name: string | number | undefined): boolean {
  return [...pictureMembers, ...maskMembers].some((member) => member === name);
}

/** Long texts may stand at any depth of `extra` and of members that we do not know. */
function inWords(name: string, value: unknown): unknown {
  if (value instanceof LongText) return shortEnough(name, value);
  if (Array.isArray(value)) return value.map((item) => inWords(name, item));
  if (!isJsonObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, inWords(name, item)]));
}

function shortEnough(name: string, value: LongText): string {
  if (value.text.byteLength > maxTextBytes) {
    throw new GatewayError('invalid_value', `The parameter "${name}" is too long.`, { param: name });
  }
  return value.toText();
}

/** With a picture it is an edit, whichever path it came by. */
function operationOf(route: Route, hasImages: boolean, hasMask: boolean): Operation {
  if (hasImages) return 'edition';
  if (hasMask || route.operation === 'edition') throw missing('image');
  return 'generation';
}

function parametersOf(members: CallMembers): ImageParameters {
  return {
    n: number(members, 'n'),
    size: text(members, 'size'),
    quality: text(members, 'quality'),
    style: text(members, 'style'),
    background: text(members, 'background'),
    moderation: text(members, 'moderation'),
    outputFormat: text(members, 'output_format'),
    outputCompression: number(members, 'output_compression'),
    inputFidelity: text(members, 'input_fidelity'),
    user: text(members, 'user'),
    seed: number(members, 'seed'),
  };
}

const responseFormats: readonly string[] = ['url', 'b64_json', 'b64_ephemeral'] satisfies ResponseFormat[];

function responseFormatOf(members: CallMembers): ResponseFormat | undefined {
  const format = text(members, 'response_format');
  if (format === undefined) return undefined;
  if (!responseFormats.includes(format)) {
    throw new GatewayError('invalid_value', `The parameter "response_format" must be ${responseFormats.join(', ')}.`, {
      param: 'response_format',
    });
  }
  return format as ResponseFormat;
}

/** `fallbacks`, at the top or in `extra`, and everything that only the provider may know. */
function furtherMembers(members: CallMembers, strict: boolean): Pick<ImageCall, 'fallbacks' | 'unknown'> {
  const extra = isJsonObject(members['extra']) ? members['extra'] : {};
  const { fallbacks: fallbacksInExtra, ...restOfExtra } = extra;
  const unknown = Object.entries({ ...restOfExtra, ...members }).filter(([name]) => !knownMembers.has(name));
  const [first] = unknown;
  if (strict && first !== undefined) {
    throw new GatewayError('unknown_parameter', `Unknown parameter: '${first[0]}'.`, { param: first[0] });
  }
  const listed = members['fallbacks'] ?? fallbacksInExtra ?? [];
  if (!Array.isArray(listed) || !listed.every((name) => typeof name === 'string')) {
    throw new GatewayError('invalid_value', 'The parameter "fallbacks" must be a list of models.', {
      param: 'fallbacks',
    });
  }
  return { fallbacks: listed, unknown: Object.fromEntries(unknown) as Record<string, JsonValue> };
}

function text(members: CallMembers, name: string): string | undefined {
  const value = members[name];
  return typeof value === 'string' ? value : undefined;
}

function number(members: CallMembers, name: string): number | undefined {
  const value = members[name];
  return typeof value === 'number' ? value : undefined;
}

function missing(param: string): GatewayError {
  return new GatewayError('missing_required_parameter', `The parameter "${param}" is required.`, { param });
}
