import schema from '../../schemas/providers/openrouter.schema.json' with { type: 'json' };
import type { GatewayError } from '../errors.ts';
import type { OpenrouterConfig } from '../generated/providers/openrouter.ts';
import { isJsonObject } from '../json.ts';
import type { ImageAnswer, ImageUsage } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { answerOf, list, nanoUsd, object, readObject, secondsOf, text, wholeNumber, type Members } from './answers.ts';
import { completeBase } from './base-url.ts';
import { commonWords, faultFrom, faultReader, type FaultWords } from './faults.ts';
import { bearer } from './openai-dialect.ts';
import { chatApi } from './openrouter-chat.ts';
import { imagesApi } from './openrouter-images.ts';
import { defineProvider, type Provider } from './provider.ts';
import { postJson } from './requests.ts';

/** OpenRouter, by either of its interfaces. Source: openrouter.ai/docs, "Generate an image", "Image generation", "Errors". */
export const openrouter = defineProvider({
  name: 'openrouter',
  aliases: [],
  schema,
  tokenOptional: false,
  models: [
    { name: 'google/gemini-3.1-flash-image' },
    { name: 'google/gemini-3-pro-image' },
    { name: 'openai/gpt-image-2' },
    { name: 'black-forest-labs/flux.2-pro' },
    { name: 'bytedance-seed/seedream-4.5' },
    { name: 'google/gemini-2.5-flash-image', retired: '2026-10-02', successor: 'google/gemini-3.1-flash-image' },
  ],
  create({ connection }: OpenrouterConfig): Provider {
    const { referer, title } = connection;
    const base = completeBase(connection.base_url, '/api/v1');
    const api = connection.api === 'images' ? imagesApi : chatApi;
    const headers = {
      ...(referer === undefined ? {} : { 'http-referer': referer }),
      ...(title === undefined ? {} : { 'x-title': title }),
    };
    return {
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities: (_model, operation) => api.operations[operation],
      encode(call) {
        const { members, dropped } = api.members(call);
        return { request: postJson(`${base}${api.path}`, members, headers), dropped };
      },
      authorise: bearer,
      async decode(reply): Promise<ImageAnswer> {
        const document = await readObject(reply);
        const fault = faultWithin(document, reply);
        if (fault !== undefined) throw fault;
        const usage = object(document['usage']);
        return answerOf(api.pictures(document), {
          created: secondsOf(document['created']),
          usage: usageOf(usage),
          // With a key of one's own at the vendor, this is OpenRouter's fee alone.
          costNanoUsd: usage['is_byok'] === true ? undefined : nanoUsd(usage['cost']),
        });
      },
      fault: faultReader(openrouterWords),
    };
  },
});

function usageOf(usage: Members): ImageUsage | undefined {
  const inputTokens = wholeNumber(usage['prompt_tokens']);
  const outputTokens = wholeNumber(usage['completion_tokens']);
  if (inputTokens === undefined || outputTokens === undefined) return undefined;
  return { inputTokens, outputTokens, totalTokens: wholeNumber(usage['total_tokens']) ?? inputTokens + outputTokens };
}

/** An error may also come as a 200, of the whole or of its only choice. Its code is the status that it should have had. */
function faultWithin(document: Members, reply: UpstreamReply): GatewayError | undefined {
  const error = document['error'] ?? object(list(document['choices'])[0])['error'];
  if (!isJsonObject(error)) return undefined;
  const code = wholeNumber(error['code']);
  const status = code !== undefined && code >= 400 && code < 600 ? code : 502;
  const meant = { ...reply, status };
  return faultFrom(meant, openrouterWords({ error }, meant));
}

/**
 * A 403 is a refusal by the moderation, which gives its reasons in `metadata`; keys that have used up their limit get one
 * as well. The refusals of the vendors behind it come as their own document, in `metadata.raw`.
 */
function openrouterWords(document: unknown, { status }: UpstreamReply): FaultWords {
  const words = commonWords(document);
  const metadata = object(object(object(document)['error'])['metadata']);
  const isFlagged = list(metadata['reasons']).length > 0 || text(metadata['flagged_input']) !== undefined;
  const isRefusedBehind = /moderation_blocked|content_policy_violation/.test(text(metadata['raw']) ?? '');
  const isForbidden = status === 403 && words.message !== undefined && !/\bkey\b/i.test(words.message);
  return { ...words, refusal: isFlagged || isRefusedBehind || isForbidden };
}
