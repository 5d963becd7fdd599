import { write as writeToDescriptor, writeSync } from 'node:fs';
import { promisify } from 'node:util';

/** Where lines go. */
export interface LogOutput {
  /** Resolves when all of it is written; rejects when it is lost. */
  write(text: string): Promise<void>;
  /** Writes all of it before it returns, for a process about to end. Gives up in silence when nobody reads. */
  writeSync(text: string): void;
}

/** Gathers lines into few writes. */
export interface LogBatch {
  add(line: string): void;
  /** Resolves when every line so far is written or lost. Waits as long as the reader of the output makes it wait. */
  flush(): Promise<void>;
  /** Writes every line so far before it returns. Lines may mix with those of a write that is stalled by its reader. */
  flushSync(): void;
}

export interface LogBatchOptions {
  readonly output: LogOutput;
  /** The line that tells how many lines were lost. */
  readonly lossLine: (lines: number) => string;
  /** Bytes kept for a slow reader; lines beyond them are lost, so that a stalled pipe can't fill the memory. */
  readonly mostBytes?: number;
}

/** How long a line waits for others, in milliseconds. */
const gatherMs = 20;

/** Bytes that are written without waiting for more. */
const fullBytes = 64 * 1024;

export function createLogBatch({ output, lossLine, mostBytes = 8 * 1024 * 1024 }: LogBatchOptions): LogBatch {
  let lines: string[] = [];
  let bytes = 0;
  let bytesInFlight = 0;
  let lost = 0;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> | undefined;

  function take(): string {
    clearTimeout(timer);
    timer = undefined;
    if (lost > 0) lines.push(lossLine(lost));
    lost = 0;
    const text = lines.join('');
    lines = [];
    bytes = 0;
    return text;
  }

  /** Writes until nothing is left. */
  async function drain(): Promise<void> {
    while (lines.length > 0 || lost > 0) {
      const count = lines.length;
      const lostBefore = lost;
      bytesInFlight = bytes;
      try {
        await output.write(take());
      } catch {
        // There is nowhere to report this but here: the next line that can be written says how many were lost.
        lost += count + lostBefore;
        break;
      } finally {
        bytesInFlight = 0;
      }
    }
  }

  function start(): Promise<void> {
    writing ??= drain().finally(() => {
      writing = undefined;
    });
    return writing;
  }

  return {
    add(line) {
      const size = Buffer.byteLength(line);
      if (bytes + bytesInFlight + size > mostBytes) {
        lost += 1;
        return;
      }
      lines.push(line);
      bytes += size;
      if (bytes >= fullBytes) void start();
      else timer ??= setTimeout(() => void start(), gatherMs);
    },
    async flush() {
      await start();
      // A line that came while the last write ended.
      if (lines.length > 0) await start();
    },
    flushSync() {
      // The write under way is in another thread and can't be waited for here. It gets the time to finish.
      if (writing !== undefined) pause(gatherMs);
      const text = take();
      if (text !== '') output.writeSync(text);
    },
  };
}

const writeSome = promisify(writeToDescriptor);

/** How long to wait before a full pipe is tried again, and how often when nothing else can go on meanwhile. */
const retryMs = 10;
const mostRetries = 50;

/** A file descriptor, such as 1 for standard output. */
export function descriptorOutput(descriptor: number): LogOutput {
  return {
    async write(text) {
      const data = Buffer.from(text);
      for (let offset = 0; offset < data.byteLength;) {
        try {
          offset += (await writeSome(descriptor, data, offset)).bytesWritten;
        } catch (error) {
          if (!isFull(error)) throw error;
          await new Promise((resolve) => setTimeout(resolve, retryMs));
        }
      }
    },
    writeSync(text) {
      const data = Buffer.from(text);
      let retries = 0;
      for (let offset = 0; offset < data.byteLength;) {
        try {
          offset += writeSync(descriptor, data, offset);
        } catch (error) {
          if (!isFull(error) || ++retries > mostRetries) return;
          pause(retryMs);
        }
      }
    },
  };
}

/** A pipe that does not block says so when it is full. */
function isFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN';
}

function pause(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}
