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
