import type { ExchangeView } from '../pipeline/exchange.ts';
import type { StageEnv } from '../pipeline/stage.ts';

/**
 * Until when the links in an answer are good, in milliseconds since 1970: infinite where there are none or they last, and 0
 * for links of a provider's, of which nobody knows.
 */
export async function linksGoodUntil(
  { response, result, attempts, route }: ExchangeView<never, 'result' | 'response'>,
  { catalogue }: StageEnv,
): Promise<number> {
  const hasLinks = response?.kind === 'images' && response.form !== 'b64_json';
  // An answer that has passed through holds the pictures themselves.
  if (!hasLinks || result === undefined || (response.passThrough && result.passThrough !== undefined)) return Infinity;
  const { images } = await result.read();
  if (images.some(({ payload }) => payload.kind === 'link')) return 0;
  if (response.form !== 'url') return Infinity;
  const { answeredAtMs, startedAtMs = 0 } = attempts.at(-1) ?? {};
  const lifetimeMs = Math.min(route.imagesExpireAfterMs ?? Infinity, catalogue.hosting.signer?.lifetimeMs ?? Infinity);
  // They were made after that.
  return (answeredAtMs ?? startedAtMs) + lifetimeMs;
}
