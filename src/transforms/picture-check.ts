/** Looks at an input picture while its bytes come, so that what is none is refused before the rest of it is taken. */
import { GatewayError } from '../errors.ts';
import { createPictureInspector, type Inspection } from '../images/inspect.ts';
import type { BytesPayload, FilePayload } from '../images/payload.ts';
import { withoutMetadata } from '../images/strip.ts';
import type { InputRules, UploadedImage } from '../pipeline/call.ts';

export type PictureParam = 'image' | 'mask';

export interface PictureCheck {
  /** Looks at the next bytes, and keeps nothing of their memory. @throws GatewayError invalid_image, as soon as it is clear */
  see(chunk: Uint8Array): void;
  /** The picture, all of whose bytes have been seen. @throws GatewayError invalid_image */
  admit(payload: BytesPayload | FilePayload): Promise<UploadedImage>;
}

export function createPictureCheck(param: PictureParam, { maxPixels, stripMetadata }: InputRules): PictureCheck {
  const inspector = createPictureInspector();
  let isSettled = false;

  /** @returns whether the rest of the file can change nothing in it */
  const judge = ({ mediaType, dimensions }: Inspection): boolean => {
    if (mediaType === undefined || mediaType === 'image/svg+xml') throw notAPicture(param);
    if (dimensions === undefined) return false;
    const { width, height } = dimensions;
    if (width === 0 || height === 0) throw damaged(param);
    if (width * height > maxPixels) {
      const message = `The picture in "${param}" has ${width}x${height} pixels; at most ${maxPixels} in all are taken.`;
      throw new GatewayError('invalid_image', message, { param });
    }
    // Of these two the header has the last word.
    return mediaType === 'image/png' || mediaType === 'image/bmp';
  };

  return {
    see(chunk) {
      inspector.write(chunk);
      if (isSettled) return;
      const seen = inspector.seen();
      if (seen !== undefined) isSettled = judge(seen);
    },
    async admit(payload) {
      const found = inspector.end();
      judge(found);
      const { mediaType, complete, edits } = found;
      if (!complete) throw damaged(param);
      return { kind: 'image', payload: stripMetadata ? await withoutMetadata(payload, edits) : payload, mediaType };
    },
  };
}

export function notAPicture(param: PictureParam): GatewayError {
  const message = `The parameter "${param}" must be a picture: a file, an https:// URL or a data URI of a PNG, JPEG, WebP, GIF or AVIF image.`;
  return new GatewayError('invalid_image', message, { param });
}

function damaged(param: PictureParam): GatewayError {
  return new GatewayError('invalid_image', `The picture in "${param}" is cut or damaged.`, { param });
}
