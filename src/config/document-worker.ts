/** The thread that parses one large file, and ends. */
import { parentPort, workerData } from 'node:worker_threads';
import { parseDocument } from './document.ts';

const { value, problems } = parseDocument(String(workerData));
// oxlint-disable-next-line unicorn/require-post-message-target-origin -- The other side is a thread, not a window.
parentPort?.postMessage({ value, problems });
