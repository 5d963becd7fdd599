import type { ByteSource } from '../body/byte-source.ts';

/** What goes back to the caller. */
export type GatewayResponse = BodyResponse | ImagesResponse | TakenResponse;

/** A finished answer. Every stage may make one. */
export interface BodyResponse {
  readonly kind: 'body';
  readonly status: number;
  /** Lower-case names. `content-length` is set from the body. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array | ByteSource;
  /** What the body, which has been read, tells at its end that it failed of; undefined: it is whole. */
  failure?(): unknown;
}

/** The `result` slot in OpenAI's form, written out only when it is sent, so a later stage may still change the result. */
export interface ImagesResponse {
  readonly kind: 'images';
  /** Pictures as links or as base64; undefined: each as it is, which is base64 in events. */
  readonly form: 'url' | 'b64_json' | undefined;
  /** As one JSON document, or as server-sent events. */
  readonly framing: 'json' | 'events';
  /** Whether the provider's own document may go out in place of one written anew, as long as the result allows it. */
  readonly passThrough: boolean;
  /** What is told in the body beyond OpenAI's members. */
  readonly extras: readonly ('latency' | 'cost' | 'routing' | 'budget')[];
}

/** A stage has taken over the connection and answers, or has answered, by itself. */
export interface TakenResponse {
  readonly kind: 'taken';
  /** As far as it is known, for the access log. */
  readonly status: number;
}

/** A JSON document as an answer. For documents that hold no pictures. */
export function jsonResponse(status: number, document: unknown, headers: Record<string, string> = {}): BodyResponse {
  return {
    kind: 'body',
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: Buffer.from(JSON.stringify(document)),
  };
}
