/**
 * Reading a file while it passes by, in whatever pieces it comes: a reader is a generator that asks for what it wants
 * next, and is put to sleep until that has come. So the layout of a format is written down as if the file were all there,
 * and nothing of it is kept but what the reader takes.
 */
import { asBuffer } from '../body/as-buffer.ts';
import { createGatherer } from '../body/gather.ts';

/** What a reader asks for: so many bytes, to go past so many, or to go past the next byte of a value. */
export type Wish =
  { readonly kind: 'take' | 'skip'; readonly byteLength: number } | { readonly kind: 'find'; readonly byte: number };

/** A reader at work. It gets what it took, and nothing for what it went past. It ends when it has seen enough. */
export type Reading<Result = void> = Generator<Wish, Result, Buffer>;

/** The next bytes. They are valid until the reader asks for more. */
export function* take(byteLength: number): Reading<Buffer> {
  return yield { kind: 'take', byteLength };
}

/** Goes past so many bytes. The reader does not wake before all of them have come. */
export function* skip(byteLength: number): Reading {
  if (byteLength > 0) yield { kind: 'skip', byteLength };
}

/** Goes past the next byte of this value. */
export function* find(byte: number): Reading {
  yield { kind: 'find', byte };
}

export interface Feed {
  write(chunk: Uint8Array): void;
}

/** @param start makes the reader; what it is given tells the offset of the next byte that the reader will get */
export function createFeed(start: (at: () => number) => Reading): Feed {
  /** Of the first byte that the reader has not had. */
  let offset = 0;
  const reading = start(() => offset);
  const nothing = Buffer.alloc(0);
  let step = reading.next(nothing);
  let gathered = createGatherer();
  /** Bytes of the present wish to skip that have come. */
  let skipped = 0;

  const grant = (bytes: Buffer): void => {
    gathered = createGatherer();
    skipped = 0;
    step = reading.next(bytes);
  };

  /** Takes from the front of the bytes what the wish needs, and says how many that were; undefined: all, and it needs more. */
  const serve = (wish: Wish, bytes: Buffer): number | undefined => {
    if (wish.kind === 'find') {
      const at = bytes.indexOf(wish.byte);
      offset += at < 0 ? bytes.byteLength : at + 1;
      if (at < 0) return undefined;
      grant(nothing);
      return at + 1;
    }
    const missing = wish.byteLength - (wish.kind === 'take' ? gathered.byteLength : skipped);
    const used = Math.min(missing, bytes.byteLength);
    offset += used;
    const part = bytes.subarray(0, used);
    // The rest comes with a later chunk, when whose memory this is may have given it back.
    if (wish.kind === 'take') gathered.add(used < missing ? Buffer.from(part) : part);
    else skipped += used;
    if (used < missing) return undefined;
    grant(wish.kind === 'take' ? asBuffer(gathered.joined()) : nothing);
    return used;
  };

  return {
    write(chunk) {
      let rest = asBuffer(chunk);
      while (step.done !== true) {
        const used = serve(step.value, rest);
        if (used === undefined) return;
        rest = rest.subarray(used);
      }
    },
  };
}
