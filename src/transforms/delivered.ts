/** What a provider has delivered, read from its answer and put down in the attempt's record, where the books find it. */
import type { ByteSource } from '../body/byte-source.ts';
import { noteDelivery } from '../budget/usage.ts';
import { GatewayError } from '../errors.ts';
import type { Attempt, ExchangeView } from '../pipeline/exchange.ts';
import type { PriceBook } from '../pipeline/prices.ts';
import { eventsOfAnswer, type CompletedEvent, type ImageAnswer, type PictureEvent } from '../pipeline/result.ts';
import type { AnsweredPart, UpstreamReply } from '../pipeline/upstream.ts';
import type { ProviderEvent } from '../providers/provider.ts';
import { withoutTokens } from '../scrub.ts';
import { checkPictures, withSize } from './picture-forms.ts';

type View = ExchangeView<'target'>;

/** The provider's pictures; the attempt's record learns how many there are, and what they cost. */
export async function decoded(part: AnsweredPart, { target, attempts }: View, prices: PriceBook): Promise<ImageAnswer> {
  const attempt = attempts[part.attempt];
  const { reply, hasFailed } = watchReading(part.reply);
  try {
    const answer = await target.entity.provider.decode(reply, part.call);
    await checkPictures(answer.images);
    const sized = await withSize(answer);
    const { images, usage, effective, costNanoUsd: reportedNanoUsd } = sized;
    const { size, quality } = effective;
    noteDelivery(attempt, { images: images.length, usage, size, quality, reportedNanoUsd }, prices);
    return sized;
  } catch (error) {
    if (deliveredNothing(error, hasFailed())) noteNothing(attempt);
    throw error;
  }
}

/**
 * The provider's pictures one by one. The record learns what they come to when the last one that was asked for is there, or
 * the answer has ended well. What breaks off before may have been billed as a whole, unless the provider itself says that
 * it has failed.
 */
export async function* delivering(
  part: AnsweredPart,
  exchange: View,
  prices: PriceBook,
): AsyncGenerator<PictureEvent, void> {
  const { target, attempts } = exchange;
  const { provider, tokens } = target.entity;
  const { reply, hasFailed } = watchReading(part.reply);
  const events = provider.events?.(reply, part.call);
  if (events === undefined) {
    yield* eventsOfAnswer(await decoded(part, exchange, prices));
    return;
  }
  const attempt = attempts[part.attempt];
  const wanted = part.call.parameters.n ?? 1;
  let begun = false;
  let images = 0;
  let last: CompletedEvent | undefined;
  const note = (): void => {
    const { size, quality } = last?.effective ?? {};
    const told = { images, usage: last?.usage, size, quality, reportedNanoUsd: last?.costNanoUsd };
    noteDelivery(attempt, told, prices);
  };
  try {
    for await (const event of events) {
      const picture = await checked(event);
      begun = true;
      if (picture.kind === 'completed') {
        images += 1;
        last = picture;
        if (images >= wanted) note();
      }
      yield picture;
    }
    if (images === 0)
      throw new GatewayError('upstream_invalid_response', 'The provider’s answer ended without a picture.');
    note();
  } catch (error) {
    if (error instanceof ToldFault) {
      if (images > 0) note();
      else noteNothing(attempt);
      throw withoutTokens(error.fault, tokens.all);
    }
    // All that was asked for is there: how the answer ended is nobody's concern.
    if (images >= wanted) return;
    if (!begun && deliveredNothing(error, hasFailed())) noteNothing(attempt);
    throw error;
  }
}

/** What the provider itself has said, to be told from what has happened to its answer. */
class ToldFault extends Error {
  readonly fault: GatewayError;

  constructor(fault: GatewayError) {
    super(fault.message);
    this.fault = fault;
  }
}

/** @throws ToldFault; GatewayError upstream_invalid_response */
async function checked(event: ProviderEvent): Promise<PictureEvent> {
  if (event.kind === 'fault') throw new ToldFault(event.error);
  await checkPictures([event.image]);
  const { effective } = await withSize({ images: [event.image], effective: event.effective });
  return { ...event, effective };
}

/** An answer whose bytes failed to come may have been billed; one that holds no picture delivered none. */
function deliveredNothing(error: unknown, hasFailed: boolean): boolean {
  if (!(error instanceof GatewayError)) return false;
  return error.code === 'content_policy_violation' || (error.code === 'upstream_invalid_response' && !hasFailed);
}

/** The same answer, of which it can be told whether its bytes have failed to come. */
function watchReading(reply: UpstreamReply): { readonly reply: UpstreamReply; readonly hasFailed: () => boolean } {
  let failed = false;
  const body: ByteSource = {
    length: reply.body.length,
    cancel: () => reply.body.cancel(),
    async *[Symbol.asyncIterator]() {
      try {
        for await (const chunk of reply.body) yield chunk;
      } catch (error) {
        failed = true;
        throw error;
      }
    },
  };
  return { reply: { ...reply, body }, hasFailed: () => failed };
}

function noteNothing(attempt: Attempt | undefined): void {
  if (attempt !== undefined) attempt.images = 0;
}
