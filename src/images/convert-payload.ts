import { GatewayError } from '../errors.ts';
import { createGatherer } from '../body/gather.ts';
import { base64Length, decodeBase64, decodedLength, encodeBase64, InvalidBase64, isPlainBase64 } from './base64.ts';
import type { ImagePayload, LinkPayload } from './payload.ts';

/**
 * The picture's own bytes. May be read again.
 * @throws TypeError for a link, at once; iterating throws InvalidBase64
 */
export function payloadBytes(payload: ImagePayload): AsyncIterable<Uint8Array> {
  switch (payload.kind) {
    case 'bytes':
      return inPieces([payload.bytes]);
    case 'base64':
      return decodeBase64(payload.text.slices, { escaped: payload.text.escaped });
    case 'file':
      return payload.file.read();
    case 'link':
      break;
  }
  throw notFetched(payload);
}

/**
 * The picture as base64: padded, and nothing in it but letters of the first alphabet, so that it can stand in a JSON
 * string as it is. Text that is such already goes through untouched; any other is decoded and written anew. May be read again.
 * @throws TypeError for a link, at once; iterating throws InvalidBase64
 */
export function payloadBase64(payload: ImagePayload): AsyncIterable<Uint8Array> {
  return payload.kind === 'base64' ? plainBase64(payload) : encodeBase64(payloadBytes(payload));
}

async function* plainBase64(payload: ImagePayload & { kind: 'base64' }): AsyncIterable<Uint8Array> {
  if (isPlainBase64(payload.text)) yield* payload.text.slices;
  else yield* encodeBase64(payloadBytes(payload));
}

/**
 * How many bytes `payloadBytes` brings; undefined when it will throw.
 * @throws TypeError for a link
 */
export function payloadByteLength(payload: ImagePayload): number | undefined {
  switch (payload.kind) {
    case 'bytes':
      return payload.bytes.byteLength;
    case 'base64':
      return lengthOfBase64(payload);
    case 'file':
      return payload.file.byteLength;
    case 'link':
      break;
  }
  throw notFetched(payload);
}

/**
 * The picture's own bytes for a store, which may read them again.
 * @throws InvalidBase64; TypeError for a link
 */
export function payloadContent(payload: ImagePayload): PayloadContent {
  const byteLength = payloadByteLength(payload);
  if (byteLength === undefined) throw new InvalidBase64();
  return { byteLength, read: () => payloadBytes(payload) };
}

interface PayloadContent {
  readonly byteLength: number;
  read(): AsyncIterable<Uint8Array>;
}

/**
 * How many bytes `payloadBase64` brings; undefined when it will throw.
 * @throws TypeError for a link
 */
export function payloadBase64Length(payload: ImagePayload): number | undefined {
  const byteLength = payloadByteLength(payload);
  return byteLength === undefined ? undefined : base64Length(byteLength);
}

/**
 * The picture's own bytes in one piece.
 * @throws GatewayError payload_too_large when it has more than `maxBytes`; InvalidBase64; TypeError for a link
 */
export async function collectPayload(payload: ImagePayload, maxBytes: number): Promise<Uint8Array> {
  const gathered = createGatherer();
  for await (const chunk of payloadBytes(payload)) {
    gathered.add(chunk);
    if (gathered.byteLength > maxBytes)
      throw new GatewayError('payload_too_large', `A picture is larger than ${maxBytes} bytes.`);
  }
  return gathered.joined();
}

/**
 * The first bytes of the picture, `byteLength` of them if it has as many: enough to tell its kind and its size.
 * @throws InvalidBase64 when already they are not base64; TypeError for a link
 */
export async function payloadHead(payload: ImagePayload, byteLength: number): Promise<Uint8Array> {
  const gathered = createGatherer();
  for await (const chunk of beginning(payload, byteLength)) {
    gathered.add(chunk);
    if (gathered.byteLength >= byteLength) break;
  }
  return gathered.joined().subarray(0, byteLength);
}

/** The picture's bytes in pieces so small that little more is decoded than is looked at. */
function beginning(payload: ImagePayload, byteLength: number): AsyncIterable<Uint8Array> {
  if (payload.kind !== 'base64') return payloadBytes(payload);
  const { slices, escaped } = payload.text;
  return decodeBase64(cut(slices, base64Length(byteLength)), { escaped });
}

function* cut(slices: readonly Uint8Array[], most: number): Generator<Uint8Array> {
  for (const slice of slices) {
    for (let from = 0; from < slice.byteLength; from += most) yield slice.subarray(from, from + most);
  }
}

function lengthOfBase64(payload: ImagePayload & { kind: 'base64' }): number | undefined {
  try {
    return decodedLength(payload.text);
  } catch (error) {
    if (error instanceof InvalidBase64) return undefined;
    throw error;
  }
}

async function* inPieces(pieces: readonly Uint8Array[]): AsyncIterable<Uint8Array> {
  yield* pieces;
}

function notFetched(payload: LinkPayload): TypeError {
  return new TypeError(`A ${payload.trust} link has no bytes before it is fetched.`);
}
