/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface ImagesRequest {
  /**
   * What the picture should show.
   */
  prompt?: string | null;
  /**
   * An alias, `entity/model`, or a provider's own model name. Absent: the route's first entity and its default model.
   */
  model?: string | null;
  /**
   * How many pictures.
   */
  n?: number | null;
  /**
   * `auto`, WIDTHxHEIGHT in pixels, or an aspect ratio WIDTH:HEIGHT.
   */
  size?: string | null;
  /**
   * How much care the model takes, such as auto, low, medium, high, standard, hd.
   */
  quality?: string | null;
  /**
   * The style of the picture, such as vivid or natural.
   */
  style?: string | null;
  /**
   * The background: transparent, opaque or auto.
   */
  background?: string | null;
  /**
   * How strict the provider's own moderation is: low or auto.
   */
  moderation?: string | null;
  /**
   * The file format: png, jpeg or webp.
   */
  output_format?: string | null;
  /**
   * Compression of jpeg and webp pictures, in percent.
   */
  output_compression?: number | null;
  /**
   * How pictures are returned: url, b64_json or b64_ephemeral.
   */
  response_format?: string | null;
  /**
   * The caller's own id of its end user.
   */
  user?: string | null;
  /**
   * Makes the picture repeatable, where the provider can.
   */
  seed?: number | null;
  /**
   * Answer with server-sent events.
   */
  stream?: boolean | null;
  /**
   * How many unfinished pictures to send while streaming.
   */
  partial_images?: number | null;
  /**
   * How closely the input pictures are kept to: high or low.
   */
  input_fidelity?: string | null;
  /**
   * Further parameters, kept apart from OpenAI's own.
   */
  extra?: {
    [k: string]: unknown;
  } | null;
  /**
   * Models to try when the first fails, in this order.
   *
   * @maxItems 16
   */
  fallbacks?: string[] | null;
  /**
   * Input pictures: a link, a data URI, or a list of them.
   */
  image?: unknown;
  /**
   * Input pictures as OpenAI's JSON form has them: a list of objects with `image_url` or `file_id`.
   */
  images?: unknown;
  /**
   * Which part of the first picture to change: a link, a data URI, or an object with `image_url` or `file_id`.
   */
  mask?: unknown;
  [k: string]: unknown;
}
