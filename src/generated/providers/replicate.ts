/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface ReplicateConfig {
  /**
   * How the provider is reached.
   */
  connection: {
    /**
     * Where the API is; `/models/OWNER/NAME/predictions` or `/predictions` is put behind it.
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
     * How the models of this entity are told the size: as an `aspect_ratio`, or as `width` and `height` in pixels.
     */
    size_as: 'aspect_ratio' | 'pixels';
    /**
     * The most pictures that one prediction makes, asked for as `num_outputs`. 1 for models without that input: several pictures are then several predictions.
     */
    max_outputs: number;
    /**
     * The input of the model that takes the pictures to be edited. `image_input` and `input_images` take several; with `image` there may be a `mask`, in which white is painted anew.
     */
    image_key: 'input_image' | 'image' | 'image_input' | 'input_images';
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
       * How strict the provider's own moderation is.
       */
      moderation?: string;
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
