import type { Exchange } from '../pipeline/exchange.ts';
import type { ResultImage } from '../pipeline/result.ts';
import type { Target } from '../pipeline/settings.ts';
import type { PictureFetcher } from '../pipeline/stage.ts';

/** The largest picture that is fetched from a provider's link. */
const maxBytes = 64 * 1024 * 1024;

/** A provider's picture with its bytes at hand: fetched, if the provider gave a link. @throws GatewayError */
export async function withBytes(
  image: ResultImage,
  { entity }: Target,
  { signal, defer }: Exchange,
  pictures: PictureFetcher,
): Promise<ResultImage> {
  if (image.payload.kind !== 'link') return image;
  const trustedOrigin = entity.provider.origin;
  const { payload } = await pictures.fetch(image.payload, { signal, defer, trustedOrigin, maxBytes });
  return { ...image, payload };
}
