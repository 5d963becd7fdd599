import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { formatSize } from '../quantities.ts';

/** What reading a file gave. */
export type FileRead =
  | { readonly kind: 'read'; readonly bytes: Buffer }
  /** `reason` continues a sentence that names the file: `does not exist`. */
  | { readonly kind: 'failed'; readonly reason: string };

/**
 * Reads a regular file as long as it has no more than `maxBytes`. Never throws. Nothing but regular files is opened, as
 * reading a pipe would take from it what somebody else waits for, and might wait for ever.
 */
export async function readFileBounded(path: string, maxBytes: number): Promise<FileRead> {
  try {
    if (!(await stat(path)).isFile()) return { kind: 'failed', reason: 'is not a regular file' };
    // Not blocking, should a pipe have taken the file's place just now.
    await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const chunks: Buffer[] = [];
    for (let total = 0; ;) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(64 * 1024), 0, 64 * 1024, null);
      if (bytesRead === 0) return { kind: 'read', bytes: Buffer.concat(chunks) };
      total += bytesRead;
      if (total > maxBytes) return { kind: 'failed', reason: `is larger than ${formatSize(maxBytes)}` };
      chunks.push(buffer.subarray(0, bytesRead));
    }
  } catch (error) {
    return { kind: 'failed', reason: reasonOf(error) };
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'does not exist',
  EACCES: 'may not be read by this user',
  EPERM: 'may not be read by this user',
  ELOOP: 'is a link that leads to itself',
};

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : String(error);
  return reasons[code] ?? `cannot be read (${code})`;
}

/** The text of bytes in UTF-8, without a byte order mark; undefined if they are something else. */
export function decodeText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined; // The decoder's way of saying so.
  }
}

/** A digest of files by path and content, whatever their order. A file that cannot be read counts with the reason. */
export function digestFiles(files: ReadonlyMap<string, FileRead>): string {
  const hash = createHash('sha256');
  for (const [path, file] of [...files].toSorted(([left], [right]) => (left < right ? -1 : 1))) {
    const content = file.kind === 'read' ? createHash('sha256').update(file.bytes).digest('hex') : file.reason;
    hash.update(`${JSON.stringify([path, file.kind, content])}\n`);
  }
  return hash.digest('hex');
}
