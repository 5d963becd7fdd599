import schema from '../../schemas/providers/recraft.schema.json' with { type: 'json' };
import type { RecraftConfig } from '../generated/providers/recraft.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import {
  answerOf,
  base64Picture,
  linkPicture,
  list,
  nanoUsd,
  number,
  object,
  readObject,
  secondsOf,
  text,
} from './answers.ts';
import { commonWords, faultReader } from './faults.ts';
import { bearer } from './openai-dialect.ts';
import { defineProvider, type EncodedCall, type Provider } from './provider.ts';
import { capabilities, sizesOf, tools } from './recraft-models.ts';
import { dataUri, postJson, withoutSlash, type WireMembers } from './requests.ts';
import { nearestSize } from './sizes.ts';

/**
 * Recraft. Its tools, which know no models, are called by names of our own in place of a model.
 * Source: recraft.ai/docs, API reference: "Endpoints", "Appendix", "Image inputs and results" (November 2026).
 */
export const recraft = defineProvider({
  name: 'recraft',
  aliases: [],
  schema,
  tokenOptional: false,
  models: [
    { name: 'recraftv4_1' },
    { name: 'recraftv4_1_*' },
    { name: 'recraftv4' },
    { name: 'recraftv4_*' },
    { name: 'recraftv3' },
    { name: 'recraftv3_vector' },
    { name: 'recraftv2' },
    { name: 'recraftv2_vector' },
    { name: 'remove-background' },
    { name: 'crisp-upscale' },
    { name: 'creative-upscale' },
    { name: 'vectorize' },
    { name: 'erase-region' },
    { name: 'replace-background' },
  ],
  create({ connection }: RecraftConfig): Provider {
    const base = `${withoutSlash(connection.base_url)}/images`;
    return {
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities,
      encode: (call) => encode(call, base, connection.strength),
      authorise: bearer,
      decode,
      fault,
    };
  },
});

function encode(call: TargetCall, base: string, strength: number): EncodedCall {
  const { model, operation, parameters, mask, responseFormat, unknown } = call;
  // A style of the caller's own making excludes one by name.
  const style = 'style_id' in unknown ? undefined : styleOf(parameters.style);
  const common: WireMembers = {
    prompt: call.prompt,
    response_format: responseFormat === 'b64_ephemeral' ? 'b64_json' : responseFormat,
  };
  const made: WireMembers = { ...common, model, n: parameters.n, style };
  const dropped = style === undefined && parameters.style !== undefined ? ['style'] : [];

  if (operation === 'generation') {
    const size = nearestSize(parameters.size, sizesOf(model));
    const members = { ...made, size, random_seed: parameters.seed, ...unknown };
    return { request: postJson(`${base}/generations`, members), dropped };
  }
  // Unlike the multipart form, the JSON form takes links and nested members.
  const pictures: WireMembers = {
    image_url: call.images.map(dataUri)[0],
    mask_url: mask === undefined ? undefined : dataUri(mask),
  };
  const named = tools.get(model);
  if (named !== undefined) {
    const prompt = named.edition.promptOptional === true ? undefined : call.prompt;
    const request = postJson(`${base}/${named.path}`, { ...common, prompt, ...pictures, ...unknown });
    return { request, dropped: prompt === call.prompt ? [] : ['prompt'] };
  }
  return mask === undefined
    ? { request: postJson(`${base}/imageToImage`, { ...made, strength, ...pictures, ...unknown }), dropped }
    : { request: postJson(`${base}/inpaint`, { ...made, ...pictures, ...unknown }), dropped };
}

/** The list of styles is long and open. Of OpenAI's two there is one. */
function styleOf(style: string | undefined): string | undefined {
  if (style === 'vivid') return undefined;
  return style === 'natural' ? 'realistic_image' : style;
}

async function decode(reply: UpstreamReply): Promise<ImageAnswer> {
  const told = await readObject(reply);
  const credits = number(told['credits']);
  // The tools answer with one `image` in place of `data`.
  const images = [...list(told['data']), told['image']].map(object).map((picture) => {
    const payload = base64Picture(picture['b64_json']) ?? linkPicture(picture['url']);
    return payload && { payload, revisedPrompt: text(picture['revised_prompt']) };
  });
  return answerOf(images, {
    created: secondsOf(told['created']),
    // 1000 credits are a dollar.
    costNanoUsd: credits === undefined ? undefined : nanoUsd(credits / 1000),
  });
}

/** Recraft documents no codes. These are the words of refusals and of accounts without units that clients have seen. */
const fault = faultReader((document) => {
  const words = commonWords(document);
  const said = `${words.code ?? ''} ${words.message ?? ''}`;
  return {
    ...words,
    refusal: /moderat|nsfw|content policy|inappropriate|sensitive content/i.test(said),
    about: /(not[ _]enough|insufficient)[ _](api[ _])?(credits|units)/i.test(said) ? 'credential' : undefined,
  };
});
