import type { ByteSource } from '../body/byte-source.ts';
import type { ImagePayload } from '../images/payload.ts';
import type { JsonValue } from '../json.ts';
import type { TargetCall } from './call.ts';
import type { GatewayError } from '../errors.ts';

/** A request to a provider, described but not yet written to bytes, so that it can be sent again, shown and compared. */
export interface WireRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: string;
  /** Lower-case names. No credential: dispatch adds what `authorise` gives for the token it picked. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: WireBody;
}

export type WireBody =
  | { readonly kind: 'none' }
  /** A JSON document; a `PictureText` leaf is written as a string with the picture in it. */
  | { readonly kind: 'json'; readonly value: WireJson }
  | { readonly kind: 'multipart'; readonly parts: readonly WirePart[] }
  /** `application/x-www-form-urlencoded`. */
  | { readonly kind: 'form'; readonly fields: Readonly<Record<string, string>> };

export type WireJson = JsonValue | PictureText | readonly WireJson[] | { readonly [key: string]: WireJson };

/** A leaf of a JSON body that holds a picture. */
export class PictureText {
  readonly payload: ImagePayload;
  /** Put before the base64, such as `data:image/png;base64,`; empty for bare base64. */
  readonly prefix: string;

  constructor(payload: ImagePayload, prefix = '') {
    this.payload = payload;
    this.prefix = prefix;
  }
}

export type WirePart =
  | { readonly kind: 'field'; readonly name: string; readonly value: string }
  | {
      readonly kind: 'file';
      readonly name: string;
      readonly fileName: string;
      readonly mediaType: string;
      readonly payload: ImagePayload;
    };

/** What came back. The body has not been read and is bounded. */
export interface UpstreamReply {
  readonly status: number;
  /** Lower-case names; repeated headers joined with a comma. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: ByteSource;
}

/** One request of a call, and the part of the call that it is for: the whole, unless the call is fanned out. */
export interface UpstreamPart {
  readonly call: TargetCall;
  readonly request: WireRequest;
}

/** What became of a part of the call. */
export type PartOutcome = SettledPart | PendingPart;

export type SettledPart = AnsweredPart | FailedPart;

/** A part with its last answer, which has a 2xx status. */
export interface AnsweredPart {
  readonly kind: 'answered';
  readonly call: TargetCall;
  /** The place of its record in the exchange's `attempts`. */
  readonly attempt: number;
  readonly reply: UpstreamReply;
}

/** A part that failed while others succeeded. */
export interface FailedPart {
  readonly kind: 'failed';
  readonly call: TargetCall;
  readonly error: GatewayError;
}

/** A part that is still under way, while others are answered already: for a caller who takes pictures one by one. */
export interface PendingPart {
  readonly kind: 'pending';
  /** @throws whatever is no failure of the provider, such as the signal's reason */
  readonly outcome: Promise<SettledPart>;
}

/** How long and how much, for one request to a provider. */
export interface SendOptions {
  /** Ends the request, and the reading of its answer, at once. */
  readonly signal: AbortSignal;
  readonly maxReplyBytes: number;
  /** Called when the first byte was handed to a connection: from here on the provider may have seen the call. */
  onSent(): void;
  /** Gives further headers once the body is written. @param bodySha256 in lower-case hexadecimal */
  sign?(bodySha256: string): Promise<Readonly<Record<string, string>>>;
}

/**
 * The way to one provider, with its own connection pools. Implemented in `http/client.ts`.
 * `send` follows no redirects and never retries.
 * @throws GatewayError upstream_unreachable (nothing was sent), upstream_error (the connection broke)
 */
export interface HttpClient {
  send(request: WireRequest, options: SendOptions): Promise<UpstreamReply>;
}
