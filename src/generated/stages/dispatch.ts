/* Generated from schemas/ by `npm run generate`. Do not edit. */

export interface DispatchConfig {
  /**
   * The most that is read of a provider's answer: a size, or bytes. Here: bytes.
   */
  max_reply_bytes: number;
  /**
   * How long to wait before a provider is asked for the first time how far a job is. Each further wait is half as long again. Here: milliseconds.
   */
  poll_interval: number;
  /**
   * The longest wait between two such questions. Here: milliseconds.
   */
  poll_interval_max: number;
  /**
   * How long the connection of a caller who asked for events (`stream: true`) is silent before a comment goes out to keep it open. Here: milliseconds.
   */
  ping_interval: number;
}
