/**
 * Google's Imagen models at `:predict`, shared by its services. Sources: ai.google.dev, "Imagen"; cloud.google.com,
 * "Imagen API" and "Edit images" (November 2026). The family is shut down; mirrors of it are not.
 */
import type { TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply, WireJson } from '../pipeline/upstream.ts';
import { answerOf, base64Picture, list, object, readObject, refusal, text } from './answers.ts';
import { bothSpellings, formatOf, taken } from './google-images.ts';
import type { EncodedCall, OperationCapabilities } from './provider.ts';
import { bareBase64, postJson, present, type WireMembers } from './requests.ts';
import { longestEdge, nearestRatio } from './sizes.ts';

export function isImagen(model: string): boolean {
  return /^(imagen-|imagegeneration@)/.test(model);
}

/** What callers may send of the API's own, for `parameters`: everywhere; on the cloud platform; and in its edits. */
const basicMembers = ['aspectRatio', 'sampleImageSize', 'personGeneration'];
const cloudMembers = [
  'negativePrompt',
  'safetySetting',
  'addWatermark',
  'enhancePrompt',
  'language',
  'outputOptions',
  'includeRaiReason',
];
const editMembers = ['editMode', 'guidanceScale'];

export const imagenGeneration: OperationCapabilities = {
  maxImages: 4,
  nativeForm: 'b64_json',
  parameters: { n: 'native', size: 'mapped', moderation: 'mapped' },
  further: bothSpellings(basicMembers),
};
export const cloudImagenGeneration: OperationCapabilities = {
  ...imagenGeneration,
  parameters: { ...imagenGeneration.parameters, outputFormat: 'mapped', outputCompression: 'mapped', seed: 'native' },
  further: bothSpellings([...basicMembers, ...cloudMembers]),
};
/** The picture keeps its size. Without words the model fills the gap by what is around it. */
export const cloudImagenEdition: OperationCapabilities = {
  ...cloudImagenGeneration,
  parameters: {
    n: 'native',
    moderation: 'mapped',
    outputFormat: 'mapped',
    outputCompression: 'mapped',
    seed: 'native',
  },
  further: bothSpellings([...cloudMembers, 'personGeneration', ...editMembers, 'baseSteps', 'dilation']),
  inputs: { max: 1, as: 'bytes' },
  mask: 'white',
  promptOptional: true,
};

const ratios = ['1:1', '3:4', '4:3', '9:16', '16:9'];

/** Imagen 3 and the fast models have one size only. */
const hasSizes = (model: string): boolean => model.startsWith('imagen-4') && !model.includes('-fast-');

/** OpenAI's `moderation`, or the vendor's own word for whom it may show. */
const persons: ReadonlyMap<string | undefined, string> = new Map([
  ['low', 'allow_all'],
  ['allow_all', 'allow_all'],
  ['allow_adult', 'allow_adult'],
  ['dont_allow', 'dont_allow'],
]);

/** @param always parameters that are asked for unless the caller says otherwise */
export function encodeImagen(url: string, call: TargetCall, always: WireMembers = {}): EncodedCall {
  const { model, prompt, parameters, unknown } = call;
  const { n = 1, size, moderation = 'auto', seed, outputFormat, outputCompression } = parameters;
  const edge = longestEdge(size);
  const mimeType = outputFormat === 'png' || outputFormat === 'jpeg' ? `image/${outputFormat}` : undefined;
  const compressionQuality = outputFormat === 'jpeg' ? outputCompression : undefined;
  const edited = call.operation === 'edition' ? edit(call) : undefined;
  const request = postJson(url, {
    instances: [present({ prompt, referenceImages: edited?.referenceImages })],
    parameters: present({
      ...always,
      // Left out, it would be 4.
      sampleCount: n,
      aspectRatio: nearestRatio(size, ratios),
      sampleImageSize: edge === undefined || !hasSizes(model) ? undefined : edge > 1536 ? '2K' : '1K',
      personGeneration: persons.get(moderation),
      outputOptions: mimeType === undefined ? undefined : present({ mimeType, compressionQuality }),
      // A seed is refused as long as there is a watermark.
      ...(seed === undefined ? {} : { seed, addWatermark: false }),
      ...edited?.parameters,
      ...taken(unknown, [...basicMembers, ...cloudMembers, ...editMembers]),
    }),
  });
  const dropped = [
    ...(moderation !== 'auto' && !persons.has(moderation) ? ['moderation'] : []),
    ...(outputFormat !== undefined && mimeType === undefined ? ['output_format'] : []),
    ...(outputCompression !== undefined && compressionQuality === undefined ? ['output_compression'] : []),
  ];
  return { request, dropped };
}

function edit({ images, mask, unknown }: TargetCall): {
  readonly referenceImages: readonly WireJson[];
  readonly parameters: WireMembers;
} {
  const raw = images.map((image) => ({
    referenceType: 'REFERENCE_TYPE_RAW',
    referenceId: 1,
    referenceImage: { bytesBase64Encoded: bareBase64(image) },
  }));
  const marked = mask === undefined ? [] : [mask];
  const masks = marked.map((image) => ({
    referenceType: 'REFERENCE_TYPE_MASK',
    referenceId: 2,
    referenceImage: { bytesBase64Encoded: bareBase64(image) },
    maskImageConfig: { maskMode: 'MASK_MODE_USER_PROVIDED', ...taken(unknown, ['dilation']) },
  }));
  const editConfig = taken(unknown, ['baseSteps']);
  return {
    referenceImages: [...raw, ...masks],
    parameters: {
      editMode: mask === undefined ? 'EDIT_MODE_DEFAULT' : 'EDIT_MODE_INPAINT_INSERTION',
      ...(Object.keys(editConfig).length === 0 ? {} : { editConfig }),
    },
  };
}

/**
 * Pictures that were filtered are missing, or stand there without their bytes but with the reason; when all were, so may
 * be the list.
 * @throws GatewayError upstream_invalid_response; content_policy_violation
 */
export async function decodeImagen(reply: UpstreamReply): Promise<ImageAnswer> {
  const document = await readObject(reply);
  const predictions = list(document['predictions']).map(object);
  const pictures = predictions.flatMap(({ bytesBase64Encoded, prompt, mimeType }) => {
    const payload = base64Picture(bytesBase64Encoded);
    return payload === undefined ? [] : [{ payload, revisedPrompt: text(prompt), mimeType }];
  });
  const reason = predictions.flatMap(({ raiFilteredReason }) => text(raiFilteredReason) ?? [])[0];
  if (pictures.length === 0 && (predictions.length === 0 || reason !== undefined)) throw refusal(reason);
  return answerOf(
    pictures.map(({ payload, revisedPrompt }) => ({ payload, revisedPrompt })),
    { effective: { outputFormat: formatOf(pictures[0]?.mimeType) } },
  );
}
