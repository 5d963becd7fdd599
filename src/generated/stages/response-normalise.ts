/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface ResponseNormaliseConfig {
  /**
   * What is added to the body of the answer: `latency` in milliseconds, `routing` with all attempts.
   *
   * Items: One addition.
   */
  extras: ('latency' | 'routing')[];
}
