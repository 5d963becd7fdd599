/* Generated from schemas/ by `npm run generate`. Do not edit. */

/**
 * Stands below `route-resolve` and `constrain`, and above `budget`; with a `cache`, below that. It knows of the calls of its own process only.
 */
export interface SingleFlightConfig {
  /**
   * The largest answer that others get as well: a size, or bytes. Of a larger one those who wait make calls of their own. Here: bytes.
   */
  max_answer_bytes: number;
  /**
   * Whose equal calls get the same answer. consumer: those of one consumer; callers without a key share. everyone: those of all callers of the route.
   */
  scope: 'consumer' | 'everyone';
}
