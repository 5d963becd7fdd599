/** What ComfyUI says about graphs that it does not take, and about those that failed. */
import type { GatewayError } from '../errors.ts';
import { failedJob, list, object, text, type Members } from './answers.ts';
import { commonWords, type FaultWords } from './faults.ts';

/**
 * `{error: {type, message, details}, node_errors: {"4": {errors: [{message, details}], class_type}}}`: what is wrong with a
 * node says more than that something is.
 */
export function comfyWords(document: unknown): FaultWords {
  const [node] = Object.values(object(object(document)['node_errors'])).map(object);
  const [error] = list(node?.['errors']).map(object);
  const words = [text(error?.['message']), text(error?.['details'])].filter((part) => part !== undefined);
  const { message } = commonWords(document);
  return {
    message: words.length === 0 ? message : words.join(': ').slice(0, 500),
    code: undefined,
    param: undefined,
    refusal: false,
  };
}

/** The error of a job that has failed, or was interrupted; undefined for one that has not. @param status of its history */
export function failureOf(status: Members): GatewayError | undefined {
  if (status['status_str'] !== 'error') return undefined;
  const events = list(status['messages']).map(list);
  const details = events.filter(([name]) => name === 'execution_error').map(([, event]) => object(event));
  const words = details.map((event) => text(event['exception_message'])).find((message) => message !== undefined);
  return failedJob(words?.trim());
}
