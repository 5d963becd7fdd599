/**
 * Stable Image: what there is to be done with it, and what each of it takes, wherever it is served. Source: Stability AI's
 * REST API reference, "v2beta" (2026), and Amazon Bedrock's user guide, "Stability AI Image Services" (2026).
 */
import type { TargetCall } from '../pipeline/call.ts';
import type { OperationCapabilities, SupportedParameters } from './provider.ts';
import { present, type WireMembers } from './requests.ts';
import { nearestRatio } from './sizes.ts';

/** One thing that can be done. */
export interface StableImageTask {
  /** What comes behind `/v2beta/stable-image/` in the maker's own API. */
  readonly path: string;
  readonly generation?: OperationCapabilities;
  readonly edition?: OperationCapabilities;
  /** The file formats that it writes. */
  readonly formats: readonly string[];
  /** Whether words have no place in it. */
  readonly wordless: boolean;
  /** The members that hold the pictures. */
  readonly pictures: readonly string[];
}

const aspectRatios = ['1:1', '16:9', '21:9', '2:3', '3:2', '4:5', '5:4', '9:16', '9:21'] as const;

const stylePresets: ReadonlySet<string> = new Set([
  '3d-model',
  'analog-film',
  'anime',
  'cinematic',
  'comic-book',
  'digital-art',
  'enhance',
  'fantasy-art',
  'isometric',
  'line-art',
  'low-poly',
  'modeling-compound',
  'neon-punk',
  'origami',
  'photographic',
  'pixel-art',
  'tile-texture',
]);

/** How much of a picture may change when the caller does not say: the vendor wants to be told. */
const usualStrength = 0.7;

const allFormats = ['png', 'jpeg', 'webp'];

/** What a task writes only some of the formats for, the gateway makes of what it does write. */
function outputFormat(formats: readonly string[]): Pick<SupportedParameters, 'outputFormat'> {
  return { outputFormat: formats === allFormats ? 'native' : 'mapped' };
}

function capabilities(
  parameters: SupportedParameters,
  further: readonly string[],
  rest: Partial<OperationCapabilities> = {},
): OperationCapabilities {
  return { maxImages: 1, nativeForm: 'b64_json', parameters, further, ...rest };
}

/** A task that makes a picture anew, or out of another one. */
function generates(
  path: string,
  { further, formats = allFormats, imageToImage = true }: GenerationRow,
): StableImageTask {
  const parameters: SupportedParameters = { ...outputFormat(formats), seed: 'native' };
  const edition = capabilities(parameters, [...further, 'strength'], { inputs: { max: 1, as: 'bytes' } });
  return {
    path,
    generation: capabilities({ ...parameters, size: 'mapped' }, [...further, 'aspect_ratio']),
    ...(imageToImage ? { edition } : {}),
    formats,
    wordless: false,
    pictures: ['image'],
  };
}

interface GenerationRow {
  readonly further: readonly string[];
  readonly formats?: readonly string[];
  readonly imageToImage?: boolean;
}

/** A task that changes a picture. */
function edits(path: string, further: readonly string[], row: EditionRow = {}): StableImageTask {
  const { formats = allFormats, prompt = 'needed', seed = true, masked = false, pictures = ['image'] } = row;
  const parameters: SupportedParameters = { ...outputFormat(formats), ...(seed ? { seed: 'native' } : {}) };
  return {
    path,
    edition: capabilities(parameters, further, {
      inputs: { max: pictures.length, as: 'bytes' },
      ...(masked ? { mask: 'white' } : {}),
      ...(prompt === 'needed' ? {} : { promptOptional: true }),
    }),
    formats,
    wordless: prompt === 'none',
    pictures,
  };
}

interface EditionRow {
  readonly formats?: readonly string[];
  readonly prompt?: 'needed' | 'optional' | 'none';
  readonly seed?: boolean;
  readonly masked?: boolean;
  readonly pictures?: readonly string[];
}

/** By the last word of their path. */
export const stableImageTasks = {
  core: generates('generate/core', { further: ['negative_prompt', 'style_preset'], imageToImage: false }),
  ultra: generates('generate/ultra', { further: ['negative_prompt', 'style_preset'] }),
  sd3: generates('generate/sd3', {
    further: ['negative_prompt', 'cfg_scale', 'style_preset'],
    formats: ['png', 'jpeg'],
  }),
  inpaint: edits('edit/inpaint', ['negative_prompt', 'grow_mask', 'style_preset'], { masked: true }),
  erase: edits('edit/erase', ['grow_mask'], { masked: true, prompt: 'none' }),
  outpaint: edits('edit/outpaint', ['left', 'right', 'up', 'down', 'creativity', 'style_preset'], {
    prompt: 'optional',
  }),
  'search-and-replace': edits('edit/search-and-replace', [
    'search_prompt',
    'negative_prompt',
    'grow_mask',
    'style_preset',
  ]),
  'search-and-recolor': edits('edit/search-and-recolor', [
    'select_prompt',
    'negative_prompt',
    'grow_mask',
    'style_preset',
  ]),
  'remove-background': edits('edit/remove-background', [], { formats: ['png', 'webp'], prompt: 'none', seed: false }),
  fast: edits('upscale/fast', [], { prompt: 'none', seed: false }),
  conservative: edits('upscale/conservative', ['negative_prompt', 'creativity']),
  creative: edits('upscale/creative', ['negative_prompt', 'creativity', 'style_preset']),
  sketch: edits('control/sketch', ['control_strength', 'negative_prompt', 'style_preset']),
  structure: edits('control/structure', ['control_strength', 'negative_prompt', 'style_preset']),
  style: edits('control/style', ['fidelity', 'aspect_ratio', 'negative_prompt', 'style_preset']),
  'style-transfer': edits(
    'control/style-transfer',
    ['style_strength', 'composition_fidelity', 'change_strength', 'negative_prompt'],
    { prompt: 'optional', pictures: ['init_image', 'style_image'] },
  ),
} satisfies Readonly<Record<string, StableImageTask>>;

/** What a call says to a task, but for its pictures. */
export function stableImageMembers(
  { path, formats, wordless, generation }: StableImageTask,
  { operation, prompt, parameters, unknown }: TargetCall,
): { readonly members: WireMembers; readonly dropped: readonly string[] } {
  const { size, style, outputFormat, seed } = parameters;
  const takesFormat = outputFormat === undefined || formats.includes(outputFormat);
  const takesStyle = style === undefined || stylePresets.has(style);
  // A picture made out of another one keeps its ratio.
  const imageToImage = operation === 'edition' && generation !== undefined;
  return {
    members: present({
      prompt: wordless ? undefined : prompt,
      aspect_ratio: nearestRatio(size, aspectRatios),
      style_preset: takesStyle ? style : undefined,
      output_format: takesFormat ? outputFormat : undefined,
      seed,
      mode: imageToImage && path === 'generate/sd3' ? 'image-to-image' : undefined,
      strength: imageToImage ? usualStrength : undefined,
      ...unknown,
    }),
    dropped: [
      ...(wordless && prompt !== undefined && prompt !== '' ? ['prompt'] : []),
      ...(takesStyle ? [] : ['style']),
      ...(takesFormat ? [] : ['output_format']),
    ],
  };
}
