/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface Automatic1111Config {
  /**
   * How the provider is reached.
   */
  connection: {
    /**
     * Where the web UI is; `/sdapi/v1/txt2img` is put behind it.
     */
    base_url: string;
    /**
     * What `--api-auth` was given, `user:password`. Several, separated by commas, are used in turn. May stay empty.
     */
    token: string;
    /**
     * The longest that one call may take, polling and reading the answer included: a duration, or milliseconds. Here: milliseconds.
     */
    timeout: number;
  };
  /**
   * What the entity does and what it fills in where the caller is silent.
   */
  options: {
    /**
     * Pictures from words.
     */
    generation: {
      /**
       * Whether this entity serves the operation.
       */
      enabled: boolean;
      /**
       * The checkpoint used when the caller names none; `default` is the one that is loaded.
       */
      model: string;
      /**
       * How many pictures, when the caller does not say.
       */
      n?: number;
      /**
       * `auto`, WIDTHxHEIGHT in pixels, or an aspect ratio WIDTH:HEIGHT.
       */
      size?: string;
      /**
       * How much care the model takes; the values are the model's own.
       */
      quality?: string;
      /**
       * The style of the picture.
       */
      style?: string;
      /**
       * The file format of the picture.
       */
      output_format?: string;
      /**
       * Compression of jpeg and webp pictures, in percent.
       */
      output_compression?: number;
      /**
       * How pictures are returned when the caller does not say: as links, as base64, or as base64 of which the gateway keeps nothing.
       */
      response_format?: 'url' | 'b64_json' | 'b64_ephemeral';
    };
    /**
     * Pictures from words and a picture.
     */
    edition: {
      /**
       * Whether this entity serves the operation.
       */
      enabled: boolean;
      /**
       * The checkpoint used when the caller names none; `default` is the one that is loaded.
       */
      model: string;
      /**
       * How many pictures, when the caller does not say.
       */
      n?: number;
      /**
       * `auto`, WIDTHxHEIGHT in pixels, or an aspect ratio WIDTH:HEIGHT.
       */
      size?: string;
      /**
       * How much care the model takes; the values are the model's own.
       */
      quality?: string;
      /**
       * The style of the picture.
       */
      style?: string;
      /**
       * The file format of the picture.
       */
      output_format?: string;
      /**
       * Compression of jpeg and webp pictures, in percent.
       */
      output_compression?: number;
      /**
       * How pictures are returned when the caller does not say: as links, as base64, or as base64 of which the gateway keeps nothing.
       */
      response_format?: 'url' | 'b64_json' | 'b64_ephemeral';
    };
  };
}
