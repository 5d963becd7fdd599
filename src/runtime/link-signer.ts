import { createHmac, timingSafeEqual } from 'node:crypto';
import type { LinkSigner } from '../pipeline/settings.ts';
import type { Secret } from '../secret.ts';

export interface LinkSignerOptions {
  /** The first signs; what any of them signed is good. At least one. */
  readonly secrets: readonly Secret[];
  readonly lifetimeMs: number;
}

/** Links of the form `NAME?expires=SECONDS&signature=HMAC`, the HMAC-SHA256 of name and seconds in base64url. */
export function createLinkSigner({ secrets, lifetimeMs }: LinkSignerOptions): LinkSigner {
  const [current, ...earlier] = secrets;
  if (current === undefined) throw new TypeError('There is no secret to sign links with.');
  const all = [current, ...earlier];

  return {
    lifetimeMs,
    sign(name, untilMs) {
      const expires = String(Math.ceil(untilMs / 1000));
      return `expires=${expires}&signature=${signatureOf(current, name, expires)}`;
    },
    check(name, query, nowMs) {
      const expires = query.get('expires') ?? '';
      const given = query.get('signature') ?? '';
      // Every secret is tried to its end, so that the time tells nothing.
      const matches = all.map((secret) => isSame(given, signatureOf(secret, name, expires)));
      const untilMs = /^\d{1,12}$/.test(expires) ? Number(expires) * 1000 : 0;
      return matches.includes(true) && untilMs > nowMs ? untilMs : undefined;
    },
  };
}

/** Neither part can hold a line break where it was signed, so no other name and time give the same text. */
function signatureOf(secret: Secret, name: string, expires: string): string {
  return createHmac('sha256', secret.reveal()).update(`${name}\n${expires}`).digest('base64url');
}

function isSame(given: string, signature: string): boolean {
  const [left, right] = [Buffer.from(given), Buffer.from(signature)];
  return left.byteLength === right.byteLength && timingSafeEqual(left, right);
}
