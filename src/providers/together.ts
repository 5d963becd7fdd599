import schema from '../../schemas/providers/together.schema.json' with { type: 'json' };
import type { TogetherConfig } from '../generated/providers/together.ts';
import type { ResponseFormat, TargetCall } from '../pipeline/call.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { object, text } from './answers.ts';
import { commonWords, type FaultWords } from './faults.ts';
import { createOpenAiDialect, imagesPath } from './openai-dialect.ts';
import { defineProvider, type EncodedCall, type OperationCapabilities, type Provider } from './provider.ts';
import { dataUri, postJson, withoutSlash, type WireMembers } from './requests.ts';
import { fittingPixels } from './sizes.ts';
import { pngOrJpeg } from './picture-formats.ts';

/**
 * Together AI. It answers in OpenAI's form but has words of its own for what to draw, and edits where it generates.
 * Source: docs.together.ai, "Create image", "Image generation parameters" and "Reference images".
 */
export const together = defineProvider({
  name: 'together',
  aliases: [],
  schema,
  tokenOptional: false,
  models: [
    { name: 'black-forest-labs/FLUX.1-schnell' },
    { name: 'black-forest-labs/FLUX.1.1-pro' },
    { name: 'black-forest-labs/FLUX.1-kontext-pro' },
    { name: 'black-forest-labs/FLUX.1-kontext-max' },
    { name: 'black-forest-labs/FLUX.2-dev' },
    { name: 'black-forest-labs/FLUX.2-flex' },
    { name: 'black-forest-labs/FLUX.2-pro' },
    { name: 'black-forest-labs/FLUX.2-max' },
  ],
  create({ connection }: TogetherConfig): Provider {
    const base = withoutSlash(connection.base_url);
    const url = `${base}${imagesPath('generation')}`;
    const codec = createOpenAiDialect({ url: () => url, words: togetherWords });
    return {
      ...codec,
      encode: (call) => encode(call, url),
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities(model, operation) {
        if (operation === 'generation') return generation;
        if (isTextOnly(model)) return undefined;
        return takesOnePicture(model) ? editionOfOne : edition;
      },
    };
  },
});

const isTextOnly = (model: string): boolean => /schnell|FLUX\.1\.1/i.test(model);
const takesOnePicture = (model: string): boolean => /kontext/i.test(model);
/** These know `reference_images` only, or take one picture there just as well. */
const takesReferences = (model: string): boolean => /FLUX\.2|^google\//i.test(model);

const generation: OperationCapabilities = {
  maxImages: 4,
  nativeForm: 'url',
  parameters: {
    n: 'native',
    size: 'mapped',
    quality: 'mapped',
    moderation: 'mapped',
    outputFormat: 'mapped',
    seed: 'native',
  },
  further: ['negative_prompt', 'guidance_scale', 'steps', 'width', 'height', 'aspect_ratio', 'image_loras'],
};
const edition: OperationCapabilities = { ...generation, inputs: { max: 8, as: 'bytes' } };
const editionOfOne: OperationCapabilities = { ...edition, inputs: { max: 1, as: 'bytes' } };

const formats: Readonly<Record<ResponseFormat, string>> = { url: 'url', b64_json: 'base64', b64_ephemeral: 'base64' };

function encode(call: TargetCall, url: string): EncodedCall {
  const { n, size, quality, moderation, outputFormat, seed } = call.parameters;
  const format = pngOrJpeg(outputFormat);
  const isKnownFormat = outputFormat === undefined || format !== undefined;
  const steps = stepsOf(quality, call.model);
  const members: WireMembers = {
    model: call.model,
    prompt: call.prompt,
    n,
    // [m] multiples of 8 or of 16, by the model.
    ...('aspect_ratio' in call.unknown ? {} : fittingPixels(size, { multipleOf: 16, least: 64, most: 4096 })),
    ...(steps === undefined ? {} : { steps }),
    seed,
    output_format: format,
    disable_safety_checker: moderation === 'low' ? true : undefined,
    response_format: call.responseFormat === undefined ? undefined : formats[call.responseFormat],
    ...picturesOf(call),
    ...call.unknown,
  };
  const isLost = steps === undefined && quality !== undefined && !ordinary.has(quality);
  const dropped = [...(isLost ? ['quality'] : []), ...(isKnownFormat ? [] : ['output_format'])];
  return { request: postJson(url, members), dropped };
}

/** Steps by quality. */
type StepTable = ReadonlyMap<string, number>;

/** Qualities for which the model does what it does anyway. */
const ordinary: ReadonlySet<string> = new Set(['auto', 'standard']);

/** A model distilled for few steps gains nothing from more, and the free one answers 400 to more than four. */
const fewSteps: StepTable = new Map([
  ['low', 2],
  ['medium', 4],
  ['high', 4],
  ['hd', 4],
  ['xhigh', 4],
  ['max', 4],
]);
const manySteps: StepTable = new Map([
  ['low', 12],
  ['medium', 28],
  ['high', 40],
  ['hd', 40],
  ['xhigh', 50],
  ['max', 50],
]);

function stepsOf(quality: string | undefined, model: string): number | undefined {
  if (quality === undefined) return undefined;
  return (/schnell/i.test(model) ? fewSteps : manySteps).get(quality);
}

function picturesOf({ images, model }: TargetCall): WireMembers {
  const [first] = images;
  if (first === undefined) return {};
  if (images.length === 1 && !takesReferences(model)) return { image_url: dataUri(first) };
  return { reference_images: images.map(dataUri) };
}

/** [?] Which type a refusal of the content has is not documented; `nsfw` and moderation have been seen. */
function togetherWords(document: unknown, { status }: UpstreamReply): FaultWords {
  const words = commonWords(document);
  const type = text(object(object(document)['error'])['type']);
  const said = [type, words.code, words.message].join(' ');
  return { ...words, refusal: (status === 400 || status === 422) && /nsfw|moderat|content[_ ]policy/i.test(said) };
}
