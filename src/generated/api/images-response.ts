/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface ImagesResponseBody {
  /**
   * When the pictures were made, in seconds since 1970.
   */
  created: number;
  /**
   * The pictures.
   *
   * Items: One picture.
   */
  data: {
    /**
     * The picture's bytes in base64.
     */
    b64_json?: string;
    /**
     * A link to the picture.
     */
    url?: string;
    /**
     * The prompt as the provider changed it.
     */
    revised_prompt?: string;
  }[];
  /**
   * Tokens, where the provider counted them.
   */
  usage?: {
    /**
     * Input and output together.
     */
    total_tokens: number;
    /**
     * Tokens of the prompt and the input pictures.
     */
    input_tokens: number;
    /**
     * Tokens of the pictures made.
     */
    output_tokens: number;
    /**
     * The input tokens by kind.
     */
    input_tokens_details?: {
      /**
       * Tokens of text.
       */
      text_tokens?: number;
      /**
       * Tokens of pictures.
       */
      image_tokens?: number;
    };
    /**
     * The output tokens by kind.
     */
    output_tokens_details?: {
      /**
       * Tokens of text.
       */
      text_tokens?: number;
      /**
       * Tokens of pictures.
       */
      image_tokens?: number;
    };
  };
  /**
   * The size really made.
   */
  size?: string;
  /**
   * The quality really used.
   */
  quality?: string;
  /**
   * The background really made.
   */
  background?: string;
  /**
   * The file format really made.
   */
  output_format?: string;
  /**
   * Milliseconds from request to answer, if the stage's `extras` ask for it.
   */
  latency?: number;
  /**
   * The budgets that count the call, if the stage's `extras` or the query `embed_budget=true` ask for it.
   */
  budget?: BudgetStandingFile[];
  /**
   * What the gateway did, if the stage's `extras` ask for it.
   */
  extra?: {
    /**
     * How the call was routed.
     */
    routing?: {
      /**
       * All attempts, in order.
       *
       * Items: One call to a provider.
       */
      attempts: {
        /**
         * The vendor's region. The gateway is not told; the member is there for clients that read it.
         */
        region: null;
        /**
         * The entity's id.
         */
        entity: string;
        /**
         * The provider's name.
         */
        provider: string;
        /**
         * The model.
         */
        model: string;
        /**
         * The provider's HTTP status; null if there was none.
         */
        status: number | null;
        /**
         * Milliseconds that the attempt took.
         */
        latency?: number;
      }[];
    };
  };
}
/**
 * One budget, in one unit.
 */
export interface BudgetStandingFile {
  /**
   * The budget.
   */
  id: string;
  /**
   * What the budget counts by, if by anything.
   */
  per?: string;
  /**
   * The value of that for which this is the counter.
   */
  value?: string;
  /**
   * What is counted: images, or usd.
   */
  unit: string;
  /**
   * What is used, this call and the most that calls under way may come to included. Dollars are exact decimal text.
   */
  used: number | string;
  /**
   * How much may be used.
   */
  limit: number | string;
  /**
   * How much may still be used.
   */
  remaining: number | string;
  /**
   * When the count starts again; null: it does not, or it rolls.
   */
  window_end: string | null;
}
