/** The families of FLUX at their maker's, and what each of them takes. Source: docs.bfl.ai, "API reference" (2026). */
import type { TargetCall } from '../pipeline/call.ts';
import type { OperationCapabilities, SupportedParameters } from './provider.ts';
import { bareBase64, present, type WireMembers } from './requests.ts';
import { fittingPixels, longestEdge, nearestRatio } from './sizes.ts';
import { pngOrJpeg } from './picture-formats.ts';

export interface FluxFamily {
  readonly generation?: OperationCapabilities;
  readonly edition?: OperationCapabilities;
  /** The size in the family's terms. Where its own is no square, and nothing was asked for, this asks for one. */
  shape(size: string | undefined): WireMembers;
  pictures(call: TargetCall): WireMembers;
  /** The `safety_tolerance` for OpenAI's low moderation. The usual one is 2. */
  readonly tolerance: number;
}

/** WebP is made by the gateway. */
const parameters: SupportedParameters = {
  size: 'mapped',
  moderation: 'mapped',
  outputFormat: 'mapped',
  seed: 'native',
};
const { size: _size, ...withoutSize } = parameters;
/** With pictures the tolerance of Kontext cannot be raised. */
const { moderation: _moderation, ...withoutModeration } = parameters;

function takes(
  supported: SupportedParameters,
  further: readonly string[],
  rest: Partial<OperationCapabilities> = {},
): OperationCapabilities {
  return { maxImages: 1, nativeForm: 'url', parameters: supported, further: ['safety_tolerance', ...further], ...rest };
}

const ratios = ['1:1', '16:9', '9:16', '3:2', '2:3', '4:3', '3:4', '5:4', '4:5', '21:9', '9:21'] as const;

const measured = ['prompt_upsampling', 'width', 'height', 'steps', 'guidance'];
const second: FluxFamily = {
  generation: takes(parameters, measured),
  edition: takes(parameters, measured, { inputs: { max: 8, as: 'bytes' } }),
  shape: (size) => ({ ...fittingPixels(size, { multipleOf: 16, least: 64, most: 4096, maxPixels: 2048 * 2048 }) }),
  pictures: inputImages,
  tolerance: 5,
};

/** It knows neither seeds nor file formats, and refuses what it does not know. */
const thirdParameters: SupportedParameters = { size: 'mapped', moderation: 'mapped' };
const thirdFurther = ['aspect_ratio', 'resolution', 'grounding', 'version'];
const third: FluxFamily = {
  generation: takes(thirdParameters, thirdFurther),
  edition: takes(thirdParameters, thirdFurther, { inputs: { max: 10, as: 'bytes' } }),
  shape: (size) => ({
    aspect_ratio: nearestRatio(size, [...ratios, '2:1', '1:2', '7:5', '5:7']),
    resolution: resolutionOf(longestEdge(size)),
  }),
  pictures: ({ images }) => (images.length === 0 ? {} : { images: images.map(bareBase64) }),
  tolerance: 4,
};

const kontext: FluxFamily = {
  generation: takes(parameters, ['prompt_upsampling', 'aspect_ratio']),
  edition: takes(withoutModeration, ['prompt_upsampling', 'aspect_ratio'], { inputs: { max: 4, as: 'bytes' } }),
  shape: (size) => ({ aspect_ratio: nearestRatio(size, ratios) }),
  pictures: inputImages,
  tolerance: 6,
};

const ultra: FluxFamily = {
  generation: takes(parameters, ['prompt_upsampling', 'aspect_ratio', 'raw', 'image_prompt', 'image_prompt_strength']),
  shape: (size) => ({ aspect_ratio: nearestRatio(size, ratios) ?? '1:1' }),
  pictures: () => ({}),
  tolerance: 6,
};

const first: FluxFamily = {
  generation: takes(parameters, [...measured, 'image_prompt']),
  shape: (size) => ({
    ...(fittingPixels(size, { multipleOf: 32, least: 256, most: 1440 }) ?? { width: 1024, height: 1024 }),
  }),
  pictures: () => ({}),
  tolerance: 6,
};

function tool(further: readonly string[], rest: Partial<OperationCapabilities> = {}): FluxFamily {
  return {
    edition: takes(withoutSize, ['prompt_upsampling', 'steps', 'guidance', ...further], {
      inputs: { max: 1, as: 'bytes' },
      promptOptional: true,
      ...rest,
    }),
    shape: () => ({}),
    pictures: ({ images: [image], mask }) => ({
      image: image && bareBase64(image),
      mask: mask && bareBase64(mask),
    }),
    tolerance: 6,
  };
}

const families: readonly (readonly [RegExp, FluxFamily])[] = [
  [/^flux-3/, third],
  [/^flux-kontext/, kontext],
  [/-ultra/, ultra],
  [/-fill/, tool([], { mask: 'white' })],
  [/-expand/, tool(['top', 'bottom', 'left', 'right'])],
  [/^flux-(pro|dev)/, first],
];

/** Names that are not known yet are taken for the family that is recommended. */
export function fluxFamily(model: string): FluxFamily {
  return families.find(([pattern]) => pattern.test(model))?.[1] ?? second;
}

/** A call as members, and the parameters whose value has no like here. */
export function fluxMembers(call: TargetCall): { readonly members: WireMembers; readonly dropped: readonly string[] } {
  const { shape, pictures, tolerance } = fluxFamily(call.model);
  const { size, seed, moderation, outputFormat } = call.parameters;
  const format = pngOrJpeg(outputFormat);
  const takesFormat = outputFormat === undefined || format !== undefined;
  const takesModeration = moderation === undefined || moderation === 'auto' || moderation === 'low';
  return {
    members: present({
      prompt: call.prompt,
      ...pictures(call),
      ...shape(size),
      seed,
      safety_tolerance: moderation === 'low' ? tolerance : undefined,
      output_format: format,
      ...call.unknown,
    }),
    dropped: [...(takesModeration ? [] : ['moderation']), ...(takesFormat ? [] : ['output_format'])],
  };
}

/** `input_image`, `input_image_2`, … */
function inputImages({ images }: TargetCall): WireMembers {
  return Object.fromEntries(
    images.map((image, index) => [index === 0 ? 'input_image' : `input_image_${index + 1}`, bareBase64(image)]),
  );
}

function resolutionOf(edge: number | undefined): string | undefined {
  if (edge === undefined) return undefined;
  if (edge <= 1536) return '1k';
  return edge <= 3072 ? '2k' : '4k';
}
