import schema from '../../schemas/providers/replicate.schema.json' with { type: 'json' };
import type { ReplicateConfig } from '../generated/providers/replicate.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { answerOf, linkPicture, readObject, secondsOf } from './answers.ts';
import { commonWords, faultReader } from './faults.ts';
import { bearer } from './openai-dialect.ts';
import { defineProvider, type EncodedCall, type OperationCapabilities, type Provider } from './provider.ts';
import { pollPrediction, refusesContent } from './replicate-jobs.ts';
import { dataUri, postJson, present, withoutSlash, type WireMembers } from './requests.ts';
import { fittingPixels, nearestRatio } from './sizes.ts';

/**
 * Replicate: predictions of models whose inputs differ; the usual names are sent, and the caller's own members besides.
 * Source: Replicate's HTTP API reference, and the input schemas on the pages of the models (November 2026).
 */
export const replicate = defineProvider({
  name: 'replicate',
  aliases: [],
  schema,
  tokenOptional: false,
  models: [
    { name: 'black-forest-labs/flux-schnell' },
    { name: 'black-forest-labs/flux-dev' },
    { name: 'black-forest-labs/flux-1.1-pro' },
    { name: 'black-forest-labs/flux-kontext-pro' },
    { name: 'ideogram-ai/ideogram-v3-turbo' },
    { name: 'luma/photon' },
    { name: 'luma/photon-flash' },
  ],
  create({ connection }: ReplicateConfig): Provider {
    const base = withoutSlash(connection.base_url);
    const { origin } = new URL(base);
    const { max_outputs: maxImages } = connection;
    const generation: OperationCapabilities = {
      ...predicting,
      maxImages,
      parameters: { ...predicting.parameters, ...(maxImages > 1 ? { n: 'mapped' } : {}) },
    };
    const edition: OperationCapabilities = {
      ...predicting,
      // Hardly any model that edits has `num_outputs`; as many predictions cost the same.
      maxImages: 1,
      // Data URIs are for small pictures; the API's reference names no bound, clients keep them under 1 MB.
      inputs: { max: takesSeveral(connection.image_key) ? 10 : 1, as: 'bytes' },
      // The models that paint within a mask call their picture `image`; the others would pass over a mask in silence.
      ...(connection.image_key === 'image' ? { mask: 'white' } : {}),
    };
    return {
      origin,
      speaksOpenAi: false,
      capabilities: (_model, operation) => (operation === 'generation' ? generation : edition),
      encode: (call) => encode(call, base, connection),
      authorise: bearer,
      poll: (reply) => pollPrediction(reply, origin),
      decode,
      fault,
    };
  },
});

const predicting: Omit<OperationCapabilities, 'maxImages'> = {
  nativeForm: 'url',
  parameters: {
    size: 'mapped',
    moderation: 'mapped',
    outputFormat: 'mapped',
    outputCompression: 'mapped',
    seed: 'native',
  },
  further: 'any',
};

/** Those that nearly all models have. */
const aspectRatios = ['1:1', '16:9', '21:9', '3:2', '2:3', '4:5', '5:4', '3:4', '4:3', '9:16', '9:21'] as const;
const pixelRules = { multipleOf: 16, least: 256, most: 2048 } as const;

type Connection = ReplicateConfig['connection'];

const takesSeveral = (imageKey: Connection['image_key']): boolean =>
  imageKey === 'image_input' || imageKey === 'input_images';

function encode(call: TargetCall, base: string, connection: Connection): EncodedCall {
  const { n, moderation, outputFormat, outputCompression, seed } = call.parameters;
  const input = present({
    prompt: call.prompt,
    ...sizeInputs(call, connection.size_as),
    // Many models have no such input, and make one picture unasked.
    num_outputs: n === 1 ? undefined : n,
    seed,
    output_format: outputFormat === 'jpeg' ? 'jpg' : outputFormat,
    output_quality: outputCompression,
    disable_safety_checker: moderation === 'low' ? true : undefined,
    ...pictureInputs(call, connection.image_key),
    ...call.unknown,
  });
  // An official model has a path of its own; a version, `owner/name:hash` or the hash alone, is named in the body.
  const request = /^\w[\w.-]*\/\w[\w.-]*$/.test(call.model)
    ? postJson(`${base}/models/${call.model}/predictions`, { input })
    : postJson(`${base}/predictions`, { version: call.model, input });
  return { request, dropped: [] };
}

function sizeInputs({ parameters: { size }, unknown }: TargetCall, sizeAs: Connection['size_as']): WireMembers {
  // The caller has said it in the model's own terms.
  if (['aspect_ratio', 'width', 'height'].some((name) => name in unknown)) return {};
  return sizeAs === 'pixels'
    ? { ...fittingPixels(size, pixelRules) }
    : { aspect_ratio: nearestRatio(size, aspectRatios) };
}

function pictureInputs({ images, mask }: TargetCall, imageKey: Connection['image_key']): WireMembers {
  const pictures = images.map(dataUri);
  return {
    [imageKey]: takesSeveral(imageKey) && pictures.length > 0 ? pictures : pictures[0],
    mask: mask === undefined ? undefined : dataUri(mask),
  };
}

const fault = faultReader((document) => {
  const words = commonWords(document);
  return { ...words, refusal: refusesContent(words.message) };
});

async function decode(reply: UpstreamReply): Promise<ImageAnswer> {
  const { output, created_at: created } = await readObject(reply);
  const pictures: readonly unknown[] = Array.isArray(output) ? output : [output];
  return answerOf(pictures.map(linkPicture), { created: secondsOf(created) });
}
