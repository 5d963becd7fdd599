import type { ByteSource } from '../body/byte-source.ts';
import type { ByteText, ImagePayload } from '../images/payload.ts';

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

/** A picture that goes out by itself, while others, or better ones, are still in the making. */
export type PictureEvent = PartialEvent | CompletedEvent;

interface PictureEventMembers extends Pick<ImageAnswer, 'created' | 'effective'> {
  readonly image: ResultImage;
  /** The event as the provider wrote it in OpenAI's form, if it may go out unchanged. */
  readonly wire?: WireEvent | undefined;
}

/** A picture that is not finished. */
export interface PartialEvent extends PictureEventMembers {
  readonly kind: 'partial';
  /** Which of the unfinished ones it is, from 0; undefined when the provider did not say. */
  readonly index: number | undefined;
}

/** A finished picture. The last one tells what the whole answer took. */
export interface CompletedEvent extends PictureEventMembers, Pick<ImageAnswer, 'usage' | 'costNanoUsd'> {
  readonly kind: 'completed';
}

/** The JSON of a server-sent event, which is one line. */
export interface WireEvent {
  readonly type: string;
  readonly text: ByteText;
}

/** Said last, when there are fewer pictures than were asked for. */
export interface MissingEvent {
  readonly kind: 'missing';
  readonly missing: number;
  /** The codes of what went wrong with them, as far as it is known. */
  readonly codes: readonly string[];
}

export type ImageEvent = PictureEvent | MissingEvent;

/**
 * The `result` slot. A stage that wants the pictures calls `read()`; an answer that nobody reads can go to the caller
 * as the bytes in which it arrives, or picture by picture.
 */
export interface ImageResult {
  /** The whole answer. Waits for its end; the same promise each time. @throws GatewayError when it turns out invalid */
  read(): Promise<ImageAnswer>;
  /**
   * The answer's own body in OpenAI's form, if it may go out unchanged. Taking it gives up `read()`. What it tells
   * about images and usage reaches the attempt's record as it passes.
   */
  readonly passThrough: (() => ByteSource) | undefined;
  /**
   * The pictures as they come, for a caller who wants them so; undefined: they are all there at once. Taking it gives up
   * `read()`. Iterating throws a GatewayError when the provider fails on the way.
   */
  readonly events: (() => AsyncIterable<ImageEvent>) | undefined;
}

/** A result that is already complete; what a stage returns that changed the pictures. */
export function completeResult(answer: ImageAnswer): ImageResult {
  const read = Promise.resolve(answer);
  return { read: () => read, passThrough: undefined, events: undefined };
}

/** What an answer that came picture by picture comes to. */
export function answerOfEvents(events: readonly PictureEvent[]): ImageAnswer {
  const completed = events.filter((event) => event.kind === 'completed');
  const last = completed.at(-1);
  return {
    created: last?.created,
    images: completed.map(({ image }) => image),
    usage: last?.usage,
    effective: last?.effective ?? {},
    costNanoUsd: last?.costNanoUsd,
  };
}

/** A whole answer, picture by picture. */
export function eventsOfAnswer({
  images,
  created,
  effective,
  usage,
  costNanoUsd,
}: ImageAnswer): readonly CompletedEvent[] {
  return images.map((image) => ({ kind: 'completed', image, created, effective, usage, costNanoUsd }));
}
