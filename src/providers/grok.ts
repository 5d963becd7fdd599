import schema from '../../schemas/providers/grok.schema.json' with { type: 'json' };
import type { GrokConfig } from '../generated/providers/grok.ts';
import type { InputImage, Operation, TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer, ResultImage } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import {
  answerOf,
  base64Picture,
  linkPicture,
  list,
  object,
  readObject,
  refusal,
  secondsOf,
  text,
  wholeNumber,
} from './answers.ts';
import { completeBase } from './base-url.ts';
import { commonWords, faultReader, type FaultWords } from './faults.ts';
import { bearer } from './openai-dialect.ts';
import {
  defineProvider,
  type EncodedCall,
  type OperationCapabilities,
  type Provider,
  type SupportedParameters,
} from './provider.ts';
import { qualityTiers } from './quality-tiers.ts';
import { dataUri, postJson, type WireMembers } from './requests.ts';
import { longestEdge, nearestRatio } from './sizes.ts';

/** xAI. Source: docs.x.ai, "Image generation"; close to OpenAI's API, but edits are JSON and `size` is refused. */
export const grok = defineProvider({
  name: 'grok',
  aliases: ['x-ai'],
  schema,
  tokenOptional: false,
  models: [
    { name: 'grok-imagine-image-2.0' },
    { name: 'grok-imagine-image' },
    { name: 'grok-imagine-image-quality', retired: '2026-11-02', successor: 'grok-imagine-image-2.0' },
    { name: 'grok-2-image*', retired: '2026', successor: 'grok-imagine-image-2.0' },
  ],
  create({ connection }: GrokConfig): Provider {
    const base = completeBase(connection.base_url, '/v1');
    return {
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities: (model, operation) => (firstGeneration.has(model) ? withoutQuality : withQuality)[operation],
      encode: (call) => encode(call, base),
      authorise: bearer,
      decode,
      fault: faultReader(grokWords),
    };
  },
});

const operations = (parameters: SupportedParameters): Readonly<Record<Operation, OperationCapabilities>> => {
  const generation: OperationCapabilities = {
    maxImages: 10,
    nativeForm: 'url',
    parameters,
    further: ['aspect_ratio', 'resolution'],
  };
  return { generation, edition: { ...generation, inputs: { max: 3, as: 'bytes' } } };
};
const withoutQuality = operations({ n: 'native', size: 'mapped', user: 'native' });
const withQuality = operations({ n: 'native', size: 'mapped', quality: 'mapped', user: 'native' });

/** `quality` came with 2.0, which models that are not known are taken for. */
const firstGeneration: ReadonlySet<string> = new Set(['grok-imagine-image', 'grok-imagine-image-quality']);

const ratios = ['1:1', '3:4', '4:3', '9:16', '16:9', '2:3', '3:2', '1:2', '2:1', '9:19.5', '19.5:9', '9:20', '20:9'];

function encode(call: TargetCall, base: string): EncodedCall {
  const { n, size, quality, user } = call.parameters;
  const tier = qualityTiers.get(quality);
  const members = {
    model: call.model,
    prompt: call.prompt,
    ...pictureMembers(call.images),
    n,
    aspect_ratio: nearestRatio(size, ratios),
    resolution: resolutionOf(longestEdge(size)),
    // `high` is in xAI’s enum, but no model is known to have it.
    quality: tier === 'high' ? 'medium' : tier,
    response_format: call.responseFormat === 'b64_ephemeral' ? 'b64_json' : call.responseFormat,
    user,
    ...call.unknown,
  };
  const path = call.operation === 'generation' ? 'generations' : 'edits';
  return {
    request: postJson(`${base}/images/${path}`, members),
    dropped: qualityTiers.has(quality) ? [] : ['quality'],
  };
}

/** Spelt small: anything else is a 422. */
function resolutionOf(edge: number | undefined): string | undefined {
  if (edge === undefined) return undefined;
  return edge > 1536 ? '2k' : '1k';
}

/** One picture is `image`, several are `images`; never both. */
function pictureMembers(images: readonly InputImage[]): WireMembers {
  const references = images.map((image) => ({ url: dataUri(image), type: 'image_url' }));
  const [first] = references;
  return references.length > 1 ? { images: references } : { image: first };
}

/** Moderation says nothing: the answer is a 200 in which the picture, or all of them, are missing. */
async function decode(reply: UpstreamReply): Promise<ImageAnswer> {
  const document = await readObject(reply);
  const items = list(document['data']).map(object);
  const images = items.flatMap((item): ResultImage[] => {
    const payload = base64Picture(item['b64_json']) ?? linkPicture(item['url']);
    return payload === undefined ? [] : [{ payload, revisedPrompt: text(item['revised_prompt']) }];
  });
  const isEmptyList = Array.isArray(document['data']) && items.length === 0;
  const isModerated = isEmptyList || items.some((item) => item['respect_moderation'] === false);
  if (images.length === 0 && isModerated) throw refusal(undefined);

  // One tick is 1e-10 dollars.
  const ticks = wholeNumber(object(document['usage'])['cost_in_usd_ticks']);
  const costNanoUsd = ticks === undefined ? undefined : Math.round(ticks / 10);
  return answerOf(images, { created: secondsOf(document['created']), costNanoUsd });
}

/** A 403 with `Content violates usage guidelines` is a refusal: https://github.com/UKGovernmentBEIS/inspect_ai/pull/2267. */
const refusalWords = /content moderation|usage guidelines|safety_check/i;
/** A key that is not valid is a 400: https://github.com/i-am-bee/beeai-framework/issues/447, with the blanks as they are there. */
const keyWords = /incorrect(?: |%20)api(?: |%20)key/i;

function grokWords(document: unknown, { status }: UpstreamReply): FaultWords {
  const { message, code, param } = commonWords(document);
  const says = (words: RegExp): boolean => words.test(message ?? '');
  return {
    // Refusals name our team and our key.
    message: message?.replaceAll(/\b(?:Team|API key ID): [^,]*(?:, |$)/g, ''),
    // In the form `{code, error}` the code is a sentence.
    code: code?.includes(' ') === true ? undefined : code,
    param,
    refusal: [400, 403, 422].includes(status) && says(refusalWords),
    about: aboutOf(status, says),
  };
}

/** "We're experiencing high demand" is not our own limit: another key would not help, another provider would. */
function aboutOf(status: number, says: (words: RegExp) => boolean): FaultWords['about'] {
  if (status === 400 && says(keyWords)) return 'credential';
  return status === 429 && says(/high demand/i) ? 'failure' : undefined;
}
