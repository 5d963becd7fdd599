/** The contract of a place where the gateway keeps the pictures that it hands out links to. */
export interface BlobStore {
  /**
   * Keeps a picture under a new, unguessable name with the extension of its type, such as `gXw…Q.png`.
   * It is there completely or not at all. @throws GatewayError overloaded when it cannot be written
   */
  put(bytes: AsyncIterable<Uint8Array>, mediaType: string): Promise<string>;

  /** The picture of that name; undefined when there is none, whatever the name looks like. */
  open(name: string): Promise<Blob | undefined>;

  /** Forgets the picture of that name, if there is one. Whoever reads it goes on to its end. */
  remove(name: string): Promise<void>;

  close(): Promise<void>;
}

export interface Blob {
  readonly mediaType: string;
  readonly byteLength: number;
  /** A strong validator, quotes included. */
  readonly etag: string;
  readonly createdAtMs: number;
  /** The bytes from `start` up to and including `end`; all of them when nothing is said. */
  read(range?: { readonly start: number; readonly end: number }): AsyncIterable<Uint8Array>;
  /** Lets go of the file; safe to call more than once. */
  close(): Promise<void>;
}

/** A kind of blob store: what the part before the colon in `images:` names. */
export interface BlobStoreDefinition {
  readonly scheme: string;
  /** @param location what stands after the scheme; a path is absolute */
  open(location: string): Promise<BlobStore>;
}
