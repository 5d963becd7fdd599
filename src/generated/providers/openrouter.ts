/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface OpenrouterConfig {
  /**
   * How the provider is reached.
   */
  connection: {
    /**
     * Where the API is, its version included; behind a host alone, `/api/v1` is put.
     */
    base_url: string;
    /**
     * The provider's API key. Several, separated by commas, are used in turn. An entity whose token is empty is inactive.
     */
    token: string;
    /**
     * The longest that one call may take, polling and reading the answer included: a duration, or milliseconds. Here: milliseconds.
     */
    timeout: number;
    /**
     * Which of its two interfaces is asked: `images`, or `chat` for models that are only served as chat completions.
     */
    api: 'images' | 'chat';
    /**
     * Sent as `HTTP-Referer`: the site that the requests are for, as OpenRouter's rankings show it.
     */
    referer?: string;
    /**
     * Sent as `X-Title`: the name of the application, as OpenRouter's rankings show it.
     */
    title?: string;
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
       * The model used when the caller names none.
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
       * The background of the picture.
       */
      background?: string;
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
     * Pictures from words and pictures.
     */
    edition: {
      /**
       * Whether this entity serves the operation.
       */
      enabled: boolean;
      /**
       * The model used when the caller names none.
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
       * The background of the picture.
       */
      background?: string;
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
