/** OpenRouter's images API: `POST /images`. Source: openrouter.ai/docs, "Generate an image". */
import type { TargetCall } from '../pipeline/call.ts';
import { base64Picture, list, object } from './answers.ts';
import { commonRatios, type OpenrouterApi } from './openrouter-api.ts';
import type { OperationCapabilities } from './provider.ts';
import { qualityTiers } from './quality-tiers.ts';
import { dataUri, type WireMembers } from './requests.ts';
import { askedSize, nearestRatio } from './sizes.ts';

const generation: OperationCapabilities = {
  maxImages: 10,
  nativeForm: 'b64_json',
  parameters: {
    n: 'native',
    size: 'native',
    quality: 'mapped',
    background: 'native',
    outputFormat: 'native',
    outputCompression: 'native',
    seed: 'native',
  },
  further: ['aspect_ratio', 'resolution', 'provider'],
};

export const imagesApi: OpenrouterApi = {
  path: '/images',
  operations: { generation, edition: { ...generation, inputs: { max: 16, as: 'bytes' } } },
  members(call) {
    const { n, size, quality, background, outputFormat, outputCompression, seed } = call.parameters;
    const isSizeGiven = size !== undefined && size !== 'auto';
    // A size beside one of these is a 400; what the caller wrote in the vendor's own terms wins.
    const isOverruled = 'aspect_ratio' in call.unknown || 'resolution' in call.unknown;
    const members = {
      model: call.model,
      prompt: call.prompt,
      n,
      ...(isOverruled ? {} : sizeMembers(size)),
      quality: qualityTiers.get(quality),
      background,
      output_format: outputFormat,
      output_compression: outputCompression,
      seed,
      input_references: inputReferences(call),
      ...call.unknown,
    };
    const dropped = [
      ...(isSizeGiven && isOverruled ? ['size'] : []),
      ...(qualityTiers.has(quality) ? [] : ['quality']),
    ];
    return { members, dropped };
  },
  pictures: (document) => list(document['data']).map((item) => base64Picture(object(item)['b64_json'])),
};

function sizeMembers(size: string | undefined): WireMembers {
  const asked = askedSize(size);
  return asked?.kind === 'pixels' ? { size } : { aspect_ratio: nearestRatio(size, commonRatios) };
}

function inputReferences({ images }: TargetCall): WireMembers[string] {
  if (images.length === 0) return undefined;
  return images.map((image) => ({ type: 'image_url', image_url: { url: dataUri(image) } }));
}
