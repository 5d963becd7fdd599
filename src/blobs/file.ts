/** Pictures as files. Where they lie is said in `file-tree.ts`. */
import { constants } from 'node:fs';
import { lstat, mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { GatewayError } from '../errors.ts';
import { checkCursor, endOfExpired, hasExpired, newBlobName, parseBlobName, parseCurrentName } from './blob-name.ts';
import type { BlobName } from './blob-name.ts';
import type {
  Blob,
  BlobContent,
  BlobEntry,
  BlobPage,
  BlobStore,
  BlobStoreDefinition,
  BlobStoreSettings,
  PutOptions,
  SweepBounds,
  SweepResult,
} from './blob-store.ts';
import {
  entriesOf,
  expiringNames,
  incomingFolder,
  isSystemError,
  lastingNames,
  placeOf,
  removePastFolders,
} from './file-tree.ts';
import { wholeContent } from './whole-content.ts';

/** Bytes read at once. */
const chunkBytes = 256 * 1024;

/** Files looked at or deleted at once. */
const filesAtOnce = 16;

/** Milliseconds after which nobody is taken to be writing a picture any more. */
const staleAfterMs = 3_600_000;

/** `file:PATH`: a folder, which is created when the first picture comes. */
export const fileBlobStore: BlobStoreDefinition = {
  scheme: 'file',
  open(location, settings) {
    const { part } = settings;
    return Promise.resolve(openFolder(part === undefined ? location : join(location, part), settings));
  },
};

function openFolder(root: string, { clock }: BlobStoreSettings): BlobStore {
  return {
    async put(content, mediaType, options = {}) {
      const name = newBlobName(mediaType, options);
      await keep(content, name, root, options);
      return name.name;
    },

    async open(name, signal) {
      const parsed = parseCurrentName(name, clock.now());
      return parsed === undefined ? undefined : openBlob(placeOf(root, parsed).path, parsed, signal);
    },

    async remove(name) {
      const parsed = parseBlobName(name);
      if (parsed !== undefined) await writing(rm(placeOf(root, parsed).path, { force: true }));
    },

    list: (page) => listFolder(root, page, clock.now()),
    sweep: (bounds) => sweepFolder(root, bounds, clock.now()),
    async close() {},
  };
}

/** Writes a file in another place first, so that in its own it is complete from the start. */
async function keep(content: BlobContent, name: BlobName, root: string, { signal }: PutOptions): Promise<void> {
  const incoming = join(root, incomingFolder);
  const partial = join(incoming, `${name.name}.partial`);
  await writing(mkdir(incoming, { recursive: true, mode: 0o700 }));
  const file = await writing(open(partial, 'wx', 0o600));
  try {
    try {
      for await (const chunk of wholeContent(content)) {
        signal?.throwIfAborted();
        await writing(file.writeFile(chunk));
      }
      await writing(file.sync());
    } finally {
      await writing(file.close());
    }
    await writing(moveInto(partial, name, root));
  } catch (error) {
    // A full disk can still unlink. Should that fail as well, the first failure is the one to tell.
    await rm(partial, { force: true }).catch(() => undefined);
    throw error;
  }
}

async function moveInto(partial: string, name: BlobName, root: string): Promise<void> {
  const { folder, path } = placeOf(root, name);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await rename(partial, path);
}

/** A failure of the disk as the caller may see it. What the source of the bytes throws is left as it is. */
async function writing<Value>(work: Promise<Value>): Promise<Value> {
  try {
    return await work;
  } catch (cause) {
    throw new GatewayError('overloaded', 'The picture cannot be stored right now.', { cause });
  }
}

const unreadable = (cause?: unknown): GatewayError =>
  new GatewayError('overloaded', 'The picture cannot be read right now.', { cause });

async function openBlob(path: string, name: BlobName, signal: AbortSignal | undefined): Promise<Blob | undefined> {
  const file = await openExisting(path);
  if (file === undefined) return undefined;
  try {
    const stats = await file.stat();
    if (stats.isFile()) return fileBlob(file, name, { byteLength: stats.size, createdAtMs: stats.mtimeMs }, signal);
  } catch (cause) {
    await file.close();
    throw unreadable(cause);
  }
  await file.close();
  return undefined;
}

/** @returns undefined when there is no such file, or a symbolic link in its place */
async function openExisting(path: string): Promise<FileHandle | undefined> {
  try {
    // Non-blocking, or a named pipe would be waited for.
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (cause) {
    if (isSystemError(cause, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO')) return undefined;
    throw unreadable(cause);
  }
}

function fileBlob(
  file: FileHandle,
  { name, mediaType, expiresAtMs, oneCall }: BlobName,
  stats: Pick<Blob, 'byteLength' | 'createdAtMs'>,
  signal: AbortSignal | undefined,
): Blob {
  return {
    ...stats,
    mediaType,
    expiresAtMs,
    oneCall,
    etag: `"${name}"`,
    read: ({ start, end } = { start: 0, end: stats.byteLength - 1 }) => readRange(file, start, end, signal),
    close: () => file.close(),
  };
}

async function* readRange(
  file: FileHandle,
  start: number,
  end: number,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  for (let position = start; position <= end;) {
    signal?.throwIfAborted();
    const buffer = Buffer.allocUnsafeSlow(Math.min(chunkBytes, end + 1 - position));
    const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, position);
    // Fewer bytes than announced must not pass for the picture.
    if (bytesRead === 0) throw unreadable(new Error('the file is shorter than it was'));
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}

async function listFolder(root: string, { after, limit }: BlobPage, nowMs: number): Promise<readonly BlobEntry[]> {
  const entries: BlobEntry[] = [];
  const names = currentNames(root, after, nowMs);
  try {
    while (entries.length < limit) {
      const batch = await take(names, Math.min(filesAtOnce, limit - entries.length));
      if (batch.length === 0) break;
      const found = await Promise.all(batch.map((name) => entryOf(root, name)));
      entries.push(...found.filter((entry) => entry !== undefined));
    }
  } catch (cause) {
    if (cause instanceof GatewayError) throw cause;
    throw new GatewayError('overloaded', 'The pictures cannot be listed right now.', { cause });
  }
  return entries;
}

/** Names of pictures that have not expired, in the order of a list. */
async function* currentNames(root: string, after: string | undefined, nowMs: number): AsyncGenerator<BlobName> {
  const cursor = after === undefined ? undefined : checkCursor(after);
  const isAmongLasting = cursor !== undefined && cursor.expiresAtMs === undefined;
  const expired = endOfExpired(nowMs);
  if (!isAmongLasting) yield* expiringNames(root, after !== undefined && after > expired ? after : expired);
  yield* lastingNames(root, isAmongLasting ? cursor.name : '');
}

/** @returns undefined when it is gone meanwhile, or is no regular file */
async function entryOf(root: string, parsed: BlobName): Promise<BlobEntry | undefined> {
  const { name, mediaType, expiresAtMs } = parsed;
  try {
    const stats = await lstat(placeOf(root, parsed).path);
    if (!stats.isFile()) return undefined;
    return { name, mediaType, expiresAtMs, byteLength: stats.size, createdAtMs: stats.mtimeMs };
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return undefined;
    throw error;
  }
}

async function sweepFolder(root: string, { limit, signal }: SweepBounds, nowMs: number): Promise<SweepResult> {
  try {
    let removed = await sweepIncoming(root, limit, nowMs);
    const names = expiringNames(root, '');
    for (let more = removed < limit; more;) {
      signal.throwIfAborted();
      const batch = await take(names, Math.min(filesAtOnce, limit - removed));
      const expired = batch.filter((name) => hasExpired(name, nowMs));
      await Promise.all(expired.map((name) => rm(placeOf(root, name).path, { force: true })));
      removed += expired.length;
      more = expired.length > 0 && expired.length === batch.length && removed < limit;
    }
    await removePastFolders(root, nowMs);
    return { removed, more: removed >= limit };
  } catch (cause) {
    signal.throwIfAborted();
    throw new GatewayError('overloaded', 'Expired pictures cannot be removed right now.', { cause });
  }
}

/** Deletes what was never completed. @returns how many */
async function sweepIncoming(root: string, limit: number, nowMs: number): Promise<number> {
  const folder = join(root, incomingFolder);
  let removed = 0;
  for (const { name } of await entriesOf(folder)) {
    if (removed >= limit) break;
    if (!name.endsWith('.partial') || !(await isStale(join(folder, name), nowMs))) continue;
    await rm(join(folder, name), { force: true });
    removed += 1;
  }
  return removed;
}

async function isStale(path: string, nowMs: number): Promise<boolean> {
  try {
    return (await lstat(path)).mtimeMs <= nowMs - staleAfterMs;
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return false;
    throw error;
  }
}

/** The next values, `most` of them if there are as many. */
async function take<Value>(values: AsyncGenerator<Value>, most: number): Promise<readonly Value[]> {
  const taken: Value[] = [];
  while (taken.length < most) {
    const { done, value } = await values.next();
    if (done === true) break;
    taken.push(value);
  }
  return taken;
}
