import { createDocumentBuilder, type DocumentRules } from './json-document.ts';
import type { JsonPath, LongTextSink } from './json-events.ts';
import { createJsonTokenizer, defaultLongTextBytes } from './json-tokenizer.ts';
import { keepLongText } from './long-text.ts';

// Whoever scans a document meets these in its answer.
export { JsonScanError } from './json-error.ts';
export type { JsonPath, LongTextSink } from './json-events.ts';
export { LongText } from './long-text.ts';

export interface JsonScanOptions extends DocumentRules {
  /** The most bytes outside of long texts: of names, numbers, short strings, brackets and blanks. */
  readonly maxSkeletonBytes: number;
  /** How deep arrays and objects may be nested. */
  readonly maxDepth: number;
  /** A string value of more bytes than this, counted as they stand in the document, is a long text. 4096 if not given. */
  readonly longTextBytes?: number | undefined;
  /**
   * Called where a long text begins. Without a sink it becomes a `LongText`.
   * @param head the first `longTextBytes` bytes of it, unescaped, to tell from what the text is
   */
  onLongText?(path: JsonPath, head: Uint8Array): LongTextSink | undefined;
}

/** A document on its way in. */
export interface JsonScanner {
  /**
   * Reads on. The chunk must not change afterwards. A promise is returned only when a sink returned one, and must have
   * settled before the next call. @throws JsonScanError; and what sinks throw
   */
  feed(chunk: Uint8Array): void | Promise<void>;
  /** The document. @throws JsonScanError when it is not complete */
  end(): unknown;
  /** Tells every sink so far that the document is given up. Never rejects; not to be called while a `feed` is under way. */
  discard(): Promise<void>;
  /** The path of the long text that the last chunk ended in. */
  readonly inside: JsonPath | undefined;
}

/** Reads a document as its bytes are brought. */
export function createJsonScanner(options: JsonScanOptions): JsonScanner {
  const builder = createDocumentBuilder(options);
  const sinks: LongTextSink[] = [];

  const tokenizer = createJsonTokenizer(
    {
      maxDepth: options.maxDepth,
      longTextBytes: options.longTextBytes ?? defaultLongTextBytes,
      maxSkeletonBytes: options.maxSkeletonBytes,
      maxTokenBytes: options.maxSkeletonBytes,
    },
    {
      ...builder,
      longText(head) {
        const sink = options.onLongText?.(tokenizer.path(), head);
        if (sink === undefined) return keepLongText();
        sinks.push(sink);
        return sink;
      },
    },
  );

  return {
    feed: (chunk) => tokenizer.feed(chunk),
    end() {
      tokenizer.end();
      return builder.document();
    },
    async discard() {
      // What made the scan fail is the error to report, not what cleaning up after it met.
      await Promise.allSettled(sinks.map(async (sink) => sink.discard?.()));
    },
    get inside() {
      return tokenizer.insideLongText ? tokenizer.path() : undefined;
    },
  };
}

/**
 * Reads a JSON document in which long texts stay bytes: each is a `LongText`, or what its sink returned. When the scan
 * fails, or the source does, every sink is told to discard.
 * @throws JsonScanError; and what the source and the sinks throw
 */
export async function scanJson(source: AsyncIterable<Uint8Array>, options: JsonScanOptions): Promise<unknown> {
  const scanner = createJsonScanner(options);
  try {
    for await (const chunk of source) {
      const pending = scanner.feed(chunk);
      if (pending !== undefined) await pending;
    }
    return scanner.end();
  } catch (error) {
    await scanner.discard();
    throw error;
  }
}
