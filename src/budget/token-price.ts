import type { PriceQuestion } from '../pipeline/prices.ts';
import type { ImageUsage } from '../pipeline/result.ts';
import type { TokenRates } from './tariff.ts';
import { megapixelsOf } from './picture-size.ts';

/** Tokens of one kind. */
export interface TokenCount {
  /** For people: `text input`. */
  readonly kind: string;
  readonly tokens: number;
  /** Nano-dollars for a million. */
  readonly rate: bigint;
}

const million = 1_000_000n;

/** Nano-dollars for tokens; a begun one as a whole, once for all of them. */
export function costOfTokens(counts: readonly TokenCount[]): bigint {
  const sum = counts.reduce((total, { tokens, rate }) => total + BigInt(tokens) * rate, 0n);
  return (sum + million - 1n) / million;
}

/** Whether a usage says what the pictures took. Some servers write zeros where they do not count. */
export function isTelling(usage: ImageUsage | undefined, images: number): usage is ImageUsage {
  return usage !== undefined && (usage.outputTokens > 0 || images === 0);
}

/**
 * The tokens of an answer by kind. What the vendor does not tell apart counts as the dearer kind, and cached tokens as
 * those that save less.
 */
export function countTokens(
  usage: ImageUsage,
  rates: TokenRates,
  { inputImages }: Pick<PriceQuestion, 'inputImages'>,
): readonly TokenCount[] {
  // Without a picture in the call all of the input is text.
  const imageInput = usage.inputImageTokens ?? (inputImages === 0 ? 0 : undefined);
  const input = divide(usage.inputTokens, usage.inputTextTokens, imageInput);
  const output = divide(usage.outputTokens, usage.outputTextTokens, usage.outputImageTokens);
  const cached = cachedTokens(usage, rates, input);
  return [
    { kind: 'text input', tokens: input.text - cached.text, rate: rates.textInput },
    { kind: 'cached text input', tokens: cached.text, rate: rates.textInputCached },
    { kind: 'image input', tokens: input.images - cached.images, rate: rates.imageInput },
    { kind: 'cached image input', tokens: cached.images, rate: rates.imageInputCached },
    { kind: 'other input', tokens: input.open, rate: dearer(rates.textInput, rates.imageInput) },
    { kind: 'text output', tokens: output.text, rate: rates.textOutput },
    { kind: 'image output', tokens: output.images, rate: rates.imageOutput },
    { kind: 'other output', tokens: output.open, rate: dearer(rates.imageOutput, rates.textOutput) },
  ].filter(({ tokens }) => tokens > 0);
}

function cachedTokens(usage: ImageUsage, rates: TokenRates, input: Division): Omit<Division, 'open'> {
  const { inputCachedTokens: all = 0, inputCachedTextTokens: text, inputCachedImageTokens: images } = usage;
  if (text !== undefined || images !== undefined) {
    return { text: Math.min(text ?? 0, input.text), images: Math.min(images ?? 0, input.images) };
  }
  const textSavesLess = rates.textInput - rates.textInputCached <= rates.imageInput - rates.imageInputCached;
  const first = Math.min(all, textSavesLess ? input.text : input.images);
  const second = Math.min(all - first, textSavesLess ? input.images : input.text);
  return textSavesLess ? { text: first, images: second } : { text: second, images: first };
}

interface Division {
  readonly text: number;
  readonly images: number;
  /** Of which nobody says what they are. */
  readonly open: number;
}

/** A sum of tokens by what its details say. */
function divide(total: number, text: number | undefined, images: number | undefined): Division {
  if (text === undefined && images === undefined) return { text: 0, images: 0, open: total };
  const told = { text: text ?? Math.max(total - (images ?? 0), 0), images: images ?? Math.max(total - (text ?? 0), 0) };
  return { ...told, open: Math.max(total - told.text - told.images, 0) };
}

function dearer(one: bigint, other: bigint): bigint {
  return one > other ? one : other;
}

/**
 * The most tokens that a picture takes for each megapixel of it, by quality; other qualities take as many as `high`.
 * GPT Image 1 takes up to 272, 1056 and 4160 (from OpenAI's guide), GPT Image 2 up to 196, 1767 and 7033 (from its
 * prices); and GPT Image 2.5 for its `max` what 2 takes for `high`.
 */
const mostTokens: ReadonlyMap<string | undefined, number> = new Map([
  ['low', 512],
  ['medium', 2048],
]);
const mostTokensOtherwise = 8192;

/** What a model may choose where no size is asked for: OpenAI's usual ones are up to 1536x1024. */
const usualMegapixels = 2;

/** The most tokens for one picture of a model of which nothing but the price of a token is known. */
export function mostPictureTokens({ quality, size }: Pick<PriceQuestion, 'quality' | 'size'>): number {
  return (mostTokens.get(quality) ?? mostTokensOtherwise) * (megapixelsOf(size) ?? usualMegapixels);
}

/** The most tokens as which a picture is sent: as many as a dear one that is made. */
const mostInputTokens = 8192;

/** OpenAI's guide: each sketch on the way takes 100 tokens. */
const partialTokens = 100;

/** The most tokens that a request for one picture takes beside that picture itself. */
export function accompanyingTokens(
  { inputImages, promptBytes = 0, partialImages = 0 }: PriceQuestion,
  rates: TokenRates,
): readonly TokenCount[] {
  return [
    { kind: 'prompt', tokens: promptBytes, rate: rates.textInput },
    { kind: 'pictures sent', tokens: inputImages * mostInputTokens, rate: rates.imageInput },
    { kind: 'sketches', tokens: partialImages * partialTokens, rate: rates.imageOutput },
  ].filter(({ tokens }) => tokens > 0);
}
