import schema from '../../schemas/providers/fal.schema.json' with { type: 'json' };
import type { FalConfig } from '../generated/providers/fal.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { answerOf, linkPicture, list, object, readObject, refusal, text, wholeNumber } from './answers.ts';
import { pollFal, refusalType } from './fal-jobs.ts';
import { commonWords, faultReader } from './faults.ts';
import { defineProvider, type EncodedCall, type OperationCapabilities, type Provider } from './provider.ts';
import { dataUri, modelPath, postJson, withoutSlash, type WireMembers } from './requests.ts';
import { fittingPixels, nearestRatio } from './sizes.ts';
import { pngOrJpeg } from './picture-formats.ts';

/**
 * fal.ai: a catalogue of models whose members differ; the usual names are sent, and the caller's own members besides.
 * Source: fal's documentation, "Queue" and "Model errors", and the schemas on the pages of the models (November 2026).
 */
export const fal = defineProvider({
  name: 'fal',
  aliases: [],
  schema,
  tokenOptional: false,
  models: [
    { name: 'fal-ai/flux/schnell' },
    { name: 'fal-ai/flux/dev' },
    { name: 'fal-ai/flux-pro/v1.1' },
    { name: 'fal-ai/flux-pro/v1.1-ultra' },
    { name: 'fal-ai/flux-pro/kontext' },
    { name: 'fal-ai/flux-2-pro' },
    { name: 'fal-ai/qwen-image' },
    { name: 'fal-ai/nano-banana' },
  ],
  create({ connection }: FalConfig): Provider {
    const { mode, image_key: imageKey } = connection;
    const base = withoutSlash(connection.base_url ?? (mode === 'queue' ? 'https://queue.fal.run' : 'https://fal.run'));
    const { origin } = new URL(base);
    const edition: OperationCapabilities = {
      ...generation,
      inputs: { max: imageKey === 'image_urls' ? 10 : 1, as: 'bytes' },
    };
    const inpainting: OperationCapabilities = { ...edition, mask: 'white' };
    return {
      origin,
      speaksOpenAi: false,
      capabilities(model, operation) {
        if (operation === 'generation') return generation;
        return imageKey === 'image_url' && !asksRatio(model) ? inpainting : edition;
      },
      encode: (call) => encode(call, base, connection),
      authorise: (token) => (token === undefined ? {} : { authorization: `Key ${token.reveal()}` }),
      ...(mode === 'queue' ? { poll: (reply, asked) => pollFal(reply, asked, origin) } : {}),
      decode,
      fault,
    };
  },
});

const generation: OperationCapabilities = {
  maxImages: 4,
  nativeForm: 'url',
  parameters: { n: 'mapped', size: 'mapped', moderation: 'mapped', outputFormat: 'mapped', seed: 'native' },
  further: 'any',
};

type Connection = FalConfig['connection'];

const aspectRatios = ['21:9', '16:9', '4:3', '3:2', '1:1', '2:3', '3:4', '9:16', '9:21'] as const;

/** Models that have an aspect ratio in place of a size. They are those without a mask as well. */
const asksRatio = (model: string): boolean => /kontext|ultra|nano-banana|imagen/.test(model);

function encode(call: TargetCall, base: string, connection: Connection): EncodedCall {
  const { n, moderation, outputFormat, seed } = call.parameters;
  const format = pngOrJpeg(outputFormat);
  const request = postJson(`${base}/${modelPath(call.model)}`, {
    prompt: call.prompt,
    ...sizeMembers(call, connection.size_as),
    num_images: n,
    seed,
    output_format: format,
    enable_safety_checker: moderation === 'low' ? false : undefined,
    ...pictureMembers(call, connection.image_key),
    ...call.unknown,
  });
  return { request, dropped: outputFormat === undefined || format !== undefined ? [] : ['output_format'] };
}

function sizeMembers(call: TargetCall, sizeAs: Connection['size_as']): WireMembers {
  // The caller has said it in the model's own terms.
  if ('image_size' in call.unknown || 'aspect_ratio' in call.unknown) return {};
  const { size = 'auto' } = call.parameters;
  // Unasked, most models paint a landscape; those that edit keep to the shape of the picture.
  const square = call.operation === 'generation' && size === 'auto';
  const usual = asksRatio(call.model) ? 'aspect_ratio' : 'image_size';
  if ((sizeAs ?? usual) === 'aspect_ratio') return { aspect_ratio: square ? '1:1' : nearestRatio(size, aspectRatios) };
  const pixels = fittingPixels(size, { multipleOf: 16, least: 256, most: 4096 });
  return { image_size: square ? 'square_hd' : pixels && { ...pixels } };
}

function pictureMembers({ images, mask }: TargetCall, imageKey: Connection['image_key']): WireMembers {
  const pictures = images.map(dataUri);
  return {
    [imageKey]: imageKey === 'image_urls' && pictures.length > 0 ? pictures : pictures[0],
    mask_url: mask === undefined ? undefined : dataUri(mask),
  };
}

async function decode(reply: UpstreamReply, call: TargetCall): Promise<ImageAnswer> {
  const told = await readObject(reply);
  const flags = list(told['has_nsfw_concepts']);
  const prompt = text(told['prompt']);
  const revisedPrompt = prompt === call.prompt ? undefined : prompt;
  // A picture that was flagged is there, but black.
  const pictures = [...list(told['images']), told['image']].map(object).filter((_, index) => flags[index] !== true);
  const images = pictures.map(({ url }) => {
    const payload = linkPicture(url);
    return payload && { payload, revisedPrompt };
  });
  if (flags.includes(true) && images.every((image) => image === undefined)) throw refusal(undefined);
  const sides = [pictures[0]?.['width'], pictures[0]?.['height']].map(wholeNumber);
  return answerOf(images, { effective: { size: sides.includes(undefined) ? undefined : sides.join('x') } });
}

/** Failures of fal's own, whose status may be one for faults of the caller's. */
const failureTypes: ReadonlySet<unknown> = new Set([
  'downstream_service_error',
  'generation_timeout',
  'no_media_generated',
]);

const fault = faultReader((document, reply) => {
  const words = commonWords(document);
  const code = words.code ?? reply.headers['x-fal-error-type'];
  const types = list(object(document)['detail']).map((detail) => object(detail)['type']);
  return {
    ...words,
    code,
    refusal: [code, ...types].includes(refusalType),
    about: failureTypes.has(code) ? 'failure' : undefined,
  };
});
