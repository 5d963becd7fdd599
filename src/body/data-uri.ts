import { createBase64Decoder, InvalidBase64 } from '../images/base64.ts';
import type { ByteText } from '../images/payload.ts';

/** A data URI that is not one, or not in base64. */
export class InvalidDataUri extends Error {
  override readonly name = 'InvalidDataUri';
}

/** Where the bytes go that a data URI stands for. */
export interface ByteSink<Content> {
  write(chunk: Uint8Array): Promise<void>;
  finish(): Promise<Content>;
  discard(): Promise<void>;
}

const comma = 0x2c;
/** The longest part before the comma: a media type with a few parameters. */
const maxHeadBytes = 1024;
const base64Head = /^data:[^,]*;base64$/i;

/** Whether a text begins like a data URI. */
export function isDataUri(head: Uint8Array): boolean {
  return /^data:$/i.test(Buffer.from(head.subarray(0, 5)).toString());
}

/** The base64 in a data URI that is here already, without a copy of it; undefined for any other text. */
export function base64OfDataUri(text: ByteText): ByteText | undefined {
  const head = Buffer.concat(text.slices, Math.min(maxHeadBytes, text.byteLength));
  const at = head.indexOf(comma);
  if (at < 0 || !base64Head.test(head.subarray(0, at).toString())) return undefined;
  const slices: Uint8Array[] = [];
  let skip = at + 1;
  for (const slice of text.slices) {
    if (slice.byteLength > skip) slices.push(slice.subarray(skip));
    skip = Math.max(0, skip - slice.byteLength);
  }
  return { ...text, slices, byteLength: text.byteLength - at - 1 };
}

/**
 * Takes a data URI piece by piece (RFC 2397), and hands on what it stands for. It throws InvalidDataUri for what is not
 * base64 data, and what the sink throws.
 */
export function createDataUriReader<Content>(sink: ByteSink<Content>): ByteSink<Content> {
  const decoder = createBase64Decoder();
  let head: Uint8Array | undefined = new Uint8Array();

  const decode = async (step: () => Uint8Array): Promise<void> => {
    try {
      const bytes = step();
      if (bytes.byteLength > 0) await sink.write(bytes);
    } catch (error) {
      if (error instanceof InvalidBase64) throw new InvalidDataUri('The data URI is not base64.', { cause: error });
      throw error;
    }
  };

  return {
    async write(slice) {
      if (head === undefined) return decode(() => decoder.write(slice));
      const before = head.byteLength;
      head = Buffer.concat([head, slice.subarray(0, maxHeadBytes)]);
      const at = head.indexOf(comma);
      if (at < 0 && head.byteLength >= maxHeadBytes) throw new InvalidDataUri('The data URI has no data.');
      if (at < 0) return;
      if (!base64Head.test(Buffer.from(head.subarray(0, at)).toString())) {
        throw new InvalidDataUri('The data URI is not in base64.');
      }
      head = undefined;
      await decode(() => decoder.write(slice.subarray(at + 1 - before)));
    },
    async finish() {
      if (head !== undefined) throw new InvalidDataUri('The data URI has no data.');
      await decode(() => decoder.end());
      return sink.finish();
    },
    discard: () => sink.discard(),
  };
}
