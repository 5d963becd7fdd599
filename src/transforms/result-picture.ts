import type { Exchange } from '../pipeline/exchange.ts';
import type { ResultImage } from '../pipeline/result.ts';
import type { Target } from '../pipeline/settings.ts';
import type { StageEnv } from '../pipeline/stage.ts';

/** The largest picture that is fetched from a provider's link. */
const maxBytes = 64 * 1024 * 1024;

/** Milliseconds for a picture that has been made, and paid for, when the entity's time is up. */
const graceMs = 2_000;

/**
 * A provider's picture with its bytes at hand: fetched, if the provider gave a link. There is as much time for it as is left
 * of the entity's `timeout`, and a moment in any case.
 * @throws GatewayError
 */
export async function withBytes(
  image: ResultImage,
  { entity }: Target,
  { signal, defer, attempts }: Exchange,
  { pictures, clock }: Pick<StageEnv, 'pictures' | 'clock'>,
): Promise<ResultImage> {
  if (image.payload.kind !== 'link') return image;
  const nowMs = clock.now();
  const leftMs = (attempts.at(-1)?.startedAtMs ?? nowMs) + entity.timeoutMs - nowMs;
  const patienceMs = Math.max(0, leftMs) + graceMs;
  const trustedOrigin = entity.provider.origin;
  const { payload } = await pictures.fetch(image.payload, { signal, patienceMs, defer, trustedOrigin, maxBytes });
  return { ...image, payload };
}
