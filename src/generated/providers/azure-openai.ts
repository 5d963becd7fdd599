/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface AzureOpenaiConfig {
  /**
   * How the provider is reached.
   */
  connection: {
    /**
     * The resource's whole endpoint, such as https://NAME.openai.azure.com; `/openai/…` is put behind it. Without it, `resource_name` says where the resource is.
     */
    base_url?: string;
    /**
     * The resource's name: NAME of https://NAME.openai.azure.com.
     */
    resource_name?: string;
    /**
     * The deployment that serves all calls. Without it, the model that the caller names is the deployment.
     */
    deployment_id?: string;
    /**
     * The version of the API: a date, such as 2025-04-01-preview, for the path with the deployment in it; `v1` or `preview` for the path without.
     */
    api_version: string;
    /**
     * How the token is sent: as the resource's key in `api-key`, or as an Entra token, a bearer.
     */
    auth: 'api-key' | 'bearer';
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
       * How much care the model takes; the values are the model's own.
       */
      quality?: string;
      /**
       * The background of the picture.
       */
      background?: string;
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
      /**
       * The style of the picture.
       */
      style?: string;
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
      /**
       * How closely the input pictures are kept to.
       */
      input_fidelity?: string;
    };
  };
}
