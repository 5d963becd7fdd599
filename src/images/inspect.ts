/** Looks at a picture's file while its bytes pass by: what it is, how large, whether it is whole. Nothing is decoded. */
import { createGatherer } from '../body/gather.ts';
import type { Dimensions, Edit, Findings, Position } from './findings.ts';
import { magicBytes, sniffMediaType } from './probe.ts';
import { readBmp } from './read-bmp.ts';
import { readGif } from './read-gif.ts';
import { readHeif } from './read-heif.ts';
import { readJpeg } from './read-jpeg.ts';
import { readPng } from './read-png.ts';
import { readWebp } from './read-webp.ts';
import { createFeed, type Feed, type Reading } from './reading.ts';

export type { Dimensions, Edit } from './findings.ts';

/** The formats whose layout is known. Of any other only the kind is told. */
const readers: ReadonlyMap<string, (findings: Findings, at: Position) => Reading> = new Map([
  ['image/png', readPng],
  ['image/jpeg', readJpeg],
  ['image/webp', readWebp],
  ['image/gif', readGif],
  ['image/avif', readHeif],
  ['image/heic', readHeif],
  ['image/bmp', readBmp],
]);

export interface Inspection {
  /** By the magic number; undefined when it is no picture of a kind that we know. */
  readonly mediaType: string | undefined;
  /**
   * By the header, as stored, whatever orientation the metadata asks for. Where several places tell a size it is the
   * largest. Undefined for kinds whose layout is not known, and for animated AVIF and HEIC.
   */
  readonly dimensions: Dimensions | undefined;
  /** Whether the file goes to the end that its header or its parts announce. What follows after it does not matter. */
  readonly complete: boolean;
  /** What to change to be rid of its metadata: for PNG, JPEG and WebP. */
  readonly edits: readonly Edit[];
}

export interface PictureInspector {
  /** Takes the next bytes, and keeps nothing of their memory. Never fails, whatever they are. */
  write(chunk: Uint8Array): void;
  /** What is known by now; undefined while there are too few bytes to tell the kind. `complete` is not final. */
  seen(): Inspection | undefined;
  /** What is known, now that all bytes have come. */
  end(): Inspection;
}

export function createPictureInspector(): PictureInspector {
  const head = createGatherer();
  const findings: Findings = { dimensions: undefined, complete: false, edits: [] };
  let kind: { readonly mediaType: string | undefined; readonly feed: Feed | undefined } | undefined;
  let byteLength = 0;

  const begin = (): NonNullable<typeof kind> => {
    const bytes = head.joined();
    const mediaType = sniffMediaType(bytes);
    const read = readers.get(mediaType ?? '');
    const feed = read && createFeed((at) => read(findings, at));
    findings.complete = feed === undefined;
    feed?.write(bytes);
    return { mediaType, feed };
  };

  const told = (): Inspection => ({
    mediaType: kind?.mediaType,
    ...findings,
    edits: withinFile(findings.edits, byteLength),
  });

  return {
    write(chunk) {
      byteLength += chunk.byteLength;
      if (kind !== undefined) {
        kind.feed?.write(chunk);
      } else {
        head.add(chunk);
        if (head.byteLength >= magicBytes) kind = begin();
      }
    },
    seen: () => (kind === undefined ? undefined : told()),
    end() {
      kind ??= begin();
      return told();
    },
  };
}

/** A file's whole inspection. @param bytes is read to its end, and its failures are passed on */
export async function inspectPicture(bytes: AsyncIterable<Uint8Array>): Promise<Inspection> {
  const inspector = createPictureInspector();
  for await (const chunk of bytes) inspector.write(chunk);
  return inspector.end();
}

/** The size of a picture whose file begins so; undefined when it does not tell, or only further on. */
export function probeDimensions(head: Uint8Array): Dimensions | undefined {
  const inspector = createPictureInspector();
  inspector.write(head);
  return inspector.end().dimensions;
}

/** Readers say that everything from somewhere on goes; what does not reach into the file is nothing to do. */
function withinFile(edits: readonly Edit[], byteLength: number): readonly Edit[] {
  return edits.flatMap((edit) => {
    const end = Math.min(edit.end, byteLength);
    return edit.start < end ? { ...edit, end } : [];
  });
}
