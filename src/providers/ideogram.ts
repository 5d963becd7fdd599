import schema from '../../schemas/providers/ideogram.schema.json' with { type: 'json' };
import type { IdeogramConfig } from '../generated/providers/ideogram.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply, WireRequest } from '../pipeline/upstream.ts';
import { answerOf, linkPicture, list, object, readObject, refusal, secondsOf, text } from './answers.ts';
import { commonWords, faultReader } from './faults.ts';
import { familyCapabilities, familyOf, speeds, styles, v3Ratios, v3Sizes, v4Sizes } from './ideogram-models.ts';
import { defineProvider, type EncodedCall, type Provider } from './provider.ts';
import { fieldParts, filePart, modelSegment, postJson, present, withoutSlash, type WireMembers } from './requests.ts';
import { askedSize, nearestRatio, nearestSize } from './sizes.ts';

/**
 * Ideogram 3 and 4 by their own endpoints, and all other models by the API that names the model in the path.
 * Source: developer.ideogram.ai, API reference (November 2026).
 */
export const ideogram = defineProvider({
  name: 'ideogram',
  aliases: [],
  schema,
  tokenOptional: false,
  models: [{ name: 'ideogram-v4' }, { name: 'ideogram-v3' }, { name: 'ideogram-4-5' }],
  create({ connection }: IdeogramConfig): Provider {
    const base = withoutSlash(connection.base_url);
    return {
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities: (model, operation) => familyCapabilities[familyOf(model)][operation],
      encode: (call) => encode(call, base),
      authorise: (token) => (token === undefined ? {} : { 'api-key': token.reveal() }),
      decode,
      // The prompt or the picture has failed the safety checks: there is no code for it but the status.
      fault: faultReader((document, reply) => ({ ...commonWords(document), refusal: reply.status === 422 })),
    };
  },
});

function encode(call: TargetCall, base: string): EncodedCall {
  const { prompt, operation, model, mask, unknown } = call;
  const { n, size, quality = 'auto', style, seed } = call.parameters;
  const family = familyOf(model);
  if (family === 'others') {
    const members = { prompt, num_images: n, seed, ...unknown };
    return { request: postJson(`${base}/v2/image/generate/${modelSegment(model)}`, members), dropped: [] };
  }
  const speed = speeds.get(quality);
  const common = { rendering_speed: speed, ...unknown };
  const droppedQuality = speed === undefined && quality !== 'auto' ? ['quality'] : [];
  if (family === 'v4') {
    const words: WireMembers = 'json_prompt' in unknown ? {} : { text_prompt: prompt };
    const members = { ...words, resolution: nearestSize(size, v4Sizes), ...common };
    const path = operation === 'generation' ? 'generate' : 'remix';
    return { request: form(`${base}/v1/ideogram-v4/${path}`, members, call), dropped: droppedQuality };
  }

  // Style codes exclude a style by name.
  const styleType = 'style_codes' in unknown ? undefined : styles.get(style?.toLowerCase() ?? '');
  const members = {
    prompt,
    num_images: n,
    seed,
    ...(mask === undefined ? v3Size(call) : {}),
    style_type: styleType,
    ...common,
  };
  // `edit` is what `inpaint` was called at first; both are served.
  const path = operation === 'generation' ? 'generate' : mask === undefined ? 'remix' : 'edit';
  const dropped = [
    // What is painted within a mask keeps the size of the picture.
    ...(mask !== undefined && askedSize(size) !== undefined ? ['size'] : []),
    ...droppedQuality,
    ...(style !== undefined && styleType === undefined ? ['style'] : []),
  ];
  return { request: form(`${base}/v1/ideogram-v3/${path}`, members, call), dropped };
}

function v3Size({ parameters: { size }, unknown }: TargetCall): WireMembers {
  // The caller has said it in the model's own terms. The two exclude each other.
  if ('resolution' in unknown || 'aspect_ratio' in unknown) return {};
  const listed = v3Sizes.find((one) => one === size);
  return listed === undefined ? { aspect_ratio: nearestRatio(size, v3Ratios) } : { resolution: listed };
}

/** A form with the pictures of the call. A list is a field for each of its items, named `style_codes[]`. */
function form(url: string, members: WireMembers, { images, mask }: TargetCall): WireRequest {
  const fields = Object.entries(present(members)).flatMap(([name, value]) =>
    Array.isArray(value) ? value.flatMap((item) => fieldParts({ [`${name}[]`]: item })) : fieldParts({ [name]: value }),
  );
  const files = images.map((image) => filePart('image', 'image', image));
  const parts = [...fields, ...files, ...(mask === undefined ? [] : [filePart('mask', 'mask', mask)])];
  return { method: 'POST', url, headers: { accept: 'application/json' }, body: { kind: 'multipart', parts } };
}

async function decode(reply: UpstreamReply): Promise<ImageAnswer> {
  const told = await readObject(reply);
  const pictures = list(told['data']).map(object);
  const safe = pictures.filter((picture) => picture['is_image_safe'] !== false);
  // A picture that failed the checks is a member of a 200, without its link.
  if (safe.length === 0 && pictures.length > 0) throw refusal(undefined);
  const images = safe.map(({ url, prompt }) => {
    const payload = linkPicture(url);
    return payload && { payload, revisedPrompt: text(prompt) };
  });
  return answerOf(images, {
    created: secondsOf(told['created']),
    effective: { size: text(safe[0]?.['resolution']) },
  });
}
