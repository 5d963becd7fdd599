import { randomUUID } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import { payloadBase64, payloadBase64Length, payloadByteLength, payloadBytes } from '../images/convert-payload.ts';
import type { ImagePayload } from '../images/payload.ts';
import { PictureText, type WireBody, type WireJson, type WirePart } from '../pipeline/upstream.ts';

/** A body as bytes that can be sent. */
export interface WrittenBody {
  /** For the `content-type` header; undefined without a body. */
  readonly mediaType: string | undefined;
  /** For the `content-length` header: exact. */
  readonly byteLength: number;
  /** The body from its start; again for each try. In one piece when there is no picture in it. */
  open(): AsyncIterable<Uint8Array> | Uint8Array;
}

/** What a body is made of: written text, or a picture that is converted as it is sent. */
type Piece = Uint8Array | Picture;

interface Picture {
  readonly byteLength: number;
  open(): AsyncIterable<Uint8Array>;
}

/**
 * Writes a body without putting its pictures together in memory. The members of JSON keep their order. A multipart body
 * keeps its boundary over all its tries.
 * @throws GatewayError invalid_image for a picture whose base64 is none; TypeError for a link that was not fetched
 */
export function writeWireBody(body: Exclude<WireBody, { kind: 'none' }>): WrittenBody & { readonly mediaType: string };
export function writeWireBody(body: WireBody): WrittenBody;
export function writeWireBody(body: WireBody): WrittenBody {
  if (body.kind === 'none') return written(undefined, []);
  if (body.kind === 'json') return written('application/json', jsonPieces(body.value));
  if (body.kind === 'form') {
    const text = new URLSearchParams(body.fields).toString();
    return written('application/x-www-form-urlencoded', [Buffer.from(text)]);
  }
  const boundary = `pinhole-${randomUUID()}`;
  return written(`multipart/form-data; boundary=${boundary}`, multipartPieces(body.parts, boundary));
}

function written(mediaType: string | undefined, pieces: readonly Piece[]): WrittenBody {
  return {
    mediaType,
    byteLength: pieces.reduce((sum, piece) => sum + piece.byteLength, 0),
    open: () => (pieces.every(isText) ? Buffer.concat(pieces) : streamed(pieces)),
  };
}

function isText(piece: Piece): piece is Uint8Array {
  return piece instanceof Uint8Array;
}

async function* streamed(pieces: readonly Piece[]): AsyncIterable<Uint8Array> {
  for (const piece of pieces) {
    if (isText(piece)) yield piece;
    else yield* piece.open();
  }
}

/** Puts text between pictures together. */
function createPieces(): { text(text: string): void; picture(picture: Picture): void; end(): readonly Piece[] } {
  const pieces: Piece[] = [];
  let waiting: string[] = [];

  const flush = (): void => {
    if (waiting.length > 0) pieces.push(Buffer.from(waiting.join('')));
    waiting = [];
  };

  return {
    text(text) {
      waiting.push(text);
    },
    picture(picture) {
      flush();
      pieces.push(picture);
    },
    end() {
      flush();
      return pieces;
    },
  };
}

function jsonPieces(document: WireJson): readonly Piece[] {
  const pieces = createPieces();

  const write = (value: WireJson): void => {
    if (value instanceof PictureText) {
      // Base64 needs no escapes; the prefix may.
      pieces.text(JSON.stringify(value.prefix).slice(0, -1));
      pieces.picture(base64Picture(value.payload));
      pieces.text('"');
    } else if (isList(value)) {
      writeAll('[', value, ']', write);
    } else if (typeof value === 'object' && value !== null) {
      // As `JSON.stringify` does, should there be one after all.
      const members = Object.entries(value).filter(([, member]) => member !== undefined);
      writeAll('{', members, '}', ([name, member]) => {
        pieces.text(`${JSON.stringify(name)}:`);
        write(member);
      });
    } else {
      pieces.text(JSON.stringify(value));
    }
  };

  const writeAll = <Item>(
    start: string,
    items: readonly Item[],
    end: string,
    writeItem: (item: Item) => void,
  ): void => {
    pieces.text(start);
    for (const [index, item] of items.entries()) {
      if (index > 0) pieces.text(',');
      writeItem(item);
    }
    pieces.text(end);
  };

  write(document);
  return pieces.end();
}

/** `Array.isArray` does not narrow lists that are readonly. */
function isList(value: WireJson): value is readonly WireJson[] {
  return Array.isArray(value);
}

function multipartPieces(parts: readonly WirePart[], boundary: string): readonly Piece[] {
  const pieces = createPieces();
  for (const part of parts) {
    pieces.text(`--${boundary}\r\nContent-Disposition: form-data; name="${quoted(part.name)}"`);
    if (part.kind === 'field') {
      pieces.text(`\r\n\r\n${part.value}`);
    } else {
      pieces.text(`; filename="${quoted(part.fileName)}"\r\nContent-Type: ${safeMediaType(part.mediaType)}\r\n\r\n`);
      pieces.picture(plainPicture(part.payload));
    }
    pieces.text('\r\n');
  }
  pieces.text(`--${boundary}--\r\n`);
  return pieces.end();
}

/** As browsers write it: https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data */
function quoted(name: string): string {
  return name.replaceAll('\n', '%0A').replaceAll('\r', '%0D').replaceAll('"', '%22');
}

/** RFC 9110 §8.3.1. A line end in it would begin a header of its own. */
function safeMediaType(mediaType: string): string {
  const valid = /^[\w!#$%&'*+.^`|~-]+\/[\w!#$%&'*+.^`|~-]+$/.test(mediaType);
  return valid ? mediaType : 'application/octet-stream';
}

function base64Picture(payload: ImagePayload): Picture {
  return { byteLength: known(payloadBase64Length(payload)), open: () => payloadBase64(payload) };
}

function plainPicture(payload: ImagePayload): Picture {
  return { byteLength: known(payloadByteLength(payload)), open: () => payloadBytes(payload) };
}

function known(byteLength: number | undefined): number {
  if (byteLength === undefined) throw new GatewayError('invalid_image', 'A picture in base64 is cut or malformed.');
  return byteLength;
}
