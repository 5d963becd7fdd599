/** What the readers of the formats note down about a file. */

/** Width and height in pixels. */
export interface Dimensions {
  readonly width: number;
  readonly height: number;
}

/** A run of a file's bytes that has others in its place once its metadata is taken out. */
export interface Edit {
  readonly start: number;
  /** The byte behind the run; Infinity for the end of the file. */
  readonly end: number;
  readonly replacement: Uint8Array;
}

export interface Findings {
  /** As stored, whatever is said about how to turn the picture. */
  dimensions: Dimensions | undefined;
  /** Whether the file has been seen to go to the end that its format announces, and tells its size. */
  complete: boolean;
  /** In the order of the file; they do not overlap. */
  edits: Edit[];
}

/** Tells a reader the offset of the next byte that it will get. */
export type Position = () => number;

const nothing = new Uint8Array();

/** No honest picture has its metadata in so many places; the list must not outgrow the file. */
const mostEdits = 4096;

/** Notes what goes when metadata goes. @returns false when there is no end to it */
export function noteEdit({ edits }: Findings, start: number, end: number, replacement = nothing): boolean {
  const last = edits.at(-1);
  if (last?.end === start && replacement.byteLength === 0) edits[edits.length - 1] = { ...last, end };
  else edits.push({ start, end, replacement });
  return edits.length <= mostEdits;
}

/** Several places of a file may tell a size: the larger one is what a decoder may have to make room for. */
export function noteDimensions(findings: Findings, width: number, height: number): void {
  const { dimensions } = findings;
  if (dimensions === undefined || width * height > dimensions.width * dimensions.height) {
    findings.dimensions = { width, height };
  }
}
