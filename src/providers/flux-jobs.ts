/** How far a job is, as FLUX's maker says it and those who speak like it. Source: docs.bfl.ai, "Get result" (2026). */
import type { ImagePayload } from '../images/payload.ts';
import { failedJob, invalidAnswer, linkPicture, list, object, refusal, text, type Members } from './answers.ts';

/**
 * Whether the picture is there. There are ever new names for being under way, such as `Reasoning` and `Generating`.
 * @throws GatewayError content_policy_violation, upstream_error, upstream_invalid_response
 */
export function isReady(document: Members): boolean {
  const state = text(document['status']) ?? text(document['state']);
  if (state === undefined) throw invalidAnswer('it does not say how far the job is');
  if (/moderated/i.test(state)) {
    const reasons = list(object(document['details'])['Moderation Reasons']).flatMap((reason) => text(reason) ?? []);
    throw refusal(reasons.length === 0 ? state : `${state}: ${reasons.join(', ')}`);
  }
  if (/^(error|failed|task not found)$/i.test(state)) {
    throw failedJob(state);
  }
  return state === 'Ready';
}

/** The picture of a job that is ready. */
export function sampleOf(document: Members): ImagePayload | undefined {
  return linkPicture(object(document['result'])['sample']);
}
