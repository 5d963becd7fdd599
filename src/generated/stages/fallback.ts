/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface FallbackConfig {
  /**
   * The stages to run for each candidate, in this order.
   *
   * @minItems 1
   */
  stages: StageFile[];
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
