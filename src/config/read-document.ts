import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { isJsonObject } from '../json.ts';
import { segmentsOf } from '../json-pointer.ts';
import { parseDocument, type ConfigDocument } from './document.ts';

/** From this size on, in characters, parsing takes long enough to be noticed by requests under way. */
const largeText = 64 * 1024;

// The sources run as they are and compiled: the neighbour has the same extension as this file.
const workerUrl = new URL(`./document-worker${extname(new URL(import.meta.url).pathname)}`, import.meta.url);

/** Parses a text as `parseDocument` does; a large one on a thread of its own, so that requests go on meanwhile. */
export async function readDocument(text: string): Promise<ConfigDocument> {
  if (text.length < largeText) return parseDocument(text);
  const { value, problems } = await parseApart(text);
  // Positions are wanted only for problems. Then the text is parsed once more, here.
  let here: ConfigDocument | undefined;
  const parsed = (): ConfigDocument => (here ??= parseDocument(text));
  return {
    value,
    problems,
    locate: (pointer, part) => parsed().locate(pointer, part),
    has: (pointer) => (value === undefined ? parsed().has(pointer) : isAt(value, segmentsOf(pointer))),
  };
}

function parseApart(text: string): Promise<Pick<ConfigDocument, 'value' | 'problems'>> {
  const { promise, resolve, reject } = Promise.withResolvers<Pick<ConfigDocument, 'value' | 'problems'>>();
  const worker = new Worker(workerUrl, { name: 'config', workerData: text });
  worker.once('message', resolve);
  worker.once('error', reject);
  // Settled already unless the thread ended without a word.
  worker.once('exit', (code) => reject(new Error(`The thread that parses the file ended with ${code}.`)));
  return promise;
}

function isAt(value: unknown, segments: readonly string[]): boolean {
  const [segment, ...rest] = segments;
  if (segment === undefined) return true;
  if (!(Array.isArray(value) || isJsonObject(value)) || !Object.hasOwn(value, segment)) return false;
  return isAt(Reflect.get(value, segment), rest);
}
