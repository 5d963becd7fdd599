/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface DispatchConfig {
  /**
   * The most that is read of a provider's answer: a size, or bytes. Here: bytes.
   */
  max_reply_bytes: number;
}
