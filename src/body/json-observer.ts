import { JsonScanError } from './json-error.ts';
import type { JsonPath, LongTextSink } from './json-events.ts';
import { createJsonTokenizer, defaultLongTextBytes } from './json-tokenizer.ts';

export interface JsonObserverOptions {
  /** How deep the observer follows; 64 if not given. */
  readonly maxDepth?: number | undefined;
  /** A string value of more bytes than this, counted as they stand in the document, is a long text. 4096 if not given. */
  readonly longTextBytes?: number | undefined;
  /** Called for each string that is not long, number, boolean and null. */
  onValue?(path: JsonPath, value: string | number | boolean | null): void;
  /** Called where a long text begins. @param head the first `longTextBytes` bytes of it, unescaped */
  onLongText?(path: JsonPath, head: Uint8Array): void;
  /** Called where a long text ends. @param byteLength its bytes, unescaped */
  onLongTextEnd?(path: JsonPath, byteLength: number): void;
}

/** What is known of a document once its last byte has passed. */
export interface JsonObservation {
  /** Whether it was a whole JSON document. */
  readonly complete: boolean;
  /** Why it was not, or why the observer gave up. */
  readonly failure: JsonScanError | undefined;
  /** Long texts that have ended. */
  readonly longTexts: number;
}

/** Watches a document pass by without holding it up. */
export interface JsonObserver {
  /** Looks at a chunk. Never throws for what is in it: a document that is no JSON is merely not observed any further. */
  feed(chunk: Uint8Array): void;
  /** No more chunks will come. */
  end(): JsonObservation;
  /** The path of the long text that the last chunk ended in. */
  readonly inside: JsonPath | undefined;
}

/** Beyond this, a name or a number is not one of an answer that anybody wants to read. */
const maxTokenBytes = 65_536;

/** An observer for a document that passes through: its memory does not grow with the document. */
export function createJsonObserver(options: JsonObserverOptions): JsonObserver {
  let failure: JsonScanError | undefined;
  let longTexts = 0;

  const countLongText = (path: JsonPath): LongTextSink => {
    let byteLength = 0;
    return {
      write(slice) {
        byteLength += slice.byteLength;
      },
      finish() {
        longTexts += 1;
        options.onLongTextEnd?.(path, byteLength);
      },
    };
  };

  const tokenizer = createJsonTokenizer(
    {
      maxDepth: options.maxDepth ?? 64,
      longTextBytes: options.longTextBytes ?? defaultLongTextBytes,
      maxSkeletonBytes: Infinity,
      maxTokenBytes,
    },
    {
      open() {},
      close() {},
      key() {},
      value(value) {
        if (isScalar(value)) options.onValue?.(tokenizer.path(), value);
      },
      longText(head) {
        const path = tokenizer.path();
        options.onLongText?.(path, head);
        return countLongText(path);
      },
    },
  );

  const observe = (step: () => void): void => {
    if (failure !== undefined) return;
    try {
      step();
    } catch (error) {
      if (!(error instanceof JsonScanError)) throw error;
      failure = error;
    }
  };

  return {
    // Counting sinks return no promise, so neither does the tokenizer.
    feed: (chunk) => observe(() => void tokenizer.feed(chunk)),
    end() {
      observe(() => tokenizer.end());
      return { complete: failure === undefined, failure, longTexts };
    },
    get inside() {
      return failure === undefined && tokenizer.insideLongText ? tokenizer.path() : undefined;
    },
  };
}

/** Not so for the place of a long text, which was only counted. */
function isScalar(value: unknown): value is string | number | boolean | null {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}
