/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface RecraftConfig {
  /**
   * How the provider is reached.
   */
  connection: {
    /**
     * Where the API is; `/images/generations` and its like are put behind it.
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
     * How far an edit without a mask may go from the picture, from 0 (almost the same) to 1 (hardly alike), when the caller sends no `strength`.
     */
    strength: number;
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
       * The style of the picture.
       */
      style?: string;
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
       * The model used when the caller names none. Recraft’s tools can be named in place of a model: `remove-background`, `crisp-upscale`, `creative-upscale`, `vectorize`, `erase-region` (with a mask) and `replace-background`; only the last one needs a prompt.
       */
      model: string;
      /**
       * How many pictures, when the caller does not say.
       */
      n?: number;
      /**
       * The style of the picture.
       */
      style?: string;
      /**
       * How pictures are returned when the caller does not say: as links, as base64, or as base64 of which the gateway keeps nothing.
       */
      response_format?: 'url' | 'b64_json' | 'b64_ephemeral';
    };
  };
}
