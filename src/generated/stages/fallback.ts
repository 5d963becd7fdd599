/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface FallbackConfig {
  /**
   * The stages to run for each candidate, in this order.
   *
   * @minItems 1
   */
  stages: StageFile[];
  /**
   * The failures after which the next candidate is tried, by the codes that callers see. content_policy_violation: what one provider refuses is put before the next. model_not_found: a provider that does not have the model. What is wrong with the request itself is never tried elsewhere, but for `on_status`.
   *
   * Items: A code.
   */
  on: (
    | 'rate_limit_exceeded'
    | 'operation_not_supported'
    | 'upstream_error'
    | 'upstream_auth_failed'
    | 'upstream_invalid_response'
    | 'upstream_unreachable'
    | 'upstream_timeout'
    | 'content_policy_violation'
    | 'model_not_found'
  )[];
  /**
   * Statuses of providers after which the next candidate is tried as well, whatever they mean.
   *
   * Items: An HTTP status.
   */
  on_status: number[];
  /**
   * How often a call may be sent again to candidates that it was sent to before, once none is left. Only failures count for which nothing can have been billed: nothing was sent, or the provider answered with one of `retry_on_status`.
   */
  retries: number;
  /**
   * Statuses after which the same provider may be asked again. A 502 or 504 may come from a proxy behind which the picture is being made and billed all the same.
   *
   * Items: An HTTP status.
   */
  retry_on_status: number[];
  /**
   * The pause before the first retry; it doubles with each further one. The actual pause is between half of it and all of it, and no shorter than the provider asks for. Here: milliseconds.
   */
  backoff: number;
  /**
   * The longest pause. Who asks for a longer one is not asked again; its wish is passed on to the caller. Here: milliseconds.
   */
  max_wait: number;
  /**
   * The percentage of the calls of an entity in the last 10 seconds that may be retries, so that a provider in trouble does not get more of it; three there may always be.
   */
  retry_budget: number;
  /**
   * The longest time for one candidate. Absent: the entity's own `timeout`, which holds in any case. Here: milliseconds.
   */
  attempt_timeout?: number;
  /**
   * The longest time for all candidates and pauses together. Absent: `server.timeouts.request`, which holds in any case. Here: milliseconds.
   */
  timeout?: number;
}
/**
 * A stage: its name, or an object with its name and config.
 */
export interface StageFile {
  /**
   * The stage's name, built in or brought by an extension.
   */
  plugin: string;
  /**
   * Whether the stage runs.
   */
  enabled: boolean;
  /**
   * The stage's own settings.
   */
  config: {
    [k: string]: unknown;
  };
}
