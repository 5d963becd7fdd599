/** The sandbox as a server: reads a request of the OpenAI dialect, and refuses it as OpenAI would. */
import { hashText } from '../images/art/noise.ts';
import { InvalidBase64 } from '../images/base64.ts';
import { collectPayload } from '../images/convert-payload.ts';
import type { PaintJob } from '../images/painter.ts';
import type { ImagePayload } from '../images/payload.ts';
import { isJsonObject } from '../json.ts';
import { PictureText, type WireBody } from '../pipeline/upstream.ts';

/** A request that is refused with status 400. `code` is OpenAI's. */
export class SandboxRefusal extends Error {
  override readonly name = 'SandboxRefusal';
  readonly code: string;
  readonly param: string;

  constructor(code: string, param: string, message: string) {
    super(message);
    this.code = code;
    this.param = param;
  }
}

/** What is asked for, with everything decided that the caller left open. */
export interface SandboxOrder {
  readonly prompt: string;
  readonly n: number;
  readonly width: number;
  readonly height: number;
  /** As it is told in the answer. */
  readonly quality: string;
  readonly paintQuality: PaintJob['quality'];
  readonly background: 'opaque' | 'transparent';
  readonly format: 'png' | 'jpeg' | 'webp';
  readonly compression: number;
  readonly seed: number;
  readonly inputs: readonly Uint8Array[];
  readonly mask: Uint8Array | undefined;
  /** How many unfinished pictures to send before each finished one, where the answer is streamed. */
  readonly partialImages: number;
}

/** OpenAI's bounds; see its API reference, "Images". */
const maxPromptLength = 32_000;
const maxInputs = 16;
const maxInputBytes = 50 * 1024 * 1024;
const maxPartials = 3;
const sideRange = [16, 3840] as const;
const maxPixels = 3840 * 2160;

const qualities: Readonly<Record<string, { readonly shown: string; readonly paint: PaintJob['quality'] }>> = {
  auto: { shown: 'medium', paint: 'medium' },
  low: { shown: 'low', paint: 'low' },
  medium: { shown: 'medium', paint: 'medium' },
  high: { shown: 'high', paint: 'high' },
  standard: { shown: 'medium', paint: 'medium' },
  hd: { shown: 'high', paint: 'high' },
  xhigh: { shown: 'xhigh', paint: 'high' },
  max: { shown: 'max', paint: 'high' },
};

/**
 * @param edit whether the request was sent where pictures are edited
 * @throws SandboxRefusal; GatewayError payload_too_large
 */
export async function readOrder(body: WireBody, edit: boolean): Promise<SandboxOrder> {
  const { fields, images, masks } = readBody(body);
  if (edit && images.length === 0) {
    throw new SandboxRefusal('missing_required_parameter', 'image', "Missing required parameter: 'image'.");
  }
  if (images.length > maxInputs) {
    throw new SandboxRefusal('invalid_value', 'image', `Too many images: at most ${maxInputs} are allowed.`);
  }
  const format = choice(fields, 'output_format', ['png', 'jpeg', 'webp'], 'png');
  const background = choice(fields, 'background', ['auto', 'opaque', 'transparent'], 'auto');
  if (background === 'transparent' && format === 'jpeg') {
    throw new SandboxRefusal('invalid_value', 'background', 'Transparent background needs the format png or webp.');
  }
  const quality = choice(fields, 'quality', Object.keys(qualities), 'auto');
  const order = {
    prompt: promptOf(fields),
    n: wholeNumber(fields, 'n', [1, 10], 1),
    ...sizeOf(fields),
    quality: qualities[quality]?.shown ?? quality,
    paintQuality: qualities[quality]?.paint ?? 'medium',
    background: background === 'transparent' ? 'transparent' : 'opaque',
    format,
    compression: wholeNumber(fields, 'output_compression', [0, 100], 100),
    seed: wholeNumber(fields, 'seed', [0, Number.MAX_SAFE_INTEGER], 0),
    partialImages: wholeNumber(fields, 'partial_images', [0, maxPartials], 0),
  } as const;
  const inputs: Uint8Array[] = [];
  for (const payload of images) inputs.push(await readPicture(payload, 'image'));
  const [mask] = masks;
  return { ...order, inputs, mask: mask === undefined ? undefined : await readPicture(mask, 'mask') };
}

/** Whether the answer is to be streamed. */
export function asksForEvents(body: WireBody): boolean {
  const stream = readBody(body).fields.get('stream');
  return stream === true || stream === 'true';
}

/** The jobs of an order, one a picture. @param seed of the entity; empty for none */
export function jobsOf(order: SandboxOrder, seed: string): PaintJob[] {
  const { prompt, width, height, format, compression, inputs, mask } = order;
  const chance = seed === '' ? order.seed : hashText(`${seed} ${order.seed}`);
  return Array.from({ length: order.n }, (_, index) => ({
    prompt,
    seed: chance,
    index,
    width,
    height,
    quality: order.paintQuality,
    transparent: order.background === 'transparent',
    format,
    compression,
    inputs,
    mask,
  }));
}

interface RequestBody {
  /** Everything but pictures. A multipart body has texts only. */
  readonly fields: ReadonlyMap<string, unknown>;
  readonly images: readonly (ImagePayload | undefined)[];
  readonly masks: readonly (ImagePayload | undefined)[];
}

function readBody(body: WireBody): RequestBody {
  if (body.kind === 'multipart') {
    const files = body.parts.filter((part) => part.kind === 'file');
    const fields = body.parts.filter((part) => part.kind === 'field');
    return {
      fields: new Map(fields.map(({ name, value }) => [name, value])),
      images: files.filter(({ name }) => name === 'image' || name === 'image[]').map(({ payload }) => payload),
      masks: files.filter(({ name }) => name === 'mask').map(({ payload }) => payload),
    };
  }
  const document = body.kind === 'json' && isJsonObject(body.value) ? body.value : {};
  const { images, mask, ...fields } = document;
  const given = Object.entries(fields).filter(([, value]) => value !== null && value !== undefined);
  return {
    fields: new Map(given),
    images: Array.isArray(images) ? images.map(referenced) : [],
    masks: mask === null || mask === undefined ? [] : [referenced(mask)],
  };
}

/** The picture behind `{image_url}`, undefined for `{file_id}`. */
function referenced(reference: unknown): ImagePayload | undefined {
  const url = isJsonObject(reference) ? reference['image_url'] : undefined;
  return url instanceof PictureText ? url.payload : undefined;
}

async function readPicture(payload: ImagePayload | undefined, param: string): Promise<Uint8Array> {
  if (payload === undefined || payload.kind === 'link') {
    const message = 'The sandbox has no network and keeps no files: send the picture itself.';
    throw new SandboxRefusal('invalid_value', param, message);
  }
  try {
    return await collectPayload(payload, maxInputBytes);
  } catch (error) {
    if (error instanceof InvalidBase64) throw new SandboxRefusal('invalid_image_file', param, 'Invalid base64 data.');
    throw error;
  }
}

function promptOf(fields: RequestBody['fields']): string {
  const prompt = fields.get('prompt');
  if (prompt === undefined || prompt === '') {
    throw new SandboxRefusal('missing_required_parameter', 'prompt', "Missing required parameter: 'prompt'.");
  }
  if (typeof prompt !== 'string') throw new SandboxRefusal('invalid_type', 'prompt', "'prompt' must be a string.");
  if (prompt.length > maxPromptLength) {
    throw new SandboxRefusal(
      'string_above_max_length',
      'prompt',
      `'prompt' is longer than ${maxPromptLength} characters.`,
    );
  }
  return prompt;
}

function sizeOf(fields: RequestBody['fields']): { readonly width: number; readonly height: number } {
  const size = fields.get('size') ?? 'auto';
  if (size === 'auto') return { width: 1024, height: 1024 };
  const [, width = 0, height = 0] = /^(\d{1,5})x(\d{1,5})$/.exec(shown(size))?.map(Number) ?? [];
  const [least, most] = sideRange;
  const fits = Math.min(width, height) >= least && Math.max(width, height) <= most && width * height <= maxPixels;
  if (fits) return { width, height };
  const rule = `'auto', or WIDTHxHEIGHT with sides from ${least} to ${most} pixels and an area of at most 3840x2160`;
  throw new SandboxRefusal('invalid_value', 'size', `Invalid size '${shown(size)}'. Supported is ${rule}.`);
}

function wholeNumber(
  fields: RequestBody['fields'],
  name: string,
  [least, most]: readonly [number, number],
  fallback: number,
): number {
  const value = fields.get(name) ?? fallback;
  const number = typeof value === 'string' && /^-?\d+$/.test(value) ? Number(value) : value;
  if (typeof number === 'number' && Number.isInteger(number) && number >= least && number <= most) return number;
  const message = `Invalid '${name}': expected a whole number from ${least} to ${most}.`;
  throw new SandboxRefusal('invalid_value', name, message);
}

function choice<Value extends string>(
  fields: RequestBody['fields'],
  name: string,
  values: readonly Value[],
  fallback: Value,
): Value {
  const given = fields.get(name) ?? fallback;
  const value = values.find((each) => each === given);
  if (value !== undefined) return value;
  const list = values.map((each) => `'${each}'`).join(', ');
  throw new SandboxRefusal('invalid_value', name, `Invalid value: '${shown(given)}'. Supported values are: ${list}.`);
}

/** A parameter's value, for a message. */
function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
