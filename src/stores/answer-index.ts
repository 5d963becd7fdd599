/**
 * The part of the store contract about answers that are kept to be given once more: what is known of them, by the key
 * under which they are found. Their bytes lie elsewhere, as blobs.
 */
export interface AnswerIndex {
  /**
   * The answer under a key, unless its time is over. It counts as used now.
   * @throws GatewayError overloaded
   */
  findAnswer(key: string): Promise<IndexedAnswer | undefined>;

  /**
   * Keeps an answer, in place of the one that was under the key. Of the answers in its space, those that were not used
   * for the longest time make room, a bounded number of them at a time. What is larger than the whole space is not kept.
   * @param key at most 256 characters of ASCII
   * @returns the names of blobs that nobody needs any more
   * @throws GatewayError overloaded
   */
  indexAnswer(key: string, answer: NewAnswer): Promise<readonly string[]>;

  /** Forgets the answer under a key, if it is still the one with this blob. @throws GatewayError overloaded */
  forgetAnswer(key: string, blob: string): Promise<void>;
}

export interface IndexedAnswer {
  /** The name of its bytes. */
  readonly blob: string;
  /** Opaque to the store; some kilobytes at most. */
  readonly about: string;
  /** When it was made, in milliseconds since 1970. */
  readonly madeAtMs: number;
  /** Until when it is given, in milliseconds since 1970. */
  readonly expiresAtMs: number;
}

export interface NewAnswer extends IndexedAnswer {
  readonly bytes: number;
  /** What shares one bound, in at most 256 characters. */
  readonly space: string;
  /** The most bytes in the space. */
  readonly spaceBytes: number;
}
