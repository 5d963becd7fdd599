import schema from '../../schemas/providers/fireworks.schema.json' with { type: 'json' };
import type { FireworksConfig } from '../generated/providers/fireworks.ts';
import type { ImagePayload } from '../images/payload.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { ImageAnswer } from '../pipeline/result.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import {
  answerOf,
  base64Picture,
  invalidAnswer,
  keepReply,
  list,
  object,
  readDocument,
  refusal,
  text,
  type Members,
} from './answers.ts';
import { commonWords, faultReader } from './faults.ts';
import { fireworksFamily, isJob, withoutLike } from './fireworks-models.ts';
import { isReady, sampleOf } from './flux-jobs.ts';
import { bearer } from './openai-dialect.ts';
import { defineProvider, type Asked, type EncodedCall, type PollOutcome, type Provider } from './provider.ts';
import { modelPath, postJson, withoutSlash } from './requests.ts';

/** Fireworks AI. Source: docs.fireworks.ai, "Image generation" (2026). Models are named with or without their account. */
export const fireworks = defineProvider({
  name: 'fireworks',
  aliases: [],
  schema,
  tokenOptional: false,
  models: [
    { name: 'flux-1-schnell-fp8' },
    { name: 'flux-1-dev-fp8' },
    { name: 'flux-kontext-pro' },
    { name: 'flux-kontext-max' },
    { name: 'stable-diffusion-xl-1024-v1-0' },
    { name: 'playground-v2-5-1024px-aesthetic' },
    { name: 'SSD-1B' },
  ],
  create({ connection }: FireworksConfig): Provider {
    const base = withoutSlash(connection.base_url);
    return {
      origin: new URL(base).origin,
      speaksOpenAi: false,
      capabilities: (model, operation) => fireworksFamily(model)[operation],
      encode: (call) => encode(call, base),
      authorise: bearer,
      poll,
      decode,
      fault: faultReader((document, { status }) => {
        const words = commonWords(document);
        return {
          ...words,
          message: words.message ?? text(object(document)['error_message']),
          refusal: false,
          // An account that is suspended, or has reached what it may spend.
          about: status === 412 ? 'credential' : undefined,
        };
      }),
    };
  },
});

/** Models of Fireworks' own account go by their last name too. */
function fullName(model: string): string {
  return modelPath(model.startsWith('accounts/') ? model : `accounts/fireworks/models/${model}`);
}

function encode(call: TargetCall, base: string): EncodedCall {
  const { model, prompt, parameters, unknown } = call;
  const { path, members } = fireworksFamily(model);
  return {
    request: postJson(`${base}/${path(fullName(model))}`, { prompt, ...members(call), ...unknown }),
    dropped: withoutLike(parameters),
  };
}

async function poll(reply: UpstreamReply, { call, request, state }: Asked): Promise<PollOutcome> {
  if (!isJob(call.model)) return { kind: 'done', reply };
  const kept = await keepReply(reply);
  const document = object(await readDocument(kept.reply()));
  if (state !== undefined) {
    return isReady(document) ? { kind: 'done', reply: kept.reply() } : { kind: 'again', request, state };
  }
  const id = text(document['request_id']);
  if (id === undefined) throw invalidAnswer('it names no job');
  return { kind: 'again', request: postJson(`${request.url}/get_result`, { id }), state: id };
}

/** One object with all pictures, or a list with an object for each, as the older models have it. */
async function decode(reply: UpstreamReply): Promise<ImageAnswer> {
  const document = await readDocument(reply);
  const items = (Array.isArray(document) ? document : [document]).map(object);
  const made = items.filter(({ finishReason }) => finishReason !== 'CONTENT_FILTERED');
  if (items.length > 0 && made.length === 0) throw refusal(undefined);
  return answerOf(made.flatMap(picturesOf));
}

function picturesOf(item: Members): readonly (ImagePayload | undefined)[] {
  const { base64 } = item;
  return [...(Array.isArray(base64) ? list(base64) : [base64]).map(base64Picture), sampleOf(item)];
}
