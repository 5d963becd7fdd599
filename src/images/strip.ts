/** Takes the metadata out of a picture's file (EXIF, XMP, IPTC, C2PA, texts), with the pixels left as they are stored. */
import { payloadByteLength, payloadBytes } from './convert-payload.ts';
import type { Edit } from './inspect.ts';
import type { ImagePayload } from './payload.ts';

/**
 * The picture with the edits of its inspection made. Bytes in memory are written anew; a file stays as it is, and the
 * edits are made whenever it is read.
 * @throws InvalidBase64; TypeError for a link
 */
export async function withoutMetadata(payload: ImagePayload, edits: readonly Edit[]): Promise<ImagePayload> {
  if (edits.length === 0) return payload;
  const byteLength = editedLength(payloadByteLength(payload) ?? 0, edits);
  if (payload.kind === 'file') {
    const { file } = payload;
    return { kind: 'file', file: { byteLength, read: () => edited(file.read(), edits), close: () => file.close() } };
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of edited(payloadBytes(payload), edits)) pieces.push(piece);
  return { kind: 'bytes', bytes: Buffer.concat(pieces) };
}

function editedLength(byteLength: number, edits: readonly Edit[]): number {
  return edits.reduce((sum, { start, end, replacement }) => sum + replacement.byteLength - (end - start), byteLength);
}

async function* edited(bytes: AsyncIterable<Uint8Array>, edits: readonly Edit[]): AsyncIterable<Uint8Array> {
  const waiting = edits.values();
  let next = waiting.next();
  /** Of the first byte of the chunk. */
  let offset = 0;
  for await (const chunk of bytes) {
    let at = 0;
    while (next.done !== true && next.value.start < offset + chunk.byteLength) {
      const { start, end, replacement } = next.value;
      if (start >= offset + at) {
        if (start > offset + at) yield chunk.subarray(at, start - offset);
        if (replacement.byteLength > 0) yield replacement;
      }
      at = Math.min(chunk.byteLength, end - offset);
      // The rest of the run stands in the chunks that follow.
      if (end > offset + chunk.byteLength) break;
      next = waiting.next();
    }
    if (at < chunk.byteLength) yield chunk.subarray(at);
    offset += chunk.byteLength;
  }
}
