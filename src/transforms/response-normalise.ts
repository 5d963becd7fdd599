import schema from '../../schemas/stages/response-normalise.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import type { ResponseNormaliseConfig } from '../generated/stages/response-normalise.ts';
import { payloadByteLength } from '../images/convert-payload.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { Attempt, ExchangeView } from '../pipeline/exchange.ts';
import type { ImagesResponse } from '../pipeline/response.ts';
import { completeResult, type ImageAnswer, type ImageResult } from '../pipeline/result.ts';
import type { Target } from '../pipeline/settings.ts';
import { defineStage, type PictureFetcher } from '../pipeline/stage.ts';
import { targetCall } from '../pipeline/target-call.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { addUsage } from '../pipeline/wire-usage.ts';
import { holdBack } from './pass-through.ts';
import { withBytes } from './result-picture.ts';

/**
 * The provider's answer → a canonical result → OpenAI's response. An answer that is in OpenAI's form already, and in the
 * form that the caller wants, is only looked at while it passes.
 */
export const responseNormalise = defineStage({
  name: 'response-normalise',
  schema,
  reads: ['call', 'target', 'reply'],
  writes: ['result', 'response'],
  create({ extras }: ResponseNormaliseConfig, env) {
    const canHost = env.catalogue.hosting.path !== undefined;

    return async function responseNormalise(exchange) {
      const { target, reply } = exchange;
      const call = targetCall(exchange.call, target);
      const response = responseTo(call, target, { extras, canHost });
      const attempts = exchange.attempts.slice(-reply.length);
      const [only] = reply;
      if (reply.length === 1 && only !== undefined && response.passThrough && target.entity.provider.speaksOpenAi) {
        const result = await resultOfOne(only, call, exchange, attempts, env.pictures);
        return { result, response };
      }
      const answers = await Promise.all(reply.map((one, index) => decoded(one, call, target, attempts[index])));
      return { result: completeResult(await inForm(merge(answers), call, exchange, env.pictures)), response };
    };
  },
});

type View = ExchangeView<'call' | 'target' | 'reply'>;

function responseTo(
  call: TargetCall,
  target: Target,
  { extras, canHost }: { readonly extras: ImagesResponse['extras']; readonly canHost: boolean },
): ImagesResponse {
  const form = call.responseFormat === 'b64_ephemeral' ? 'b64_json' : (call.responseFormat ?? ownForm(target, canHost));
  const framing = call.stream ? 'events' : 'json';
  const passThrough = framing === 'json' && extras.length === 0 && form !== 'url';
  return { kind: 'images', form, framing, extras, passThrough };
}

/** Where the caller does not say, pictures go out as they come: as links from a provider that gives links. */
function ownForm({ entity, model }: Target, canHost: boolean): ImagesResponse['form'] {
  return canHost && entity.provider.capabilities(model).nativeForm === 'url' ? 'url' : undefined;
}

/** One answer in OpenAI's form. It may pass through when its pictures are base64; else it is read like any other. */
async function resultOfOne(
  reply: UpstreamReply,
  call: TargetCall,
  exchange: View,
  attempts: readonly Attempt[],
  pictures: PictureFetcher,
): Promise<ImageResult> {
  const [attempt] = attempts;
  const held = await holdBack(reply, attempt);
  const read = once(async () =>
    inForm(await decoded(held.reply, call, exchange.target, attempt), call, exchange, pictures),
  );
  let { passThrough } = held;
  if (passThrough === undefined) await read();
  return {
    read() {
      // What was read cannot pass any more.
      passThrough = undefined;
      return read();
    },
    get passThrough() {
      return passThrough;
    },
  };
}

function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined;
  return () => (made ??= make());
}

/** The provider's pictures; the attempt's record learns how many there are. */
async function decoded(
  reply: UpstreamReply,
  call: TargetCall,
  { entity }: Target,
  attempt: Attempt | undefined,
): Promise<ImageAnswer> {
  try {
    const answer = await entity.provider.decode(reply, call);
    checkBase64(answer);
    if (attempt !== undefined) Object.assign(attempt, { images: answer.images.length, usage: answer.usage });
    return answer;
  } catch (error) {
    // An answer that broke off may have been billed; one that holds no picture delivered none.
    const answeredInVain =
      error instanceof GatewayError && ['upstream_invalid_response', 'content_policy_violation'].includes(error.code);
    if (attempt !== undefined && answeredInVain) attempt.images = 0;
    throw error;
  }
}

/** Here another candidate can still be tried, and nothing has been sent. @throws GatewayError upstream_invalid_response */
function checkBase64({ images }: ImageAnswer): void {
  const isValid = images.every(({ payload }) => payload.kind === 'link' || payloadByteLength(payload) !== undefined);
  if (!isValid)
    throw new GatewayError('upstream_invalid_response', 'A picture in the provider’s answer is not base64.');
}

function merge(answers: readonly ImageAnswer[]): ImageAnswer {
  const [first] = answers;
  if (first === undefined) throw new GatewayError('internal_error', 'There was no answer to read.');
  return {
    created: first.created,
    effective: first.effective,
    images: answers.flatMap((answer) => answer.images),
    usage: addUsage(answers.map((answer) => answer.usage)),
  };
}

/** Fetches what came as links where links are not what the caller may get. */
async function inForm(
  answer: ImageAnswer,
  call: TargetCall,
  exchange: View,
  pictures: PictureFetcher,
): Promise<ImageAnswer> {
  const wantsLinks = call.responseFormat === 'url' || call.responseFormat === undefined;
  if (wantsLinks && !call.stream && exchange.route.urlMode === 'provider') return answer;
  const fetched = answer.images.map((image) => withBytes(image, exchange.target, exchange, pictures));
  return { ...answer, images: await Promise.all(fetched) };
}
