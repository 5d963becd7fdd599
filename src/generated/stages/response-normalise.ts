/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface ResponseNormaliseConfig {
  /**
   * What is added to the body of the answer: `latency` in milliseconds, `cost` in dollars where the provider tells it, `routing` with all attempts. A caller may ask for the cost with the query `embed_costs=true`.
   *
   * Items: One addition.
   */
  extras: ('latency' | 'cost' | 'routing')[];
}
