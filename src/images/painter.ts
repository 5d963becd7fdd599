/**
 * Paints off the event loop: one worker thread, started when it is first needed and stopped when there has been
 * nothing to do for a while. Jobs wait in line, and the line is bounded.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { GatewayError } from '../errors.ts';
import type { PaintJob } from './paint-job.ts';
import type { PainterReply } from './painter-worker.ts';

export type { PaintJob } from './paint-job.ts';

export interface Painter {
  /**
   * The finished picture file.
   * @throws GatewayError overloaded when too many jobs wait; upstream_error when the worker died over this job; whatever
   *   `performJob` throws. The signal's reason when it is aborted.
   */
  readonly paint: (job: PaintJob, signal: AbortSignal) => Promise<Uint8Array<ArrayBuffer>>;
  /** Ends the worker, and refuses what is still waiting. The next job starts a new one. */
  readonly stop: () => Promise<void>;
}

export interface PainterOptions {
  readonly workerUrl: URL;
  /** Jobs that may wait, and the bytes of their input pictures. */
  readonly maxWaiting: number;
  readonly maxWaitingBytes: number;
  /** Milliseconds without a job after which the worker is stopped. */
  readonly idleMs: number;
}

interface Task {
  readonly job: PaintJob;
  readonly inputBytes: number;
  resolve(bytes: Uint8Array<ArrayBuffer>): void;
  reject(reason: unknown): void;
}

export function createPainter(options: PainterOptions): Painter {
  const waiting: Task[] = [];
  let running: Task | undefined;
  let worker: Worker | undefined;
  let idle: NodeJS.Timeout | undefined;

  function paint(job: PaintJob, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
    const inputBytes = [...job.inputs, ...(job.mask ? [job.mask] : [])].reduce((sum, file) => sum + file.byteLength, 0);
    const waitingBytes = waiting.reduce((sum, task) => sum + task.inputBytes, 0);
    return new Promise(function takeJob(resolve, reject) {
      if (signal.aborted) return reject(signal.reason);
      const tooLarge = waiting.length > 0 && waitingBytes + inputBytes > options.maxWaitingBytes;
      if (waiting.length >= options.maxWaiting || tooLarge) {
        return reject(new GatewayError('overloaded', 'The sandbox has too many pictures to paint right now.'));
      }
      const task: Task = {
        job,
        inputBytes,
        resolve(bytes) {
          signal.removeEventListener('abort', leave);
          resolve(bytes);
        },
        reject(reason) {
          signal.removeEventListener('abort', leave);
          reject(reason);
        },
      };
      // A job that has begun is finished, because there is no way to interrupt it; nobody is told of its result.
      function leave(): void {
        const place = waiting.indexOf(task);
        if (place >= 0) waiting.splice(place, 1);
        reject(signal.reason);
      }
      signal.addEventListener('abort', leave, { once: true });
      waiting.push(task);
      startNext();
    });
  }

  function startNext(): void {
    if (running !== undefined) return;
    clearTimeout(idle);
    running = waiting.shift();
    if (running === undefined) {
      worker?.unref();
      idle = setTimeout(() => void retire(), options.idleMs).unref();
      return;
    }
    worker ??= startWorker();
    worker.ref();
    const { inputs, mask, ...rest } = running.job;
    // Copies are handed over, as the caller may need its own for the next picture of the same call.
    const copies = inputs.map((bytes) => new Uint8Array(bytes));
    const maskCopy = mask === undefined ? undefined : new Uint8Array(mask);
    const job: PaintJob = { ...rest, inputs: copies, mask: maskCopy };
    worker.postMessage(
      job,
      [...copies, ...(maskCopy ? [maskCopy] : [])].map(({ buffer }) => buffer),
    );
  }

  function startWorker(): Worker {
    const started = new Worker(options.workerUrl);
    let failure: unknown;
    started.on('message', function onReply(reply: PainterReply) {
      if (worker !== started) return;
      const task = running;
      running = undefined;
      if (task !== undefined) settle(task, reply);
      startNext();
    });
    started.once('error', (error) => (failure = error));
    started.once('exit', function onExit(code) {
      if (worker !== started) return;
      worker = undefined;
      const task = running;
      running = undefined;
      const cause = failure ?? new Error(`The painter's thread ended with code ${code}.`);
      task?.reject(new GatewayError('upstream_error', 'The sandbox failed while it was painting.', { cause }));
      startNext();
    });
    return started;
  }

  async function retire(): Promise<void> {
    const retired = worker;
    worker = undefined;
    clearTimeout(idle);
    await retired?.terminate();
  }

  async function stop(): Promise<void> {
    const left = [...(running ? [running] : []), ...waiting.splice(0)];
    running = undefined;
    for (const task of left) task.reject(new GatewayError('overloaded', 'The gateway is stopping.'));
    await retire();
  }

  return { paint, stop };
}

function settle(task: Task, reply: PainterReply): void {
  switch (reply.kind) {
    case 'picture':
      return task.resolve(reply.bytes);
    case 'refusal':
      return task.reject(new GatewayError(reply.code, reply.message, { param: reply.param }));
    case 'bug':
      return task.reject(reply.error);
  }
}

const painter = createPainter({
  workerUrl: new URL(`./painter-worker${extname(import.meta.url)}`, import.meta.url),
  maxWaiting: 256,
  maxWaitingBytes: 256 * 1024 * 1024,
  idleMs: 30_000,
});

/** `Painter.paint` of the process's own painter. */
export const paint = painter.paint;

/** `Painter.stop` of the process's own painter. */
export const stopPainter = painter.stop;
