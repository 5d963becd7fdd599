/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface ErrorResponseBody {
  /**
   * What went wrong.
   */
  error: {
    /**
     * What went wrong, for people.
     */
    message: string;
    /**
     * The class of the error, by which clients choose their reaction.
     */
    type: string;
    /**
     * The request parameter at fault.
     */
    param: string | null;
    /**
     * What exactly went wrong, for programs.
     */
    code: string | null;
  };
}
