/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface ParseConfig {
  /**
   * The most input pictures that a call may have, its mask not counted.
   */
  max_images: number;
  /**
   * The most pixels that an input picture may have by its own header, its mask and pictures behind links included. A small file can claim far more than it holds, and somebody will make room for it.
   */
  max_pixels: number;
  /**
   * Send input pictures on without their metadata: EXIF (but for the orientation), XMP, IPTC, C2PA and texts of PNG, JPEG and WebP. The pixels stay as they are.
   */
  strip_metadata: boolean;
}
