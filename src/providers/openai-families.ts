/** What OpenAI's models take, wherever they are served. Source: OpenAI's API reference, "Images". */
import type { Operation } from '../pipeline/call.ts';
import { ratioInPixels, type DialectParameters, type Fitted } from './openai-dialect.ts';
import type { OperationCapabilities, SupportedParameters } from './provider.ts';
import { askedSize, nearestRatio, nearestSize } from './sizes.ts';

/** Models that take the same. */
export interface OpenAiFamily extends Readonly<Record<Operation, OperationCapabilities | undefined>> {
  readonly names: RegExp;
  /** The sizes that it makes; if not given, any with sides of multiples of 16 and up to 3 to 1. */
  readonly sizes?: readonly string[];
  /** What it calls a quality; undefined for none, or for its only one. */
  quality(asked: string): string | undefined;
  readonly isDallE?: boolean;
}

const gptImageParameters: SupportedParameters = {
  n: 'native',
  size: 'native',
  quality: 'native',
  background: 'native',
  moderation: 'native',
  outputFormat: 'native',
  outputCompression: 'native',
  user: 'native',
};

const gptImage: OperationCapabilities = {
  maxImages: 10,
  nativeForm: 'b64_json',
  parameters: gptImageParameters,
  further: 'any',
  inputs: { max: 16, as: 'bytes', files: true },
  mask: 'alpha',
  streams: true,
  // More are answered with 400 "Streaming is only supported with n=1."
  maxStreamed: 1,
};
const gptImageWithFidelity: OperationCapabilities = {
  ...gptImage,
  parameters: { ...gptImageParameters, inputFidelity: 'native' },
};

const dallE2: OperationCapabilities = {
  maxImages: 10,
  nativeForm: 'url',
  parameters: { n: 'native', size: 'native', quality: 'mapped', user: 'native' },
  further: 'any',
  inputs: { max: 1, as: 'bytes' },
  mask: 'alpha',
};
const dallE3: OperationCapabilities = {
  ...dallE2,
  maxImages: 1,
  parameters: { ...dallE2.parameters, style: 'native' },
};

/** `xhigh` and `max` came with GPT Image 2.5; the models before it answer 400 to them. */
const topQualities: ReadonlySet<string> = new Set(['hd', 'xhigh', 'max']);

function latestQuality(asked: string): string {
  if (asked === 'standard') return 'auto';
  return asked === 'hd' ? 'high' : asked;
}

function earlierQuality(asked: string): string {
  return topQualities.has(asked) ? 'high' : latestQuality(asked);
}

function dallE3Quality(asked: string): string | undefined {
  if (asked === 'auto') return undefined;
  return asked === 'high' || topQualities.has(asked) ? 'hd' : 'standard';
}

const firstSizes = ['1024x1024', '1536x1024', '1024x1536'];
const families: readonly OpenAiFamily[] = [
  {
    names: /^dall-e-3/,
    generation: dallE3,
    edition: undefined,
    sizes: ['1024x1024', '1792x1024', '1024x1792'],
    quality: dallE3Quality,
    isDallE: true,
  },
  {
    names: /^dall-e/,
    generation: dallE2,
    edition: dallE2,
    sizes: ['1024x1024'],
    quality: () => undefined,
    isDallE: true,
  },
  {
    // The only ones that take `input_fidelity`; all others answer 400 to it.
    names: /^gpt-image-1(\.5)?(-\d{4}-\d{2}-\d{2})?$/,
    generation: gptImage,
    edition: gptImageWithFidelity,
    sizes: firstSizes,
    quality: earlierQuality,
  },
  {
    names: /^(gpt-image-1\b|chatgpt-image)/,
    generation: gptImage,
    edition: gptImage,
    sizes: firstSizes,
    quality: earlierQuality,
  },
  {
    names: /^gpt-image-2(-\d{4}-\d{2}-\d{2})?$/,
    generation: gptImage,
    edition: gptImage,
    quality: earlierQuality,
  },
];
/** Names that we do not know are treated as the latest GPT Image models, the family that new ones join. */
const latest: OpenAiFamily = { names: /^/, generation: gptImage, edition: gptImage, quality: latestQuality };

export const openAiFamilies: readonly OpenAiFamily[] = [...families, latest];

export function openAiFamily(model: string): OpenAiFamily {
  return families.find(({ names }) => names.test(model)) ?? latest;
}

/** Brings sizes and qualities into the model's vocabulary, and keeps from it what it would answer with a 400. */
export function fitOpenAi({ responseFormat, ...parameters }: DialectParameters, model: string): Fitted {
  const family = openAiFamily(model);
  const quality = parameters.quality === undefined ? undefined : family.quality(parameters.quality);
  const size = fittingSize(parameters.size, family);
  // Asked of GPT Image all the same by most clients; the gateway gives the form by itself.
  if (family.isDallE !== true) return { fitted: { ...parameters, size, quality } };
  const isLost = quality === undefined && dallE3Quality(parameters.quality ?? 'auto') === 'hd';
  return {
    fitted: { ...parameters, responseFormat, size: size === 'auto' ? undefined : size, quality },
    dropped: isLost ? ['quality'] : [],
  };
}

/** Only ratios are translated: about a size in pixels that the model does not make, OpenAI's own words are the best. */
function fittingSize(size: string | undefined, { sizes }: OpenAiFamily): string | undefined {
  const asked = askedSize(size);
  if (asked?.kind !== 'ratio') return size;
  if (sizes !== undefined) return nearestSize(size, sizes);
  const isTooLong = Math.max(asked.width, asked.height) > 3 * Math.min(asked.width, asked.height);
  return ratioInPixels(isTooLong ? nearestRatio(size, ['3:1', '1:3']) : size);
}
