/** Pictures as files: one file each, in folders named by the first two characters of its name. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { GatewayError } from '../errors.ts';
import { fileExtension } from '../images/probe.ts';
import type { Blob, BlobStore, BlobStoreDefinition } from './blob-store.ts';

/** By extension, which is all that is kept about a picture. Whatever is not in the list is kept as nothing but bytes. */
const mediaTypes: ReadonlyMap<string, string> = new Map(
  [
    'image/png',
    'image/jpeg',
    'image/webp',
    'image/gif',
    'image/avif',
    'image/heic',
    'image/bmp',
    'image/tiff',
    'image/svg+xml',
    'application/octet-stream',
  ].map((mediaType) => [fileExtension(mediaType), mediaType]),
);

/** 24 random bytes as 32 url-safe characters, and an extension. Nothing that matches can lead out of the folder. */
const namePattern = new RegExp(`^[A-Za-z0-9_-]{32}\\.(${[...mediaTypes.keys()].join('|')})$`);

/** Bytes read at once. */
const chunkBytes = 256 * 1024;

/** `file:PATH`: a folder, which is created when the first picture comes. */
export const fileBlobStore: BlobStoreDefinition = {
  scheme: 'file',
  open: (location) => Promise.resolve(openFolder(location)),
};

function openFolder(folder: string): BlobStore {
  const pathOf = (name: string): string => join(folder, name.slice(0, 2), name);

  return {
    async put(bytes, mediaType) {
      const extension = fileExtension(mediaType);
      const name = `${randomBytes(24).toString('base64url')}.${mediaTypes.has(extension) ? extension : 'bin'}`;
      await keep(bytes, pathOf(name));
      return name;
    },

    async open(name) {
      const mediaType = mediaTypes.get(namePattern.exec(name)?.[1] ?? '');
      return mediaType === undefined ? undefined : openBlob(pathOf(name), `"${name}"`, mediaType);
    },

    async remove(name) {
      if (namePattern.test(name)) await writing(rm(pathOf(name), { force: true }));
    },

    async close() {},
  };
}

/** Writes a file under another name first, so that under its own it is complete from the start. */
async function keep(bytes: AsyncIterable<Uint8Array>, path: string): Promise<void> {
  const partial = `${path}.partial`;
  await writing(mkdir(dirname(path), { recursive: true, mode: 0o700 }));
  const file = await writing(open(partial, 'wx', 0o600));
  try {
    try {
      for await (const chunk of bytes) await writing(file.writeFile(chunk));
      await writing(file.sync());
    } finally {
      await writing(file.close());
    }
    await writing(rename(partial, path));
  } catch (error) {
    // A full disk can still unlink. Should that fail as well, the first failure is the one to tell.
    await rm(partial, { force: true }).catch(() => undefined);
    throw error;
  }
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

async function openBlob(path: string, etag: string, mediaType: string): Promise<Blob | undefined> {
  const file = await openExisting(path);
  if (file === undefined) return undefined;
  try {
    const stats = await file.stat();
    if (stats.isFile()) return fileBlob(file, { etag, mediaType, byteLength: stats.size, createdAtMs: stats.mtimeMs });
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
    if (['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'].includes(errorCode(cause))) return undefined;
    throw unreadable(cause);
  }
}

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function fileBlob(file: FileHandle, properties: Pick<Blob, 'mediaType' | 'byteLength' | 'etag' | 'createdAtMs'>): Blob {
  return {
    ...properties,
    read: ({ start, end } = { start: 0, end: properties.byteLength - 1 }) => readRange(file, start, end),
    close: () => file.close(),
  };
}

async function* readRange(file: FileHandle, start: number, end: number): AsyncGenerator<Uint8Array> {
  for (let position = start; position <= end;) {
    const buffer = Buffer.allocUnsafeSlow(Math.min(chunkBytes, end + 1 - position));
    const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, position);
    // Fewer bytes than announced must not pass for the picture.
    if (bytesRead === 0) throw unreadable(new Error('the file is shorter than it was'));
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
