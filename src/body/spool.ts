import { randomUUID } from 'node:crypto';
import { mkdir, open, unlink, type FileHandle } from 'node:fs/promises';
import { platform } from 'node:os';
import { join } from 'node:path';
import { GatewayError } from '../errors.ts';
import type { BytesPayload, FilePayload, SpooledFile } from '../images/payload.ts';
import { createGatherer } from './gather.ts';

export interface SpoolOptions {
  /** Where the temporary file goes. Made when the first one is. */
  readonly directory: string;
  /** Up to here the bytes stay in memory. */
  readonly memoryBytes: number;
  readonly maxBytes: number;
  /** Makes the error thrown when more than `maxBytes` come. */
  overflow(): Error;
}

/** Bytes on their way in, kept in memory while they are few and in a temporary file when they are many. */
export interface Spool {
  /**
   * Takes a chunk over: nobody else may look at it any more. One call at a time: the promise is the backpressure.
   * @throws what `overflow` makes; GatewayError overloaded when the file cannot be written
   */
  write(chunk: Uint8Array): Promise<void>;
  /** All that was written. Whoever takes a file closes it. @throws GatewayError overloaded */
  finish(): Promise<BytesPayload | FilePayload>;
  /** Lets go of everything, a finished file included. Safe at any time, more than once; nothing can be written after it. */
  discard(): Promise<void>;
}

/** So much is gathered before it is written to the file. */
const flushBytes = 262_144;
/**
 * So much is read from it at a time. What is read becomes garbage that V8 collects by the number of objects rather than
 * by their bytes, so chunks of twice the size make the process grow by about as much as it may in all.
 */
const readBytes = 32_768;

/** A spool that has no file yet. */
export function createSpool(options: SpoolOptions): Spool {
  let waiting = createGatherer();
  let file: TemporaryFile | undefined;
  let byteLength = 0;
  /** Why nothing can be done any more: a spool with a gap in it must not be finished. */
  let fault: Error | undefined;
  /** What is under way. `discard` may come in the middle of it. */
  let busy: Promise<unknown> = Promise.resolve();

  const flush = async (): Promise<void> => {
    const slices = waiting.slices();
    waiting = createGatherer();
    try {
      file ??= await openTemporaryFile(options.directory);
      await file.append(slices);
      for (const slice of slices) giveBack(slice);
    } catch (error) {
      throw new GatewayError('overloaded', 'The gateway cannot store this body at the moment.', { cause: error });
    }
  };

  const step = <Value>(work: () => Promise<Value>): Promise<Value> => {
    const done = (async () => {
      if (fault !== undefined) throw fault;
      try {
        return await work();
      } catch (error) {
        fault ??= new Error('The spool has failed before.', { cause: error });
        throw error;
      }
    })();
    busy = done;
    return done;
  };

  return {
    write: (chunk) =>
      step(async () => {
        byteLength += chunk.byteLength;
        if (byteLength > options.maxBytes) throw options.overflow();
        waiting.add(chunk);
        const enough = file === undefined ? options.memoryBytes : flushBytes;
        if (waiting.byteLength > enough) await flush();
      }),
    finish: () =>
      step(async () => {
        if (file === undefined) return { kind: 'bytes', bytes: waiting.joined() };
        if (waiting.byteLength > 0) await flush();
        return { kind: 'file', file: file.spooled() };
      }),
    async discard() {
      fault ??= new Error('The spool was discarded.');
      // Whoever started it has its failure.
      await Promise.allSettled([busy]);
      waiting = createGatherer();
      await file?.close();
    },
  };
}

/**
 * Frees the memory of a chunk that has it to itself. Left to the garbage collector, which lets some 64 MB of such memory
 * gather before it does anything about it, the pictures of one request are all in memory though they went to a file.
 */
function giveBack({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}

interface TemporaryFile {
  append(slices: readonly Uint8Array[]): Promise<void>;
  /** The file as it is by now. */
  spooled(): SpooledFile;
  close(): Promise<void>;
}

/** A file that has no name any more: whatever becomes of the process, nothing of it remains. */
async function openTemporaryFile(directory: string): Promise<TemporaryFile> {
  const path = join(directory, `${randomUUID()}.part`);
  const handle = await create(path, directory);
  const stillNamed = await removeName(path, handle);
  let byteLength = 0;
  let closing: Promise<void> | undefined;

  const letGo = async (): Promise<void> => {
    await handle.close();
    if (stillNamed) await unlink(path);
  };
  const close = (): Promise<void> => (closing ??= letGo());

  return {
    async append(slices) {
      byteLength += await writeAll(handle, slices, byteLength);
    },
    spooled: () => ({ byteLength, read: () => readAll(handle, byteLength, () => closing !== undefined), close }),
    close,
  };
}

async function create(path: string, directory: string): Promise<FileHandle> {
  try {
    return await open(path, 'wx+', 0o600);
  } catch (error) {
    if (!isSystemError(error) || error.code !== 'ENOENT') throw error;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    return open(path, 'wx+', 0o600);
  }
}

/** @returns whether the name is still there, because the system keeps the names of open files */
async function removeName(path: string, handle: FileHandle): Promise<boolean> {
  try {
    await unlink(path);
    return false;
  } catch (error) {
    if (platform() === 'win32') return true;
    await handle.close();
    throw error;
  }
}

/** @returns how many bytes that were */
async function writeAll(handle: FileHandle, slices: readonly Uint8Array[], position: number): Promise<number> {
  const { bytesWritten } = await handle.writev([...slices], position);
  const total = slices.reduce((sum, slice) => sum + slice.byteLength, 0);
  // A disk that is about to be full takes a part and refuses the next byte.
  for (let done = bytesWritten; done < total;) {
    const rest = Buffer.concat(slices).subarray(done);
    const more = await handle.write(rest, 0, rest.byteLength, position + done);
    if (more.bytesWritten === 0) throw new Error('The temporary file takes no more bytes.');
    done += more.bytesWritten;
  }
  return total;
}

async function* readAll(handle: FileHandle, byteLength: number, closed: () => boolean): AsyncIterable<Uint8Array> {
  let at = 0;
  while (at < byteLength) {
    if (closed()) throw new Error('The temporary file was closed before it was read.');
    // Its own memory for each chunk: the consumer may keep it.
    const buffer = Buffer.allocUnsafeSlow(Math.min(readBytes, byteLength - at));
    const { bytesRead } = await handle.read(buffer, 0, buffer.byteLength, at);
    if (bytesRead === 0) throw new Error('The temporary file is shorter than what was written to it.');
    at += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error;
}
