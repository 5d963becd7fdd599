/** The thread that paints. It is sent one job at a time, by `painter.ts`. */
import { parentPort } from 'node:worker_threads';
import { GatewayError } from '../errors.ts';
import { performJob } from './paint-job.ts';
import type { ErrorCode } from '../errors.ts';
import type { PaintJob } from './paint-job.ts';

/** What the worker answers. Errors lose their class on the way, so the parts that matter are sent. */
export type PainterReply =
  | { readonly kind: 'picture'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'refusal'; readonly code: ErrorCode; readonly message: string; readonly param: string | undefined }
  | { readonly kind: 'bug'; readonly error: unknown };

const port = parentPort;
if (port === null) throw new Error('painter-worker.ts is started as a worker thread, by painter.ts.');

async function answer(job: PaintJob): Promise<PainterReply> {
  try {
    return { kind: 'picture', bytes: await performJob(job) };
  } catch (error) {
    if (!(error instanceof GatewayError)) return { kind: 'bug', error };
    return { kind: 'refusal', code: error.code, message: error.message, param: error.param };
  }
}

port.on('message', function onJob(job: PaintJob) {
  void answer(job).then((reply) => port.postMessage(reply, reply.kind === 'picture' ? [reply.bytes.buffer] : []));
});
