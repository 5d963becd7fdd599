/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface ParseConfig {
  /**
   * The most input pictures that a call may have, its mask not counted.
   */
  max_images: number;
}
