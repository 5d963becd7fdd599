/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface GuardConfig {
  /**
   * The rules. All of them look at a call; the first that blocks decides.
   */
  rules: GuardRuleFile[];
  /**
   * The status of a refusal.
   */
  status: 400 | 403 | 406 | 422 | 451;
  /**
   * How long moderation services and webhooks may take, all of them together: a duration, or milliseconds. Here: milliseconds.
   */
  timeout: number;
  /**
   * Provider's own parameters whose texts are not looked at. All others are, besides the prompt, since they go to the provider as well.
   *
   * Items: The name of a parameter.
   */
  skip_parameters: string[];
}
/**
 * A rule: its name, exactly one of `keywords`, `pattern`, `moderation` and `webhook`, and what comes of it.
 */
export interface GuardRuleFile {
  /**
   * The rule's name, as the log and the header `x-pinhole-guard` show it.
   */
  id: string;
  /**
   * block: the call is refused. report: it is only logged.
   */
  action: 'block' | 'report';
  /**
   * What becomes of a call when a moderation service or a webhook cannot tell. block: it is refused with 503 `guard_unavailable`. allow: it goes on. Of a rule that only reports, a failure is only logged.
   */
  on_failure: 'block' | 'allow';
  /**
   * What a refused caller is told. Absent: that a rule of the gateway refused the prompt.
   */
  message?: string;
  /**
   * Words or phrases that must not be in the texts, whatever their case, their spaces and the width of their letters.
   *
   * @minItems 1
   * @maxItems 10000
   *
   * Items: A word or phrase.
   */
  keywords?: string[];
  /**
   * Whether `keywords` are found only as whole words: `gun` in "a gun", not in "begun". In scripts that put no spaces between words it makes no difference.
   */
  whole_words: boolean;
  /**
   * A regular expression in RE2's syntax that must not match anywhere in the texts, or several. `(?i)` at its start makes it blind to case.
   *
   * @minItems 1
   *
   * Items: A regular expression.
   */
  pattern?: string[];
  moderation?: GuardModerationFile;
  webhook?: GuardWebhookFile;
}
/**
 * Asks a moderation service with OpenAI's API: `POST BASE_URL/moderations`.
 */
export interface GuardModerationFile {
  /**
   * The address of the API, up to and including its version.
   */
  base_url: string;
  /**
   * The bearer token. Empty: none is sent.
   */
  token: string;
  /**
   * The moderation model. Empty: the service's default.
   */
  model: string;
  /**
   * The categories that count, such as `violence` or `sexual/minors`. Empty: all of them.
   *
   * Items: A category.
   */
  categories: string[];
  /**
   * Scores from 0 to 1, by category, from which on a category counts, in place of the service's own judgement of it. A category named here counts whether or not `categories` has it.
   */
  thresholds: {
    /**
     * The score.
     */
    [k: string]: number;
  };
}
/**
 * Asks a service of your own: `POST URL` with the call as JSON, answered with `{"allow": true}`, or `{"allow": false, "message": "…"}`.
 */
export interface GuardWebhookFile {
  /**
   * The address of the service. It may lie in your own network.
   */
  url: string;
  /**
   * Further headers, such as `authorization`.
   */
  headers: {
    /**
     * The header's value.
     */
    [k: string]: string;
  };
  /**
   * What requests are signed with: HMAC-SHA256 over `webhook-id`, `webhook-timestamp` and the body, in `webhook-signature`, as standardwebhooks.com has it. `whsec_` and base64, or any text. Absent: they are not signed.
   */
  secret?: string;
  /**
   * Whether the service gets the input pictures themselves, as base64, and not only what they are. Pictures behind links are then fetched first, and the provider gets what the service has seen.
   */
  include_images: boolean;
}
