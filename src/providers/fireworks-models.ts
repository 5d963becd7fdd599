/** The families of image models at Fireworks, and what each of them takes. Source: docs.fireworks.ai (2026). */
import type { ImageParameters, TargetCall } from '../pipeline/call.ts';
import type { OperationCapabilities } from './provider.ts';
import { dataUri, type WireMembers } from './requests.ts';
import { nearestRatio, nearestSize } from './sizes.ts';
import { pngOrJpeg } from './picture-formats.ts';

export interface FireworksFamily {
  readonly generation: OperationCapabilities;
  readonly edition?: OperationCapabilities;
  /** Where it is asked for, by the model's full name. */
  path(model: string): string;
  /** The members beside the prompt. */
  members(call: TargetCall): WireMembers;
}

const ratios = ['1:1', '21:9', '16:9', '3:2', '5:4', '4:5', '2:3', '9:16', '9:21', '4:3', '3:4'] as const;

const schnell: FireworksFamily = {
  generation: {
    maxImages: 1,
    nativeForm: 'b64_json',
    parameters: { size: 'mapped', seed: 'native' },
    further: ['guidance_scale', 'num_inference_steps', 'aspect_ratio'],
  },
  path: (model) => `workflows/${model}/text_to_image`,
  // Its own shape is 16:9.
  members: ({ parameters: { size, seed } }) => ({ aspect_ratio: nearestRatio(size, ratios) ?? '1:1', seed }),
};

/** As schnell, but made for more steps. */
const dev: FireworksFamily = {
  ...schnell,
  generation: { ...schnell.generation, parameters: { ...schnell.generation.parameters, quality: 'mapped' } },
  members: (call) => ({ ...schnell.members(call), num_inference_steps: stepsOf(call.parameters) }),
};

/** The sizes that SDXL was trained on. */
const landscapes = ['1024x1024', '1152x896', '1216x832', '1344x768', '1536x640'];
const sizes = [...landscapes, ...landscapes.map((size) => size.split('x').toReversed().join('x'))];

const sdxl: FireworksFamily = {
  generation: {
    maxImages: 1,
    nativeForm: 'b64_json',
    parameters: { size: 'mapped', quality: 'mapped', seed: 'native' },
    further: ['negative_prompt', 'steps', 'cfg_scale', 'sampler', 'width', 'height', 'style_preset', 'safety_check'],
  },
  path: (model) => `image_generation/${model}`,
  members({ parameters }) {
    const [width, height] = nearestSize(parameters.size, sizes)?.split('x').map(Number) ?? [];
    return { width, height, steps: stepsOf(parameters), seed: parameters.seed };
  },
};

const kontextEdition: OperationCapabilities = {
  maxImages: 1,
  nativeForm: 'url',
  // WebP is made by the gateway.
  parameters: { size: 'mapped', outputFormat: 'mapped', seed: 'native' },
  further: ['safety_tolerance', 'prompt_upsampling', 'aspect_ratio'],
  inputs: { max: 1, as: 'bytes' },
};
const { inputs: _inputs, ...withoutPictures } = kontextEdition;

const kontext: FireworksFamily = {
  // With a picture the tolerance cannot be raised.
  generation: { ...withoutPictures, parameters: { ...kontextEdition.parameters, moderation: 'mapped' } },
  edition: kontextEdition,
  path: (model) => `workflows/${model}`,
  members: ({ images: [image], parameters: { size, seed, moderation, outputFormat } }) => ({
    input_image: image && dataUri(image),
    aspect_ratio: nearestRatio(size, ratios),
    seed,
    safety_tolerance: moderation === 'low' ? 6 : undefined,
    output_format: pngOrJpeg(outputFormat),
  }),
};

/** What is not known yet is taken for a FLUX that answers at once. */
export function fireworksFamily(model: string): FireworksFamily {
  const name = model.slice(model.lastIndexOf('/') + 1);
  if (isJob(name)) return kontext;
  if (/schnell/.test(name)) return schnell;
  return /stable-diffusion|sdxl|playground|ssd-1b/i.test(name) ? sdxl : dev;
}

/** Whether the answer is a job rather than a picture. */
export function isJob(model: string): boolean {
  return /kontext/.test(model);
}

/** Steps of diffusion, by which the price goes too. Those of `auto` are the model's own. */
const stepsOfQuality: ReadonlyMap<string, number | undefined> = new Map([
  ['auto', undefined],
  ['low', 15],
  ['medium', 28],
  ['standard', 28],
  ['high', 50],
  ['hd', 50],
  ['xhigh', 50],
  ['max', 50],
]);

function stepsOf({ quality }: ImageParameters): number | undefined {
  return quality === undefined ? undefined : stepsOfQuality.get(quality);
}

/** The parameters whose value has no like here, in wire spelling. */
export function withoutLike({ quality, moderation, outputFormat }: ImageParameters): readonly string[] {
  return [
    ...(quality === undefined || stepsOfQuality.has(quality) ? [] : ['quality']),
    ...(moderation === undefined || moderation === 'auto' || moderation === 'low' ? [] : ['moderation']),
    ...(outputFormat === undefined || pngOrJpeg(outputFormat) !== undefined ? [] : ['output_format']),
  ];
}
