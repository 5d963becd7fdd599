/* Generated from schemas/ by `npm run generate`. Do not edit. */

/**
 * Stands below `route-resolve` and `constrain`, and above `budget`: what it gives is not sent, and costs nothing. Stages above it still see each call. Of streams, of calls with `b64_ephemeral` and of those with pictures behind links nothing is kept.
 */
export interface CacheConfig {
  /**
   * How long an answer is given again after it was made: a duration, or milliseconds. One with links to hosted pictures only for as long as these work. Here: milliseconds.
   */
  ttl: number;
  /**
   * The most that is kept for a route: a size, or bytes. What was not asked for for the longest time makes room. Here: bytes.
   */
  max_size: number;
  /**
   * The largest answer that is kept: a size, or bytes. Here: bytes.
   */
  max_answer_bytes: number;
  /**
   * Whose equal calls get the same answer. consumer: those of one consumer; callers without a key share. everyone: those of all callers of the route.
   */
  scope: 'consumer' | 'everyone';
  /**
   * The operations of which answers are kept.
   *
   * @minItems 1
   */
  operations: ('generation' | 'edition')[];
  /**
   * Any word. Once it is changed, nothing that was kept before is given any more.
   */
  version: string;
}
