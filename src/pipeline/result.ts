import type { ByteSource } from '../body/byte-source.ts';
import type { ImagePayload } from '../images/payload.ts';

/** What the provider answered, independent of the provider. */
export interface ImageAnswer {
  /** Seconds since 1970; undefined when the provider did not say. */
  readonly created: number | undefined;
  readonly images: readonly ResultImage[];
  /** As far as the provider told. */
  readonly usage: ImageUsage | undefined;
  /** What was really made, where the provider says so. */
  readonly effective: EffectiveParameters;
  /** What the provider says that this answer costs, in nano-dollars. */
  readonly costNanoUsd?: number | undefined;
}

export interface ResultImage {
  readonly payload: ImagePayload;
  readonly revisedPrompt?: string | undefined;
}

export interface EffectiveParameters {
  readonly size?: string | undefined;
  readonly quality?: string | undefined;
  readonly background?: string | undefined;
  readonly outputFormat?: string | undefined;
}

/** Tokens, as providers of the OpenAI dialect count them. */
export interface ImageUsage {
  readonly inputTokens: number;
  readonly outputTokens: number;
  readonly totalTokens: number;
  readonly inputTextTokens?: number | undefined;
  readonly inputImageTokens?: number | undefined;
  /** Input tokens that the provider had in its cache; they are among the others, and may cost less. */
  readonly inputCachedTokens?: number | undefined;
  readonly inputCachedTextTokens?: number | undefined;
  readonly inputCachedImageTokens?: number | undefined;
  readonly outputTextTokens?: number | undefined;
  readonly outputImageTokens?: number | undefined;
}

/**
 * The `result` slot. A stage that wants the pictures calls `read()`; an answer that nobody reads can go to the caller
 * as the bytes in which it arrives.
 */
export interface ImageResult {
  /** The whole answer. Waits for its end; the same promise each time. @throws GatewayError when it turns out invalid */
  read(): Promise<ImageAnswer>;
  /**
   * The answer's own body in OpenAI's form, if it may go out unchanged. Taking it gives up `read()`. What it tells
   * about images and usage reaches the attempt's record as it passes.
   */
  readonly passThrough: (() => ByteSource) | undefined;
}

/** A result that is already complete; what a stage returns that changed the pictures. */
export function completeResult(answer: ImageAnswer): ImageResult {
  const read = Promise.resolve(answer);
  return { read: () => read, passThrough: undefined };
}
