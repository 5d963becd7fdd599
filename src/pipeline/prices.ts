import type { Operation } from './call.ts';
import type { ImageUsage } from './result.ts';

/** What a call is, as far as its price depends on it. */
export interface PriceQuestion {
  /** Any of the names that the entity's provider goes by. */
  readonly provider: string;
  /** The id of the entity; empty when a price is asked for without one. */
  readonly entity: string;
  readonly model: string;
  readonly operation: Operation;
  /** As asked for, the entity's own default included. */
  readonly size: string | undefined;
  readonly quality: string | undefined;
  /** Pictures asked for, 1 or more. */
  readonly n: number;
  /** Pictures sent along. */
  readonly inputImages: number;
  /** Steps of diffusion, where the caller says how many. */
  readonly steps?: number | undefined;
  /** Bytes of the prompt in UTF-8: no text has more tokens. Unknown, the prompt is left out of account. */
  readonly promptBytes?: number | undefined;
  /** Sketches to be sent while a picture is in the making. */
  readonly partialImages?: number | undefined;
}

/** By what a price was made: what the provider said, a kind of price, or the most tokens that a picture takes. */
export type PriceBasis = 'reported' | 'per_token' | 'per_image' | 'per_megapixel' | 'per_step' | 'token_bound';

/** Nobody may take `unpriced` for free of charge. */
export type Estimate =
  | {
      readonly kind: 'priced';
      /** A whole number, 0 or more. More than a safe integer holds counts as the largest. */
      readonly nanoUsd: number;
      readonly basis: PriceBasis;
    }
  | { readonly kind: 'unpriced' };

/** What came back from one request. */
export interface Delivered {
  readonly images: number;
  /** What was really made, as far as it is known; what was asked for counts in its place. */
  readonly size: string | undefined;
  readonly quality: string | undefined;
  readonly usage: ImageUsage | undefined;
  /** What the provider says that it costs, in nano-dollars. */
  readonly reportedNanoUsd: number | undefined;
}

/** What everything costs, under one revision of the file. Pure: the same question has the same answer. */
export interface PriceBook {
  /**
   * The most that a call can cost. Where nothing is said about quality or size it is the dearest; every picture may need
   * a request of its own, with all that is sent along. So it grows with `n` in proportion.
   */
  estimate(question: PriceQuestion): Estimate;
  /**
   * What one request has cost: what the provider says; else by its tokens; else by what was made. A call that was fanned
   * out costs the sum over its requests, each with its own `n`.
   */
  actual(question: PriceQuestion, delivered: Delivered): Estimate;
  /** The estimate, and how it comes about. */
  explain(question: PriceQuestion): PriceExplanation;
}

export type PriceExplanation = PriceRule &
  (
    | {
        readonly kind: 'priced';
        readonly nanoUsd: number;
        readonly basis: PriceBasis;
        /** The sum, term by term, for people. */
        readonly arithmetic: readonly string[];
      }
    | { readonly kind: 'unpriced' }
  );

/** Where a price comes from. */
export interface PriceRule {
  /** The file's `prices`, the built-in table, or neither: then nothing is known of the model. */
  readonly origin: 'file' | 'table' | 'none';
  /** The entry that holds, as `openai/gpt-image-2` or `local-flux/*`. */
  readonly entry: string | undefined;
  /** The day on which the table was put together. */
  readonly compiled: string | undefined;
  readonly sources: readonly { readonly title: string; readonly asOf: string }[];
  /** How well the table's figures are known, in words. */
  readonly confidence: string | undefined;
  readonly unconfirmed: boolean;
  readonly status: 'current' | 'legacy' | 'scheduled_shutdown' | 'retired' | undefined;
  /** The day on which the vendor shut the model down, or will. */
  readonly retiredOn: string | undefined;
  /** What else there is to know. */
  readonly notes: readonly string[];
}
