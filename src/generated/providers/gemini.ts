/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface GeminiConfig {
  /**
   * How the provider is reached.
   */
  connection: {
    /**
     * Where the API is; `/models/…` is put behind it. A host alone is completed with `/v1beta`, and `/openai` at the end is left out.
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
     * Which of Google's interfaces is spoken: its own, or the route that looks like OpenAI's, which current models do not answer on.
     */
    api: 'native' | 'openai';
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
       * How pictures are returned when the caller does not say: as links, as base64, or as base64 of which the gateway keeps nothing.
       */
      response_format?: 'url' | 'b64_json' | 'b64_ephemeral';
    };
  };
}
