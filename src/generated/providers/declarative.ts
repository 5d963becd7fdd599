/* Generated from schemas/ by `npm run generate`. Do not edit. */

/**
 * Texts that begin with `= ` are expressions in CEL (https://cel.dev). A request sees `call`; what comes after an answer sees `reply` (`status`, `headers`, `body`, and `words`, the text of an error in the usual places) as well. What is absent or null makes an expression empty.
 */
export interface DeclarativeConfig {
  /**
   * How the provider is reached.
   */
  connection: {
    /**
     * Where the API is, its version included; the paths of requests are put behind it.
     */
    base_url: string;
    /**
     * The vendor's API key. Several, separated by commas, are used in turn. May stay empty.
     */
    token: string;
    /**
     * The longest that one call may take, polling and reading the answer included: a duration, or milliseconds. Here: milliseconds.
     */
    timeout: number;
    /**
     * The vendor's name, as callers may put it before a `/`.
     */
    provider_name?: string;
    /**
     * The header that carries the token.
     */
    auth: {
      /**
       * Its name.
       */
      header: string;
      /**
       * Its value; the token is put in the place of `{token}`.
       */
      value: string;
    };
    /**
     * Further headers for each request to the vendor, by name.
     */
    headers: {
      /**
       * The header's value.
       */
      [k: string]: string;
    };
  };
  /**
   * What the vendor can do. The parameters that it takes are those that its requests read.
   */
  operations: {
    generation?: OperationFile;
    edition?: OperationFile;
  };
  /**
   * For vendors that answer with a job: how it is looked at until the pictures are there. What it says is also read in the answer to the first request, which expressions here find again in `submitted`.
   */
  poll?: {
    /**
     * The state of the job, a text. One that none of the lists below has is an error.
     */
    state: string;
    /**
     * The states in which the job goes on.
     *
     * @minItems 1
     *
     * Items: A state.
     */
    running: string[];
    /**
     * The states in which the pictures are there.
     *
     * @minItems 1
     *
     * Items: A state.
     */
    done: string[];
    /**
     * The states in which the job has failed. `errors` tells what that means for the caller.
     *
     * Items: A state.
     */
    failed: string[];
    request: RequestFile;
    result?: RequestFile;
    cancel?: RequestFile;
  };
  /**
   * Where the pictures are in the last answer.
   */
  answer: {
    /**
     * Whether the answer's body is the picture itself. Nothing else is needed then.
     */
    raw: boolean;
    /**
     * The list of the pictures; in the three expressions for a picture, each is `image`.
     */
    images?: string;
    /**
     * The picture's address.
     */
    url?: string;
    /**
     * The picture in base64, bare or as a data URI.
     */
    base64?: string;
    /**
     * The prompt that the vendor used for the picture.
     */
    revised_prompt?: string;
    /**
     * When the pictures were made: seconds or milliseconds since 1970, or an ISO date.
     */
    created?: string;
    /**
     * The size of the pictures, `1024x1024`.
     */
    size?: string;
    /**
     * What the answer costs, in dollars.
     */
    cost_usd?: string;
  };
  /**
   * What answers mean for the caller. All answers are looked at, successes and jobs included; the first rule that holds is taken. Where none does, the status decides.
   *
   * Items: A rule.
   */
  errors: {
    /**
     * The condition.
     */
    when: string;
    /**
     * The error that it is: the vendor refuses the content, finds a value wrong, lacks the model, has a limit, refuses our own credential or account, or has failed by itself.
     */
    code:
      | 'content_policy_violation'
      | 'invalid_value'
      | 'model_not_found'
      | 'rate_limit_exceeded'
      | 'upstream_auth_failed'
      | 'upstream_error';
    /**
     * The words for the caller: text, or an expression. Absent: `reply.words`. The last two codes show the caller none.
     */
    message?: string;
  }[];
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
/**
 * How pictures are made from words.
 */
export interface OperationFile {
  /**
   * The most pictures that one request can ask for; more are asked for in several requests at the same time. Above 1, the request has to read `call.n`.
   */
  max_images: number;
  /**
   * Whether there may be no prompt.
   */
  prompt_optional: boolean;
  /**
   * How input pictures are taken. To be given when the request reads `call.images`.
   */
  inputs?: {
    /**
     * The most pictures that one request can hold.
     */
    max: number;
    /**
     * bytes: links are fetched first, for `base64()`, `dataUri()` and files. link: uploads are hosted first, for `link()`.
     */
    as: 'bytes' | 'link';
  };
  /**
   * How the part to change is marked in `call.mask`: by an alpha of 0, or as the white or black part of a grey picture. To be given when the request reads `call.mask`.
   */
  mask?: 'alpha' | 'white' | 'black';
  request: RequestFile;
}
/**
 * A request to the vendor. Text that begins with `= ` is an expression; what comes out empty is left out.
 */
export interface RequestFile {
  /**
   * The method. Absent: POST if there is a body, otherwise GET.
   */
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /**
   * What is put behind `base_url`: text, or an expression. It is percent-encoded as needed. After an answer also a whole address on the origin of `base_url`, as vendors give them.
   */
  path: string;
  /**
   * Parameters behind the `?`, by name: text, or expressions.
   */
  query: {
    /**
     * The parameter's value.
     */
    [k: string]: string;
  };
  /**
   * Headers by name: text, or expressions. The connection's headers and credential come on top.
   */
  headers: {
    /**
     * The header's value.
     */
    [k: string]: string;
  };
  /**
   * A JSON document as the body, written out; texts in it may be expressions, at any depth. Members that come out empty are left out, and so are objects and lists that lose everything in them.
   */
  json?: {
    [k: string]: unknown;
  };
  /**
   * A multipart/form-data body.
   *
   * Items: A field, or a file.
   */
  form?: {
    /**
     * The field's name.
     */
    name: string;
    /**
     * The field's text: text, or an expression. Lists and objects are written as JSON.
     */
    value?: string;
    /**
     * A picture, such as `= call.images[0]`; for a list, each becomes a file of this name.
     */
    file?: string;
  }[];
}
