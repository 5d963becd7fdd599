/** OpenRouter's older way to pictures: `POST /chat/completions`. Source: openrouter.ai/docs, "Image generation". */
import { invalidAnswer, linkPicture, list, object, refusal, text } from './answers.ts';
import { commonRatios, type OpenrouterApi } from './openrouter-api.ts';
import type { OperationCapabilities } from './provider.ts';
import { dataUri, present, type WireMembers } from './requests.ts';
import { longestEdge, nearestRatio } from './sizes.ts';

const generation: OperationCapabilities = {
  maxImages: 1,
  nativeForm: 'b64_json',
  parameters: { size: 'mapped' },
  further: ['image_config', 'modalities', 'provider'],
};

/** Models of other vendors give pictures only, and answer with an error to `text`: https://github.com/anomalyco/models.dev/pull/960. */
const speaks = /^(?:google|openai)\//;

export const chatApi: OpenrouterApi = {
  path: '/chat/completions',
  operations: { generation, edition: { ...generation, inputs: { max: 16, as: 'bytes' } } },
  members(call) {
    const words = { type: 'text', text: call.prompt ?? '' };
    const pictures = call.images.map((image) => ({ type: 'image_url', image_url: { url: dataUri(image) } }));
    const members = {
      model: call.model,
      modalities: speaks.test(call.model) ? ['image', 'text'] : ['image'],
      messages: [{ role: 'user', content: [words, ...pictures] }],
      image_config: imageConfig(call.parameters.size),
      ...call.unknown,
    };
    return { members, dropped: [] };
  },
  pictures(document) {
    const [choice] = list(document['choices']).map(object);
    if (choice === undefined) throw invalidAnswer('it has no choices');
    const message = object(choice['message']);
    const pictures = list(message['images']).map((image) => linkPicture(object(object(image)['image_url'])['url']));
    if (pictures.every((picture) => picture === undefined)) throw refusal(text(message['content']));
    return pictures;
  },
};

function imageConfig(size: string | undefined): WireMembers[string] {
  const ratio = nearestRatio(size, commonRatios);
  return ratio === undefined ? undefined : present({ aspect_ratio: ratio, image_size: tier(longestEdge(size)) });
}

function tier(edge: number | undefined): string | undefined {
  if (edge === undefined) return undefined;
  if (edge <= 1536) return '1K';
  return edge <= 3072 ? '2K' : '4K';
}
