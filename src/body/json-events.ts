/** Where in a document: names of members and indexes of elements, outermost first. */
export type JsonPath = readonly (string | number)[];

/** Takes a long text piece by piece. */
export interface LongTextSink {
  /**
   * The next piece, as the UTF-8 that the string means: its escapes are resolved. The first pieces hold the head again.
   * The scanner waits for a promise before it reads on.
   */
  write(slice: Uint8Array): void | Promise<void>;
  /** The text has ended. What it returns, or resolves to, stands in the string's place in the document. */
  finish(): unknown;
  /** The document turned out bad, before or after `finish`: let go of whatever was made of it. */
  discard?(): void | Promise<void>;
}

export interface TokenizerLimits {
  readonly maxDepth: number;
  /** A string value of more bytes than this, counted as they stand in the document, is a long text. */
  readonly longTextBytes: number;
  /** The most bytes outside of long texts. */
  readonly maxSkeletonBytes: number;
  /** The most bytes in one name, number or literal. */
  readonly maxTokenBytes: number;
}

/** What the tokenizer tells of a document, in the document's order. */
export interface JsonEvents {
  open(kind: 'object' | 'array'): void;
  close(): void;
  key(name: string): void;
  /** A string, number, boolean or null, or what a sink made of a long text. */
  value(value: unknown): void;
  /** A long text begins. @param head its first `longTextBytes` bytes, unescaped */
  longText(head: Uint8Array): LongTextSink;
}
