/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface ComfyuiConfig {
  /**
   * How the provider is reached, and the workflows that it runs.
   */
  connection: {
    /**
     * Where ComfyUI is; `/prompt` is put behind it.
     */
    base_url: string;
    /**
     * Sent as a bearer token, for a proxy in front of ComfyUI, which knows none. Several, separated by commas, are used in turn. May stay empty.
     */
    token: string;
    /**
     * The longest that one call may take, polling and reading the answer included: a duration, or milliseconds. Here: milliseconds.
     */
    timeout: number;
    /**
     * Further headers for each request to ComfyUI, by name.
     */
    headers: {
      /**
       * The header's value.
       */
      [k: string]: string;
    };
    /**
     * Workflows by the names under which callers ask for them as models. Each is a graph as ComfyUI exports it with "Export (API)", in which inputs are placeholders: {prompt}, {negative_prompt}, {width}, {height}, {n}, {seed}, {steps}, {image} to {image_4}, {mask}; and any other name with a value for when the request has no such member, such as {cfg=7}. An input that is a placeholder takes its value, whatever its type; {prompt} and {negative_prompt} may also stand within text.
     */
    workflows: {
      /**
       * The graphs of one model.
       */
      [k: string]: {
        /**
         * Makes pictures from words.
         */
        generation?: {
          /**
           * A node, by its id.
           */
          [k: string]: {
            /**
             * The node's class.
             */
            class_type: string;
            /**
             * Its inputs: values, placeholders, and links to other nodes.
             */
            inputs: {
              [k: string]: unknown;
            };
            [k: string]: unknown;
          };
        };
        /**
         * Makes pictures from words and pictures: it loads {image}, and {mask} if it paints a part anew, which is white there.
         */
        edition?: {
          /**
           * A node, by its id.
           */
          [k: string]: {
            /**
             * The node's class.
             */
            class_type: string;
            /**
             * Its inputs: values, placeholders, and links to other nodes.
             */
            inputs: {
              [k: string]: unknown;
            };
            [k: string]: unknown;
          };
        };
      };
    };
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
       * The workflow used when the caller names none.
       */
      model?: string;
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
       * The workflow used when the caller names none.
       */
      model?: string;
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
