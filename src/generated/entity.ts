/* Generated from schemas/ by `npm run generate`. Do not edit. */

/**
 * An image-model entity: one provider with its connection, its options and the models it may serve.
 */
export interface EntityFile {
  /**
   * The name by which routes, aliases and callers refer to this entity.
   */
  id: string;
  /**
   * A name for people. Its slug may stand before the `/` in `model`, like the id. Absent: the id.
   */
  name?: string;
  /**
   * What this entity is for.
   */
  description?: string;
  /**
   * Labels for people. The gateway does not interpret them.
   *
   * Items: A label.
   */
  tags: string[];
  /**
   * Notes for people and other tools. The gateway does not interpret them.
   */
  metadata: {
    /**
     * A note.
     */
    [k: string]: string;
  };
  /**
   * The kind of provider, built in or brought by an extension.
   */
  provider: string;
  /**
   * The provider's connection and options.
   */
  config: {
    [k: string]: unknown;
  };
  models: ModelsFile;
  /**
   * When calls are kept from this entity, and from one of its tokens. It goes by what calls come to: nothing is ever sent to find out.
   */
  health: {
    /**
     * Whether failures have consequences for later calls.
     */
    enabled: boolean;
    /**
     * What is taken out of service: one model of the entity, or the entity with all of them.
     */
    per: 'model' | 'entity';
    /**
     * Failures in a row after which it is out of service. Refusals that are the caller's doing, and 429, are none.
     */
    failures: number;
    /**
     * The percentage of failures among the calls of the last 30 seconds from which on it is out of service, if there were 20 at least.
     */
    failure_rate: number;
    /**
     * How long it is out of service. Then one call is let through: when that succeeds all are, else it is out for as long again. Here: milliseconds.
     */
    open_for: number;
    /**
     * Whether it is tried while it is out of service when no other candidate is in service. Otherwise such a call is refused with 503.
     */
    last_resort: boolean;
    /**
     * How long a token is passed over for a model after a 429 that does not say how long. Here: milliseconds.
     */
    rest: number;
    /**
     * The longest that it is passed over, whatever the 429 says. Here: milliseconds.
     */
    max_rest: number;
    /**
     * How long a token is passed over that the provider does not accept, or whose quota is used up. Here: milliseconds.
     */
    rest_refused: number;
  };
  /**
   * How many requests this entity may have under way at the same time. Absent: as many as there are.
   */
  concurrency?: {
    /**
     * Requests under way, from the first byte sent to the last byte of the answer.
     */
    max: number;
    /**
     * Further requests that may wait for one of them to end. Beyond it the next candidate is tried, or the call is refused with 429.
     */
    queue: number;
    /**
     * The longest that a request waits. It is part of the connection's `timeout`. Here: milliseconds.
     */
    wait: number;
  };
}
/**
 * Which models this entity may serve, whoever asks. The patterns match the bare model name.
 */
export interface ModelsFile {
  /**
   * Patterns of the models that may be used. Empty: all.
   *
   * Items: A regular expression.
   */
  include: string[];
  /**
   * Patterns of the models that may not be used, whatever `include` says.
   *
   * Items: A regular expression.
   */
  exclude: string[];
}
