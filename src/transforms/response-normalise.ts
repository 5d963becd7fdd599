import schema from '../../schemas/stages/response-normalise.schema.json' with { type: 'json' };
import { noteDelivery } from '../budget/usage.ts';
import { isEventStream } from '../body/event-stream.ts';
import { GatewayError } from '../errors.ts';
import type { ResponseNormaliseConfig } from '../generated/stages/response-normalise.ts';
import { createRecoder } from '../images/recoder.ts';
import type { Operation, TargetCall } from '../pipeline/call.ts';
import type { ExchangeView } from '../pipeline/exchange.ts';
import type { ImagesResponse } from '../pipeline/response.ts';
import { completeResult, type ImageAnswer, type ImageResult } from '../pipeline/result.ts';
import type { Target } from '../pipeline/settings.ts';
import { ConfigError, defineStage } from '../pipeline/stage.ts';
import { targetCall } from '../pipeline/target-call.ts';
import type { AnsweredPart, PartOutcome, SettledPart } from '../pipeline/upstream.ts';
import { addUsage } from '../pipeline/wire-usage.ts';
import { decoded } from './delivered.ts';
import { owedFormat } from './output-format.ts';
import { holdBack } from './pass-through.ts';
import { imageInForm, withSize, type Delivery } from './picture-forms.ts';
import { streamedResult } from './streamed-result.ts';

/**
 * The provider's answer → a canonical result → OpenAI's response. An answer that is in OpenAI's form already, and in the
 * form that the caller wants, is only looked at while it passes.
 */
export const responseNormalise = defineStage({
  name: 'response-normalise',
  schema,
  reads: ['call', 'target', 'reply'],
  writes: ['result', 'response'],
  create({ extras, strip_metadata: strip }: ResponseNormaliseConfig, env) {
    const canHost = env.catalogue.hosting.path !== undefined;
    if (strip && !canHost) {
      const message =
        'pictures without metadata go out as links of the gateway’s own: it needs a route that serves hosted images';
      throw new ConfigError('/strip_metadata', message);
    }
    const recoder = env.share('recoder', () => createRecoder({ atOnce: 2, maxWaiting: 256 }));
    const { prices } = env.catalogue;
    const services: Omit<Delivery, 'owed'> = {
      canHost,
      recoder,
      strip,
      pictures: env.pictures,
      clock: env.clock,
      prices,
    };

    return async function responseNormalise(exchange) {
      const { target, reply: outcomes } = exchange;
      const call = targetCall(exchange.call, target);
      const response = responseTo(exchange, call, {
        extras: extrasFor(exchange.request.query, extras),
        canHost,
        strip,
      });
      const capabilities = target.entity.provider.capabilities(target.model, call.operation);
      const owed = capabilities === undefined ? undefined : await owedFormat(call, capabilities);
      const delivery: Delivery = { ...services, owed };
      const [only] = outcomes;
      const waitsForAll = outcomes.length > 1 && exchange.route.fanout === 'all_or_nothing';
      if (call.stream && !waitsForAll) return { result: await streamedResult(exchange, call, delivery), response };
      if (
        outcomes.length === 1 &&
        only?.kind === 'answered' &&
        response.passThrough &&
        owed === undefined &&
        target.entity.provider.speaksOpenAi &&
        !isEventStream(only.reply.headers)
      ) {
        return { result: await resultOfOne(only, call, exchange, delivery), response };
      }
      return { result: completeResult(await answerOfAll(exchange, call, delivery)), response };
    };
  },
});

/** The additions that callers may ask for, by the query that asks for them. */
const askedExtras = { embed_costs: 'cost', embed_budget: 'budget' } as const;

/** What is added to the body: always, and for this caller. */
function extrasFor(query: URLSearchParams, always: ImagesResponse['extras']): ImagesResponse['extras'] {
  const asked = Object.entries(askedExtras).flatMap(([name, extra]) => (query.get(name) === 'true' ? [extra] : []));
  return [...new Set([...always, ...asked])];
}

type View = ExchangeView<'call' | 'target' | 'reply'>;

function responseTo(
  { call: asked, target }: View,
  call: TargetCall,
  {
    extras,
    canHost,
    strip,
  }: { readonly extras: ImagesResponse['extras']; readonly canHost: boolean; readonly strip: boolean },
): ImagesResponse {
  // Clients look for base64 in events, whatever an entity says of its pictures: only who asks for links gets them.
  if (call.stream) {
    const form = asked.responseFormat === 'url' ? 'url' : 'b64_json';
    return { kind: 'images', form, framing: 'events', extras, passThrough: false };
  }
  const own = ownForm(target, call.operation, canHost);
  const form = call.responseFormat === 'b64_ephemeral' ? 'b64_json' : (call.responseFormat ?? own);
  const passThrough = extras.length === 0 && form !== 'url' && !strip;
  return { kind: 'images', form, framing: 'json', extras, passThrough };
}

/** Where the caller does not say, pictures go out as they come: as links from a provider that gives links. */
function ownForm({ entity, model }: Target, operation: Operation, canHost: boolean): ImagesResponse['form'] {
  return canHost && entity.provider.capabilities(model, operation)?.nativeForm === 'url' ? 'url' : undefined;
}

/** One answer in OpenAI's form. It may pass through when its pictures are base64; else it is read like any other. */
async function resultOfOne(
  part: AnsweredPart,
  call: TargetCall,
  exchange: View,
  delivery: Delivery,
): Promise<ImageResult> {
  const held = await holdBack(part.reply, (passed) => {
    const told = { ...passed, size: undefined, quality: undefined, reportedNanoUsd: undefined };
    noteDelivery(exchange.attempts[part.attempt], told, delivery.prices);
  });
  const read = once(async () =>
    inForm(await decoded({ ...part, reply: held.reply }, exchange, delivery.prices), call, exchange, delivery),
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
    events: undefined,
  };
}

function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined;
  return () => (made ??= make());
}

/**
 * The pictures of all requests of a call, in the form in which they go out. Where the route lets a part of them do, the
 * answer's headers say what is missing.
 * @throws GatewayError the first failure, when the route wants all or nothing, or when there is nothing
 */
async function answerOfAll(exchange: View, call: TargetCall, delivery: Delivery): Promise<ImageAnswer> {
  const { reply: outcomes } = exchange;
  const decoding = outcomes.map(async (outcome) => {
    const part = await settledPart(outcome);
    if (part.kind === 'failed') throw part.error;
    return decoded(part, exchange, delivery.prices);
  });
  const { succeeded: answers, failures } = await whatSucceeds(decoding, exchange);
  const answer = merge(answers);
  const fetching = answer.images.map((image) => imageInForm(image, call, exchange, delivery));
  const { succeeded: images, failures: unfetched } = await whatSucceeds(fetching, exchange);
  tellMissing(exchange, (call.parameters.n ?? 1) - images.length, [...failures, ...unfetched]);
  return withSize({ ...answer, images });
}

function settledPart(outcome: PartOutcome): SettledPart | Promise<SettledPart> {
  return outcome.kind === 'pending' ? outcome.outcome : outcome;
}

/** The values of those that succeed; as many as the route asks for. @throws the first failure, when they do not do */
async function whatSucceeds<Value>(
  work: readonly Promise<Value>[],
  { route }: View,
): Promise<{ readonly succeeded: readonly Value[]; readonly failures: readonly GatewayError[] }> {
  const settled = await Promise.allSettled(work);
  const succeeded = settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  const failures = settled.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []));
  const known = failures.filter((failure) => failure instanceof GatewayError);
  const doesNot = failures.length > 0 && (succeeded.length === 0 || route.fanout === 'all_or_nothing');
  // What is no fault of a provider is a bug, and none to put up with.
  if (doesNot || known.length < failures.length)
    throw failures.find((failure) => !known.includes(failure as GatewayError)) ?? failures[0];
  return { succeeded, failures: known };
}

/** Fewer pictures than were asked for, without a failure, is what some providers make of a refusal. */
function tellMissing({ target, responseHeaders, log }: View, missing: number, failures: readonly GatewayError[]): void {
  if (missing <= 0) {
    responseHeaders.delete('x-pinhole-partial');
    return;
  }
  const codes = [...new Set(failures.map(({ publicCode }) => publicCode.replace(/[^\w.:-]/g, '_').slice(0, 64)))];
  const why = codes.length === 0 ? '' : `, codes="${codes.join(' ')}"`;
  responseHeaders.set('x-pinhole-partial', `missing=${missing}${why}`);
  log.warn('fewer pictures than asked for', { entity: target.entity.id, missing, errors: failures });
}

function merge(answers: readonly ImageAnswer[]): ImageAnswer {
  const [first] = answers;
  if (first === undefined) throw new GatewayError('internal_error', 'There was no answer to read.');
  return {
    created: first.created,
    effective: first.effective,
    images: answers.flatMap((answer) => answer.images),
    costNanoUsd: addCosts(answers),
    usage: addUsage(answers.map((answer) => answer.usage)),
  };
}

/** What the answers cost together; undefined when one of them does not say. */
function addCosts(answers: readonly ImageAnswer[]): number | undefined {
  return answers.reduce<number | undefined>(
    (sum, { costNanoUsd }) => (sum === undefined || costNanoUsd === undefined ? undefined : sum + costNanoUsd),
    0,
  );
}

/** Fetches what came as links where links are not what the caller may get. */
async function inForm(answer: ImageAnswer, call: TargetCall, exchange: View, delivery: Delivery): Promise<ImageAnswer> {
  const images = answer.images.map((image) => imageInForm(image, call, exchange, delivery));
  return withSize({ ...answer, images: await Promise.all(images) });
}
