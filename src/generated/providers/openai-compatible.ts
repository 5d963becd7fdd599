/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface OpenaiCompatibleConfig {
  /**
   * How the provider is reached.
   */
  connection: {
    /**
     * Where the API is, its version included, such as http://localhost:8000/v1; `/images/generations` is put behind it.
     */
    base_url: string;
    /**
     * The service's API key, sent as a bearer token unless `headers` says otherwise. Several, separated by commas, are used in turn. May stay empty.
     */
    token: string;
    /**
     * The longest that one call may take, polling and reading the answer included: a duration, or milliseconds. Here: milliseconds.
     */
    timeout: number;
    /**
     * The service's name, as callers may put it before a `/` and as the ledger shows it.
     */
    provider_name?: string;
    /**
     * Further headers for each request to the service, by name. Where `{api_key}` stands in a value, the API key is put in its place; it is not sent as a bearer token then.
     */
    headers: {
      /**
       * The header's value.
       */
      [k: string]: string;
    };
    /**
     * The service's own names for OpenAI's parameters, such as `n: num_images`; false or null for a parameter that it must never be sent.
     */
    param_mappings: {
      /**
       * The service's name for the parameter; false or null: it is never sent; true: it is sent under OpenAI's name.
       */
      [k: string]: string | boolean | null;
    };
    /**
     * Further members for the body of each request, by name. A member that the caller sends takes the place of one of the same name.
     */
    additional_body_params: {
      [k: string]: unknown;
    };
    /**
     * How the service takes the pictures of an edit: as the files of a form, or in OpenAI's JSON as links and data URIs.
     */
    edit_body: 'multipart' | 'json';
    /**
     * Whether the service streams pictures as OpenAI does: it is sent `stream` and `partial_images` when the caller wants events. Several pictures are then as many requests, since OpenAI streams one at a time. If not, each picture goes out in one event when the answer is there.
     */
    streams: boolean;
    /**
     * The most pictures that one request to the service can ask for; more are asked for in several requests.
     */
    max_images: number;
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
      /**
       * How closely the input pictures are kept to.
       */
      input_fidelity?: string;
    };
  };
}
