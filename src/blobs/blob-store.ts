import type { Clock } from '../pipeline/stage.ts';
import type { Logger } from '../log.ts';
import type { Secret } from '../secret.ts';

/** The contract of a place where the gateway keeps the pictures that it hands out links to. */
export interface BlobStore {
  /**
   * Keeps a picture under a new, unguessable name with the extension of its type, such as `gXw…Q.png`. The name also tells
   * when the picture expires, so no store keeps anything beside it. It is there completely or not at all.
   * @throws GatewayError overloaded when it cannot be written; the signal's reason; what reading the content throws
   */
  put(content: BlobContent, mediaType: string, options?: PutOptions): Promise<string>;

  /**
   * The picture of that name; undefined when there is none or it has expired, whatever the name looks like.
   * @param signal ends the reading as well
   * @throws GatewayError overloaded when nobody can tell
   */
  open(name: string, signal?: AbortSignal): Promise<Blob | undefined>;

  /**
   * Forgets the picture of that name, if there is one. Whoever reads it goes on to its end where the place allows it.
   * @throws GatewayError overloaded
   */
  remove(name: string): Promise<void>;

  /**
   * Pictures that have not expired: first those that will, in the order in which they do, then those that stay, by name.
   * Fewer than `limit` are all that there are.
   * @throws GatewayError overloaded; invalid_value with the param `after` when it is no name of a picture
   */
  list(page: BlobPage): Promise<readonly BlobEntry[]>;

  /**
   * Deletes pictures that have expired, and what a crash has left of unfinished ones.
   * @throws GatewayError overloaded; the signal's reason
   */
  sweep(bounds: SweepBounds): Promise<SweepResult>;

  close(): Promise<void>;
}

/** A picture's bytes on their way into a store. */
export interface BlobContent {
  /** How many there are. A store throws away what turns out to be longer or shorter. */
  readonly byteLength: number;
  /** From the first one on. Called again when a store has to try again. */
  read(): AsyncIterable<Uint8Array>;
}

export interface PutOptions {
  /** Milliseconds since 1970, rounded up to whole seconds; undefined: never. From then on nobody gets the picture. */
  readonly expiresAtMs?: number | undefined;
  /** A caller's upload that is hosted for the length of one call. It must expire. */
  readonly oneCall?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Blob {
  readonly mediaType: string;
  readonly byteLength: number;
  /** A strong validator, quotes included. */
  readonly etag: string;
  readonly createdAtMs: number;
  /** Undefined: never. */
  readonly expiresAtMs: number | undefined;
  /** Whether it is there for one call only, so that nobody may keep a copy. */
  readonly oneCall: boolean;
  /** The bytes from `start` up to and including `end`; all of them when nothing is said. */
  read(range?: { readonly start: number; readonly end: number }): AsyncIterable<Uint8Array>;
  /** Lets go of the picture, and of whatever still reads it; safe to call more than once. */
  close(): Promise<void>;
}

export interface BlobPage {
  /** The last name of the page before; it need not exist any more. Undefined: the first page. */
  readonly after?: string | undefined;
  /** At least 1. */
  readonly limit: number;
}

export interface BlobEntry {
  readonly name: string;
  readonly mediaType: string;
  readonly byteLength: number;
  readonly createdAtMs: number;
  /** Undefined: never. */
  readonly expiresAtMs: number | undefined;
}

export interface SweepBounds {
  /** How many to delete at most. */
  readonly limit: number;
  readonly signal: AbortSignal;
}

export interface SweepResult {
  /** How many were deleted. */
  readonly removed: number;
  /** Whether the limit kept it from deleting more. */
  readonly more: boolean;
}

/** A kind of blob store: what the part before the colon in `images:` names. */
export interface BlobStoreDefinition {
  readonly scheme: string;
  /**
   * Does not go to the network: a place that cannot be reached fails each call, and says so in the log.
   * @param location what stands after the scheme; a path is absolute
   */
  open(location: string, settings: BlobStoreSettings): Promise<BlobStore>;
}

export interface BlobStoreSettings {
  readonly clock: Clock;
  readonly log: Logger;
  /** What requests are signed with, for places that ask for it. */
  readonly credentials: BlobCredentials | undefined;
  /** A place of its own below the location, for what is no picture: nobody who opens the location itself comes across it. */
  readonly part?: 'answers' | undefined;
}

export interface BlobCredentials {
  readonly accessKeyId: Secret;
  readonly secretAccessKey: Secret;
  readonly sessionToken: Secret | undefined;
}
