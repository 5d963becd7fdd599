import { text } from './answers.ts';

/**
 * An address out of an answer that requests with the credential may go to: one at the provider's own origin. Undefined
 * for any other, and for none.
 */
export function ownAddress(url: unknown, origin: string): string | undefined {
  const address = text(url);
  return address !== undefined && URL.parse(address)?.origin === origin ? address : undefined;
}
