/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface ResponseNormaliseConfig {
  /**
   * What is added to the body of the answer: `latency` in milliseconds, `cost` in dollars where it is known, `routing` with all attempts, `budget` with how the budgets stand that count the call. A caller may ask for the cost with the query `embed_costs=true`, and for the budgets with `embed_budget=true`.
   *
   * Items: One addition.
   */
  extras: ('latency' | 'cost' | 'routing' | 'budget')[];
  /**
   * Give the pictures out without their metadata: EXIF (but for the orientation), XMP, IPTC, C2PA and texts of PNG, JPEG and WebP. The pixels stay as they are. A provider's link is then fetched, so the file needs a route that serves hosted images.
   */
  strip_metadata: boolean;
}
