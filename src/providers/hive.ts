import schema from '../../schemas/providers/hive.schema.json' with { type: 'json' };
import type { HiveConfig } from '../generated/providers/hive.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { answerOf, linkPicture, list, object, readObject, refusal, text } from './answers.ts';
import { completeBase } from './base-url.ts';
import { commonWords, faultReader, type FaultWords } from './faults.ts';
import { bearer } from './openai-dialect.ts';
import { pngOrJpeg } from './picture-formats.ts';
import { defineProvider, type EncodedCall, type OperationCapabilities, type Provider } from './provider.ts';
import { modelPath, postJson, present } from './requests.ts';
import { fittingPixels } from './sizes.ts';

/** Hive's V3 API. Source: docs.thehive.ai, "Image Generation APIs". Much of its answers is not documented. */
export const hive = defineProvider({
  name: 'hive',
  aliases: [],
  schema,
  tokenOptional: false,
  models: [
    { name: 'black-forest-labs/flux-schnell' },
    { name: 'hive/flux-schnell-enhanced' },
    { name: 'stabilityai/sdxl' },
    { name: 'hive/sdxl-enhanced' },
  ],
  create({ connection }: HiveConfig): Provider {
    const base = completeBase(connection.base_url, '/api/v3');
    return {
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities(model, operation) {
        if (operation === 'edition') return undefined;
        return model.includes('flux') ? flux : sdxl;
      },
      encode: (call) => encode(call, `${base}/${pathOf(call.model)}`, connection.body),
      authorise: bearer,
      decode,
      fault: faultReader(hiveWords),
    };
  },
});

const flux: OperationCapabilities = {
  // The documentation of V2 says six; nothing is said of V3.
  maxImages: 4,
  nativeForm: 'url',
  parameters: { n: 'mapped', size: 'mapped', outputFormat: 'mapped', outputCompression: 'mapped', seed: 'native' },
  further: ['num_inference_steps', 'image_size'],
};
const sdxl: OperationCapabilities = {
  ...flux,
  further: ['num_inference_steps', 'image_size', 'negative_prompt', 'guidance_scale'],
};

/** Not documented either: what the models behind it can do. */
const pixelRules = { multipleOf: 16, least: 256, most: 2048 };

/**
 * The model is the path. Hive's own ones lose their `hive/` when callers put the provider's name before the model, so a
 * model without a vendor is Hive's.
 * @throws GatewayError model_not_found for a name that would lead elsewhere
 */
function pathOf(model: string): string {
  return modelPath(model.includes('/') ? model : `hive/${model}`);
}

function encode(call: TargetCall, url: string, form: HiveConfig['connection']['body']): EncodedCall {
  const { n, size, outputFormat, outputCompression, seed } = call.parameters;
  const format = pngOrJpeg(outputFormat);
  const pixels = fittingPixels(size, pixelRules);
  const fields = present({
    prompt: call.prompt,
    image_size: pixels === undefined ? undefined : { width: pixels.width, height: pixels.height },
    num_images: n,
    seed,
    output_format: format,
    output_quality: outputCompression,
    ...call.unknown,
  });
  return {
    request: postJson(url, form === 'wrapped' ? { input: fields } : fields),
    dropped: outputFormat === undefined || format !== undefined ? [] : ['output_format'],
  };
}

/** How a refusal looks is not documented. A picture that was withheld has no address. */
async function decode(reply: UpstreamReply): Promise<ImageAnswer> {
  const document = await readObject(reply);
  const items = list(document['output']).map(object);
  const pictures = items.map((item) => linkPicture(item['url'])).filter((picture) => picture !== undefined);
  if (items.length > 0 && pictures.length === 0) throw refusal(text(items[0]?.['message']));
  return answerOf(pictures);
}

function hiveWords(document: unknown, { status }: UpstreamReply): FaultWords {
  const words = commonWords(document);
  const message = words.message ?? text(document) ?? anyText(document);
  return {
    ...words,
    message,
    refusal: [400, 422].includes(status) && /moderat|flagged|prohibited|nsfw|content policy/i.test(message ?? ''),
    about: aboutOf(status, message ?? ''),
  };
}

function aboutOf(status: number, message: string): FaultWords['about'] {
  if (status === 405) return 'limit';
  return status === 403 && /cannot be accessed via api/i.test(message) ? 'model' : undefined;
}

/** Where the vendor puts its words is not documented, so any text will do. */
function anyText(document: unknown): string | undefined {
  return Object.values(object(document))
    .map(text)
    .find((words) => words !== undefined);
}
