/** Undoes the `content-encoding` of a provider that compresses although it was asked not to. */
import { Readable, type Duplex } from 'node:stream';
import { createBrotliDecompress, createUnzip, createZstdDecompress } from 'node:zlib';
import { GatewayError } from '../errors.ts';

/** A body that can be read once and given up. */
export interface ByteStream extends AsyncIterable<Uint8Array> {
  destroy(): void;
}

const decoders: Readonly<Record<string, () => Duplex>> = {
  gzip: createUnzip,
  'x-gzip': createUnzip,
  deflate: createUnzip,
  br: createBrotliDecompress,
  zstd: createZstdDecompress,
};

/** Whether the header names a coding at all. */
export function isEncoded(coding: string | undefined): coding is string {
  return coding !== undefined && coding !== '' && coding.toLowerCase() !== 'identity';
}

/**
 * The bytes before they were compressed. How many that are is for the reader to bound: they are made as they are read.
 * @throws GatewayError upstream_invalid_response for a coding that is not known; so does reading what is not compressed data
 */
export function decodeContent(encoded: ByteStream, coding: string): ByteStream {
  const create = decoders[coding.toLowerCase()];
  if (create === undefined) {
    throw new GatewayError(
      'upstream_invalid_response',
      'The provider’s answer has a content coding that is not known.',
    );
  }
  const decoder = create();
  let failure: { readonly error: unknown } | undefined;
  const source = Readable.from(encoded, { objectMode: false });
  source.once('error', (error) => {
    failure = { error };
    decoder.destroy();
  });
  const destroy = (): void => {
    encoded.destroy();
    source.destroy();
    decoder.destroy();
  };
  return {
    destroy,
    async *[Symbol.asyncIterator]() {
      const decoded: AsyncIterable<Uint8Array> = source.pipe(decoder);
      try {
        yield* decoded;
      } catch (cause) {
        // The connection's own failure says more than that of a decoder which got only half of the data.
        if (failure !== undefined) throw failure.error;
        throw new GatewayError('upstream_invalid_response', 'The provider’s answer is not properly compressed.', {
          cause,
        });
      } finally {
        destroy();
      }
    },
  };
}
