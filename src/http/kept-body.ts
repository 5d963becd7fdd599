import type { ByteSource } from '../body/byte-source.ts';
import { createSpool, type SpoolOptions } from '../body/spool.ts';
import type { BytesPayload, FilePayload } from '../images/payload.ts';

/** A body whose bytes are kept while somebody reads it: few in memory, many in a temporary file. */
export interface KeptBody {
  readonly body: ByteSource;
  /** What has been read of it. @throws GatewayError overloaded */
  kept(): Promise<BytesPayload | FilePayload>;
  /** Lets go of what was kept. */
  discard(): Promise<void>;
}

export function keepBody(body: ByteSource, options: SpoolOptions): KeptBody {
  const spool = createSpool(options);
  return {
    body: {
      length: body.length,
      cancel: body.cancel,
      async *[Symbol.asyncIterator]() {
        for await (const chunk of body) {
          // A copy: whoever reads may give the memory of its chunks back.
          await spool.write(Buffer.from(chunk));
          yield chunk;
        }
      },
    },
    kept: () => spool.finish(),
    discard: () => spool.discard(),
  };
}
