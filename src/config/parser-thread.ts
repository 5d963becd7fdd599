import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { ParseOrder, ParseReport } from './document-worker.ts';

/** A thread that parses, so that requests go on meanwhile, and so that what parsing leaves behind is not in their way. */
export interface ParserThread {
  /** @throws Error when the thread ends without an answer */
  parse(text: string): Promise<ParseReport>;
}

// The sources run as they are and compiled: the neighbour has the same extension as this file.
const workerUrl = new URL(`./document-worker${extname(new URL(import.meta.url).pathname)}`, import.meta.url);

/** A thread without work ends after so many milliseconds; until then further saves of the same file need not wait for a new one. */
const idleMs = 10_000;

/** Starts its thread when there is work. Neither an idle thread nor its timer keeps the process alive. */
export function createParserThread(): ParserThread {
  let running: RunningThread | undefined;
  let idle: NodeJS.Timeout | undefined;

  /** From here on new work gets a new thread. */
  const letGo = (thread: RunningThread): void => {
    if (running === thread) running = undefined;
  };

  return {
    async parse(text) {
      clearTimeout(idle);
      const thread = (running ??= startThread());
      try {
        return await thread.parse(text);
      } catch (error) {
        letGo(thread);
        throw error;
      } finally {
        clearTimeout(idle);
        idle = setTimeout(() => {
          letGo(thread);
          thread.end();
        }, idleMs);
        idle.unref();
      }
    },
  };
}

interface RunningThread extends ParserThread {
  end(): void;
}

function startThread(): RunningThread {
  const worker = new Worker(workerUrl, { name: 'config', resourceLimits: { maxYoungGenerationSizeMb: 8 } });
  const waiting = new Map<number, PromiseWithResolvers<ParseReport>>();
  let failure: unknown;
  let lastId = 0;
  worker.on('message', (report: ParseReport) => {
    waiting.get(report.id)?.resolve(report);
    waiting.delete(report.id);
    if (waiting.size === 0) worker.unref();
  });
  worker.on('error', (error) => {
    failure = error;
  });
  worker.on('exit', () => {
    const ended = new Error('The thread that parses the file has ended.', { cause: failure });
    for (const { reject } of waiting.values()) reject(ended);
  });
  return {
    parse(text) {
      worker.ref();
      const order: ParseOrder = { id: (lastId += 1), text };
      const answer = Promise.withResolvers<ParseReport>();
      waiting.set(order.id, answer);
      worker.postMessage(order);
      return answer.promise;
    },
    end: () => void worker.terminate(),
  };
}
