import type { TokenRing } from '../pipeline/settings.ts';
import { Secret } from '../secret.ts';

/** The tokens of an entity's comma-separated `token`, taken in turn. Its place in the ring survives reloads. */
export function createTokenRing(text: string): TokenRing {
  const all = splitTokens(text).map((token) => new Secret(token));
  let taken = 0;
  return { all, next: () => all[taken++ % all.length] };
}

/** The tokens of a text: separated by commas, but for a credential that is a JSON document itself. */
export function splitTokens(text: string): readonly string[] {
  if (text.trimStart().startsWith('{')) return [text.trim()];
  return text
    .split(',')
    .map((token) => token.trim())
    .filter((token) => token !== '');
}
