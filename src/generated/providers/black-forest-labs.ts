/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface BlackForestLabsConfig {
  /**
   * How the provider is reached.
   */
  connection: {
    /**
     * Where the API is; the model’s name is put behind it. Regional ones: `https://api.eu.bfl.ai/v1`, `https://api.us.bfl.ai/v1`.
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
       * How strict the provider's own moderation is.
       */
      moderation?: string;
      /**
       * The file format of the picture.
       */
      output_format?: string;
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
       * How strict the provider's own moderation is.
       */
      moderation?: string;
      /**
       * The file format of the picture.
       */
      output_format?: string;
      /**
       * How pictures are returned when the caller does not say: as links, as base64, or as base64 of which the gateway keeps nothing.
       */
      response_format?: 'url' | 'b64_json' | 'b64_ephemeral';
    };
  };
}
