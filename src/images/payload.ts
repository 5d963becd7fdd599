/**
 * A picture in whichever form it arrived. It stays in that form until somebody needs another one, and no form is ever
 * a JavaScript string: base64 is ASCII bytes, converted piece by piece on its way from socket to socket.
 * The conversions are in `images/convert-payload.ts`.
 */
export type ImagePayload = BytesPayload | Base64Payload | FilePayload | LinkPayload;

/** The picture's own bytes, in memory. */
export interface BytesPayload {
  readonly kind: 'bytes';
  readonly bytes: Uint8Array;
}

/** Base64 text as it stood in a JSON document, in the slices in which it arrived. */
export interface Base64Payload {
  readonly kind: 'base64';
  readonly text: ByteText;
}

/** The picture's own bytes, in a temporary file that has no name any more. */
export interface FilePayload {
  readonly kind: 'file';
  readonly file: SpooledFile;
}

/** A picture that has yet to be fetched. */
export interface LinkPayload {
  readonly kind: 'link';
  readonly url: string;
  /** Who named the address decides how much it is trusted: neither may lead into the gateway's own network. */
  readonly trust: 'caller' | 'response';
}

/** A long text kept as the bytes in which it arrived. */
export interface ByteText {
  readonly slices: readonly Uint8Array[];
  readonly byteLength: number;
  /** Whether the slices hold JSON escapes (`\/`, `\n`), which some encoders put into base64. */
  readonly escaped: boolean;
}

/** Bytes in an unlinked temporary file: readable any number of times until it is closed, gone with the process. */
export interface SpooledFile {
  readonly byteLength: number;
  read(): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}
