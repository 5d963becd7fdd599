import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';

/** Bytes of one file that count. A configuration is never that large; a mistyped path may well be. */
const mostBytes = 16 * 1024 * 1024;

const chunkBytes = 64 * 1024;

/**
 * Tells two states of a file apart by its bytes alone: times and sizes lie on some file systems, and after some saves.
 * Never throws: what cannot be read has a fingerprint too. Only regular files are opened, as reading a pipe would
 * take from it what somebody else waits for.
 */
export async function fingerprint(path: string): Promise<string> {
  try {
    if (!(await stat(path)).isFile()) return 'not a file';
    // Not blocking, should a pipe have taken the file's place just now.
    await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const hash = createHash('sha256');
    const chunk = Buffer.allocUnsafe(chunkBytes);
    for (let total = 0; total < mostBytes;) {
      const { bytesRead } = await handle.read(chunk, 0, chunkBytes, null);
      if (bytesRead === 0) break;
      hash.update(chunk.subarray(0, bytesRead));
      total += bytesRead;
    }
    return hash.digest('base64url');
  } catch (error) {
    return `unreadable: ${error instanceof Error && 'code' in error ? String(error.code) : String(error)}`;
  }
}
