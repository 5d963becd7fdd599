/**
 * Where pictures lie below the folder of the file store:
 *
 *     Ab/AbcdefgX….png                    those that stay, by the first two characters of their names
 *     expiring/0t2k/9/0t2k9zq-AbX….png    those that expire, by 13 hours and by 22 minutes
 *     incoming/AbcdefgX….png.partial      those that are not complete yet
 *     answers/…                           the same again, for answers that are kept to be given once more
 */
import type { Dirent } from 'node:fs';
import { readdir, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import { endOfExpired, parseBlobName, type BlobName } from './blob-name.ts';

const expiringFolder = 'expiring';

export const incomingFolder = 'incoming';

/** Seconds, in digits of base 36, that the names of the folders for expiring pictures leave open. */
const longSpanDigits = 3;
const shortSpanDigits = 2;

/** The folder of a picture, and its file in it. */
export function placeOf(
  root: string,
  { name, expiresAtMs }: Pick<BlobName, 'name' | 'expiresAtMs'>,
): { readonly folder: string; readonly path: string } {
  const folder =
    expiresAtMs === undefined
      ? join(root, name.slice(0, 2))
      : join(root, expiringFolder, name.slice(0, 4), name.slice(4, 5));
  return { folder, path: join(folder, name) };
}

/**
 * The pictures that expire and whose names come after a text, in the order of their names. Folders are read one at a time.
 */
export async function* expiringNames(root: string, after: string): AsyncGenerator<BlobName> {
  const folder = join(root, expiringFolder);
  for (const long of await foldersIn(folder, /^[0-9a-z]{4}$/, after)) {
    for (const short of await foldersIn(
      join(folder, long),
      /^[0-9a-z]$/,
      after.startsWith(long) ? after.slice(4) : '',
    )) {
      yield* namesIn(join(folder, long, short), long + short, after);
    }
  }
}

/** The pictures that stay and whose names come after a text, in the order of their names. */
export async function* lastingNames(root: string, after: string): AsyncGenerator<BlobName> {
  for (const start of await foldersIn(root, /^[A-Za-z0-9_-]{2}$/, after)) {
    yield* namesIn(join(root, start), start, after);
  }
}

/** Removes the folders of pictures that have all expired. What is not empty stays. */
export async function removePastFolders(root: string, nowMs: number): Promise<void> {
  const folder = join(root, expiringFolder);
  const end = endOfExpired(nowMs);
  const isPast = (start: string, openDigits: number): boolean => `${start}${'z'.repeat(openDigits)}` < end;
  for (const long of await foldersIn(folder, /^[0-9a-z]{4}$/, '')) {
    if (long > end) return;
    for (const short of await foldersIn(join(folder, long), /^[0-9a-z]$/, '')) {
      if (isPast(long + short, shortSpanDigits)) await removeIfEmpty(join(folder, long, short));
    }
    if (isPast(long, longSpanDigits)) await removeIfEmpty(join(folder, long));
  }
}

/** Names of subfolders in which something may come after a text, in order. */
async function foldersIn(folder: string, pattern: RegExp, after: string): Promise<readonly string[]> {
  const entries = await entriesOf(folder);
  return entries
    .filter((entry) => entry.isDirectory() && pattern.test(entry.name))
    .map(({ name }) => name)
    .filter((name) => name >= after.slice(0, name.length))
    .toSorted();
}

async function* namesIn(folder: string, start: string, after: string): AsyncGenerator<BlobName> {
  const entries = await entriesOf(folder);
  const names = entries.map(({ name }) => name).filter((name) => name.startsWith(start) && name > after);
  for (const name of names.toSorted()) {
    const parsed = parseBlobName(name);
    if (parsed !== undefined) yield parsed;
  }
}

/** What lies in a folder; nothing when there is no such folder. */
export async function entriesOf(folder: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    if (isSystemError(error, 'ENOENT')) return [];
    throw error;
  }
}

async function removeIfEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    if (!isSystemError(error, 'ENOTEMPTY', 'ENOENT', 'EEXIST')) throw error;
  }
}

/** Whether an error is one of the system's, with one of these codes. */
export function isSystemError(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
