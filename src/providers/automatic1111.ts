import schema from '../../schemas/providers/automatic1111.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import type { Automatic1111Config } from '../generated/providers/automatic1111.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { answerOf, base64Picture, list, object, readObject, text, wholeNumber, type Members } from './answers.ts';
import { commonWords, faultReader, type FaultWords } from './faults.ts';
import { defineProvider, type EncodedCall, type OperationCapabilities, type Provider } from './provider.ts';
import { bareBase64, postJson, withoutSlash } from './requests.ts';
import { fittingPixels } from './sizes.ts';

/**
 * AUTOMATIC1111's web UI for Stable Diffusion, and Forge, which kept its API. Source: AUTOMATIC1111/stable-diffusion-webui,
 * modules/api/api.py and modules/processing.py. It needs to be started with `--api`.
 */
export const automatic1111 = defineProvider({
  name: 'automatic1111',
  aliases: ['forge'],
  schema,
  tokenOptional: true,
  models: [],
  create({ connection }: Automatic1111Config): Provider {
    const base = withoutSlash(connection.base_url);
    return {
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities: (_model, operation) => (operation === 'generation' ? generation : edition),
      encode: (call) => encode(call, `${base}/sdapi/v1`),
      authorise: (token) =>
        token === undefined ? {} : { authorization: `Basic ${Buffer.from(token.reveal()).toString('base64')}` },
      decode,
      fault,
    };
  },
});

/**
 * Members for both operations. `override_settings`, `script_name` and `alwayson_scripts` are not for callers: they reach
 * the server's settings and files.
 */
const further = [
  'negative_prompt',
  'steps',
  'cfg_scale',
  'sampler_name',
  'scheduler',
  'subseed',
  'subseed_strength',
  'restore_faces',
  'tiling',
  'denoising_strength',
];
const generation: OperationCapabilities = {
  // The web UI's own limit. They are made at once, in one batch.
  maxImages: 8,
  nativeForm: 'b64_json',
  parameters: { n: 'mapped', size: 'mapped', quality: 'mapped', style: 'mapped', seed: 'native' },
  further: [...further, 'enable_hr', 'hr_scale', 'hr_upscaler', 'hr_second_pass_steps'],
};
const edition: OperationCapabilities = {
  ...generation,
  further: [...further, 'resize_mode', 'mask_blur', 'inpainting_fill', 'inpaint_full_res', 'inpaint_full_res_padding'],
  inputs: { max: 1, as: 'bytes' },
  mask: 'white',
};

/** Latent diffusion works on blocks of eight. */
const pixelRules = { multipleOf: 8, least: 64, most: 2048 };

/** Steps of sampling; the API's own default is 50. */
const stepsOfQuality: ReadonlyMap<string | undefined, number | undefined> = new Map([
  [undefined, undefined],
  ['auto', undefined],
  ['low', 15],
  ['medium', 25],
  ['standard', 25],
  ['high', 50],
  ['hd', 50],
  ['xhigh', 75],
  ['max', 100],
]);

/** OpenAI's styles; all others are names of styles that the server may have, and passes over if it has not. */
const foreignStyles: ReadonlySet<string> = new Set(['vivid', 'natural']);

function encode(call: TargetCall, base: string): EncodedCall {
  const { images, mask, model, parameters, unknown } = call;
  const { n, size, quality, style, seed } = parameters;
  const [image] = images;
  const pixels = fittingPixels(size, pixelRules);
  const hasStyle = style !== undefined && !foreignStyles.has(style);
  const members = {
    prompt: call.prompt,
    width: pixels?.width,
    height: pixels?.height,
    batch_size: n,
    steps: stepsOfQuality.get(quality),
    styles: hasStyle ? [style] : undefined,
    seed,
    // Left loaded afterwards: to load the former one again takes as long as to make a picture.
    ...(model === 'default'
      ? {}
      : { override_settings: { sd_model_checkpoint: model }, override_settings_restore_afterwards: false }),
    ...(image === undefined ? {} : { init_images: [bareBase64(image)] }),
    ...(mask === undefined ? {} : { mask: bareBase64(mask) }),
    ...unknown,
  };
  const dropped = [
    ...(stepsOfQuality.has(quality) ? [] : ['quality']),
    ...(style === undefined || hasStyle ? [] : ['style']),
  ];
  return { request: postJson(`${base}/${image === undefined ? 'txt2img' : 'img2img'}`, members), dropped };
}

async function decode(reply: UpstreamReply, { parameters: { n = 1 } }: TargetCall): Promise<ImageAnswer> {
  const document = await readObject(reply);
  const pictures = list(document['images']).map(base64Picture);
  const info = readInfo(document['info']);
  // A sheet of all pictures may come before them, and what scripts made after them.
  const sheets = wholeNumber(info['index_of_first_image']) ?? (n > 1 && pictures.length > n ? 1 : 0);
  const [width, height] = [wholeNumber(info['width']), wholeNumber(info['height'])];
  const size = width === undefined || height === undefined ? undefined : `${width}x${height}`;
  return answerOf(pictures.slice(sheets, sheets + n), { effective: { size } });
}

/** What was made, as JSON within a string. */
function readInfo(value: unknown): Members {
  try {
    return object(JSON.parse(text(value) ?? ''));
  } catch {
    return {}; // It only tells more about the pictures.
  }
}

const read = faultReader((document) => {
  const { detail, error, errors } = object(document);
  const words = commonWords({ detail });
  // Exceptions have their words in `errors`, and their class in `error`.
  const message = words.message ?? text(errors) ?? text(error);
  return { ...words, message, refusal: false, about: aboutOf(message) };
});

function aboutOf(message: string | undefined): FaultWords['about'] {
  if (/^unknown checkpoint/i.test(message ?? '')) return 'model';
  // A server that was started without `--api` knows none of its paths.
  return message === 'Not Found' ? 'failure' : undefined;
}

/** What is wrong with a request does not always have the status for it. */
async function fault(reply: UpstreamReply): Promise<GatewayError> {
  const error = await read(reply);
  const { cause } = error;
  if (cause instanceof Error && /^invalid encoded image/i.test(cause.message)) {
    return new GatewayError('invalid_image', cause.message, { param: 'image' });
  }
  // A sampler, an upscaler or a script: paths have no model in them.
  const isUnknownName = reply.status === 404 && error.code === 'model_not_found';
  return isUnknownName ? new GatewayError('invalid_value', error.message) : error;
}
