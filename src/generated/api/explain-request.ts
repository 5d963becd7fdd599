/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface ExplainRequest {
  /**
   * The id of a route, or a path. Not given: the first route that does the operation.
   */
  route?: string;
  /**
   * The id of the consumer that is to be calling. Not given: nobody says who calls.
   */
  consumer?: string;
  /**
   * generation or edition. Not given: an edition if there are pictures.
   */
  operation?: 'generation' | 'edition';
  /**
   * As callers write it. Not given: the route's default.
   */
  model?: string;
  /**
   * Not given: a mark stands in its place.
   */
  prompt?: string;
  /**
   * As callers write it.
   */
  size?: string;
  /**
   * As callers write it.
   */
  quality?: string;
  /**
   * Pictures asked for.
   */
  n?: number;
  /**
   * Pictures sent along; of each the gateway takes a small one of its own.
   */
  images?: number;
  /**
   * The caller's end user.
   */
  user?: string;
  /**
   * The caller's own list of further models.
   *
   * @maxItems 32
   *
   * Items: A model, as callers write it.
   */
  fallbacks?: string[];
  /**
   * Further members of the body, such as `output_format`.
   */
  parameters?: {
    [k: string]: unknown;
  };
}
