/**
 * Amazon's own image models, Nova Canvas and Titan: what they take. Source: Amazon Nova's user guide, "Image generation and
 * editing", and Amazon Bedrock's, "Amazon Titan Image Generator" (2026). All of them are at their end.
 */
import { GatewayError } from '../errors.ts';
import type { ImageParameters, TargetCall } from '../pipeline/call.ts';
import type { OperationCapabilities, SupportedParameters } from './provider.ts';
import { bareBase64, present, type WireMembers } from './requests.ts';
import { askedSize, fittingPixels, nearestSize, type Sides } from './sizes.ts';

const parameters: SupportedParameters = { n: 'native', size: 'mapped', quality: 'mapped', seed: 'native' };
const shared = { maxImages: 5, nativeForm: 'b64_json' } as const;

const edition: OperationCapabilities = {
  ...shared,
  parameters,
  further: ['negativeText', 'cfgScale', 'maskPrompt', 'similarityStrength'],
  inputs: { max: 5, as: 'bytes' },
  mask: 'black',
  promptOptional: true,
};
const titan = { generation: { ...shared, parameters, further: ['negativeText', 'cfgScale'] }, edition };
const nova = { ...titan, generation: { ...titan.generation, parameters: { ...parameters, style: 'native' } } } as const;

export function novaCapabilities(model: string): {
  readonly generation: OperationCapabilities;
  readonly edition: OperationCapabilities;
} {
  return isTitan(model) ? titan : nova;
}

function isTitan(model: string): boolean {
  return model.includes('titan');
}

const styles: ReadonlySet<string> = new Set([
  '3D_ANIMATED_FAMILY_FILM',
  'DESIGN_SKETCH',
  'FLAT_VECTOR_ILLUSTRATION',
  'GRAPHIC_NOVEL_ILLUSTRATION',
  'MAXIMALISM',
  'MIDCENTURY_RETRO',
  'PHOTOREALISM',
  'SOFT_DIGITAL_PAINTING',
]);

const titanLandscapes = ['512x512', '1024x1024', '1152x896', '1152x768', '1280x768', '1408x768', '1408x640'];
const titanSizes = [...titanLandscapes, ...titanLandscapes.map((size) => size.split('x').toReversed().join('x'))];

const qualities: ReadonlyMap<string, string | undefined> = new Map([
  ['auto', undefined],
  ['low', 'standard'],
  ['medium', 'standard'],
  ['standard', 'standard'],
  ['high', 'premium'],
  ['hd', 'premium'],
  ['xhigh', 'premium'],
  ['max', 'premium'],
  ['premium', 'premium'],
]);

/** A call in the terms of a task, and the parameters whose value has no like here. */
export function novaMembers(call: TargetCall): { readonly members: WireMembers; readonly dropped: readonly string[] } {
  const { model, unknown } = call;
  const { n, size, quality, style, seed } = call.parameters;
  // What is painted anew keeps its size.
  const sides = isInpainting(call) ? undefined : sidesOf(model, size);
  const takesQuality = quality === undefined || qualities.has(quality);
  const takesStyle = style === undefined || styles.has(style);
  const config = present({
    numberOfImages: n,
    width: sides?.width,
    height: sides?.height,
    quality: quality === undefined ? undefined : qualities.get(quality),
    cfgScale: unknown['cfgScale'],
    seed,
  });
  return {
    members: { ...taskOf(call), imageGenerationConfig: config },
    dropped: [
      ...(sides === undefined && askedSize(size) !== undefined ? ['size'] : []),
      ...(takesQuality ? [] : ['quality']),
      ...(takesStyle ? [] : ['style']),
    ],
  };
}

function isInpainting({ mask, unknown }: TargetCall): boolean {
  return mask !== undefined || unknown['maskPrompt'] !== undefined;
}

function taskOf(call: TargetCall): WireMembers {
  const { operation, prompt, images, mask, parameters, unknown } = call;
  const { style } = parameters;
  const words = { text: prompt, negativeText: unknown['negativeText'] };
  if (operation === 'generation') {
    const params = { ...words, style: style !== undefined && styles.has(style) ? style : undefined };
    return { taskType: 'TEXT_IMAGE', textToImageParams: present(params) };
  }
  const pictures = images.map(bareBase64);
  if (!isInpainting(call)) {
    const params = { images: pictures, ...words, similarityStrength: unknown['similarityStrength'] };
    return { taskType: 'IMAGE_VARIATION', imageVariationParams: present(params) };
  }
  if (pictures.length > 1) {
    throw new GatewayError('too_many_images', 'With a mask this model takes one picture.', { param: 'image' });
  }
  const place = mask === undefined ? { maskPrompt: unknown['maskPrompt'] } : { maskImage: bareBase64(mask) };
  return { taskType: 'INPAINTING', inPaintingParams: present({ image: pictures[0], ...place, ...words }) };
}

/** Width and height; undefined for what is too narrow, and where nothing was asked for. */
function sidesOf(model: string, size: ImageParameters['size']): Sides | undefined {
  if (isTitan(model)) {
    const [width, height] = nearestSize(size, titanSizes)?.split('x').map(Number) ?? [];
    return width === undefined || height === undefined ? undefined : { width, height };
  }
  const sides = fittingPixels(size, { multipleOf: 16, least: 320, most: 4096, maxPixels: 4_194_304 });
  if (sides === undefined) return undefined;
  return Math.max(sides.width / sides.height, sides.height / sides.width) > 4 ? undefined : sides;
}
