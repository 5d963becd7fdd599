/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface IdempotencyConfig {
  /**
   * How long the answer to a key is kept after it was given: a duration, or milliseconds. Here: milliseconds.
   */
  keep: number;
  /**
   * The largest answer that is kept: a size, or bytes. A larger one goes out all the same, but only once. Here: bytes.
   */
  max_answer_bytes: number;
}
