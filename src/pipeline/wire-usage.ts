/** `usage` as OpenAI's images API writes it, on the way in and on the way out. */
import { isJsonObject, type JsonObject } from '../json.ts';
import type { ImageUsage } from './result.ts';

/** What a `usage` member says; undefined when it is absent or makes no sense. */
export function readUsage(value: unknown): ImageUsage | undefined {
  if (!isJsonObject(value)) return undefined;
  const inputTokens = tokens(value['input_tokens']);
  const outputTokens = tokens(value['output_tokens']);
  if (inputTokens === undefined || outputTokens === undefined) return undefined;
  const input = isJsonObject(value['input_tokens_details']) ? value['input_tokens_details'] : {};
  const output = isJsonObject(value['output_tokens_details']) ? value['output_tokens_details'] : {};
  const cached = isJsonObject(input['cached_tokens_details']) ? input['cached_tokens_details'] : {};
  return {
    inputTokens,
    outputTokens,
    totalTokens: tokens(value['total_tokens']) ?? inputTokens + outputTokens,
    inputTextTokens: tokens(input['text_tokens']),
    inputImageTokens: tokens(input['image_tokens']),
    inputCachedTokens: tokens(input['cached_tokens']),
    inputCachedTextTokens: tokens(cached['text_tokens']),
    inputCachedImageTokens: tokens(cached['image_tokens']),
    outputTextTokens: tokens(output['text_tokens']),
    outputImageTokens: tokens(output['image_tokens']),
  };
}

function tokens(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** The `usage` member for a caller. Some clients read the details of the input without looking whether they are there. */
export function writeUsage(usage: ImageUsage): JsonObject {
  const { inputTextTokens, inputImageTokens, inputCachedTokens, outputTextTokens, outputImageTokens } = usage;
  const cached = inputCachedTokens === undefined ? {} : { cached_tokens: inputCachedTokens };
  const outputDetails =
    outputImageTokens === undefined && outputTextTokens === undefined
      ? {}
      : { output_tokens_details: { text_tokens: outputTextTokens ?? 0, image_tokens: outputImageTokens ?? 0 } };
  return {
    total_tokens: usage.totalTokens,
    input_tokens: usage.inputTokens,
    output_tokens: usage.outputTokens,
    input_tokens_details: { text_tokens: inputTextTokens ?? 0, image_tokens: inputImageTokens ?? 0, ...cached },
    ...outputDetails,
  };
}

/** The sum over several answers to one call; undefined when one of them did not say. */
export function addUsage(all: readonly (ImageUsage | undefined)[]): ImageUsage | undefined {
  return all.reduce((sum, one) => {
    if (sum === undefined || one === undefined) return undefined;
    const add = (name: keyof ImageUsage): number | undefined =>
      sum[name] === undefined && one[name] === undefined ? undefined : (sum[name] ?? 0) + (one[name] ?? 0);
    return {
      inputTokens: sum.inputTokens + one.inputTokens,
      outputTokens: sum.outputTokens + one.outputTokens,
      totalTokens: sum.totalTokens + one.totalTokens,
      inputTextTokens: add('inputTextTokens'),
      inputImageTokens: add('inputImageTokens'),
      inputCachedTokens: add('inputCachedTokens'),
      inputCachedTextTokens: add('inputCachedTextTokens'),
      inputCachedImageTokens: add('inputCachedImageTokens'),
      outputTextTokens: add('outputTextTokens'),
      outputImageTokens: add('outputImageTokens'),
    };
  });
}
