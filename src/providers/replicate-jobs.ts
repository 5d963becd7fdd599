import { GatewayError } from '../errors.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { invalidAnswer, keepReply, object, readObject, refusal, text } from './answers.ts';
import { ownAddress } from './own-address.ts';
import type { PollOutcome } from './provider.ts';
import { getJson } from './requests.ts';

/** Looks at a prediction. Source: Replicate's HTTP API reference, "Get a prediction" (November 2026). */
export async function pollPrediction(reply: UpstreamReply, origin: string): Promise<PollOutcome> {
  const kept = await keepReply(reply);
  const prediction = await readObject(kept.reply());
  const { status } = prediction;
  switch (status) {
    case 'succeeded':
      return { kind: 'done', reply: kept.reply() };
    case 'starting':
    case 'processing': {
      const urls = object(prediction['urls']);
      const get = ownAddress(urls['get'], origin);
      const cancel = ownAddress(urls['cancel'], origin);
      if (get === undefined) throw invalidAnswer('it names no address of the provider’s to ask after the prediction');
      return {
        kind: 'again',
        request: getJson(get),
        cancel: cancel === undefined ? undefined : { ...getJson(cancel), method: 'POST' },
      };
    }
    case 'failed':
      throw failure(text(prediction['error']));
    case 'canceled':
    case 'aborted':
      throw new GatewayError('upstream_error', `The prediction was ${status} by the provider.`, { retry: false });
    default:
      throw invalidAnswer('the prediction has no status that is known');
  }
}

/** `E005` is what Replicate gives for content that was flagged; models word it in their own ways. */
export function refusesContent(words: string | undefined): boolean {
  return /\bE005\b|\bNSFW\b|flagged as sensitive|content moderation/i.test(words ?? '');
}

/** Words of the model's own may name hosts and paths: they are for the log, unless they are about the caller's input. */
function failure(words: string | undefined): GatewayError {
  if (refusesContent(words)) return refusal(words);
  if (words !== undefined && /\bE006\b|invalid input/i.test(words)) {
    return new GatewayError('invalid_value', words, { status: 400 });
  }
  return new GatewayError('upstream_error', 'The prediction failed.', { retry: false, cause: new Error(words) });
}
