import { GatewayError } from '../errors.ts';
import type { UpstreamReply, WireRequest } from '../pipeline/upstream.ts';
import { invalidAnswer, readObject, refusal, text, type Members } from './answers.ts';
import { commonWords } from './faults.ts';
import { ownAddress } from './own-address.ts';
import type { Asked, PollOutcome } from './provider.ts';
import { getJson } from './requests.ts';

/** The type of an error that refuses the content. */
export const refusalType = 'content_policy_violation';

/** The state of a job whose result has been asked for. */
const ready = Symbol('ready');

/**
 * A job goes through three answers: to its submission, to questions after its status, and its result. The state is
 * undefined with the first, the address of the result with the second, and `ready` with the third.
 * Source: fal's documentation, "Queue" (November 2026).
 */
export async function pollFal(reply: UpstreamReply, { request, state }: Asked, origin: string): Promise<PollOutcome> {
  if (state === ready) return { kind: 'done', reply };
  const told = await readObject(reply);
  if (typeof state === 'string') return nextStep(told, request, state);
  const status = ownAddress(told['status_url'], origin);
  const result = ownAddress(told['response_url'], origin);
  const cancel = ownAddress(told['cancel_url'], origin);
  if (status === undefined || result === undefined) {
    throw invalidAnswer('it names no address of the provider’s to ask after the job');
  }
  return {
    kind: 'again',
    request: getJson(`${status}?logs=0`),
    cancel: cancel === undefined ? undefined : { ...getJson(cancel), method: 'PUT' },
    state: result,
  };
}

function nextStep(told: Members, request: WireRequest, result: string): PollOutcome {
  const { message, code = text(told['error_type']) } = commonWords(told);
  switch (told['status']) {
    case 'IN_QUEUE':
    case 'IN_PROGRESS':
      return { kind: 'again', request, state: result };
    case 'COMPLETED':
      // A failure shows as the status of the result. Some clients have seen it told here already, which is not documented.
      if (message === undefined)
        return { kind: 'again', now: true, isMade: true, request: getJson(result), state: ready };
      throw failure(code, message);
    // Not documented either.
    case 'FAILED':
    case 'ERROR':
    case 'CANCELED':
      throw failure(code, message);
    default:
      throw invalidAnswer('the job has no status that is known');
  }
}

function failure(code: string | undefined, message: string | undefined): GatewayError {
  if (code === refusalType) return refusal(message);
  return new GatewayError('upstream_error', 'The job failed.', { retry: false, cause: new Error(message) });
}
