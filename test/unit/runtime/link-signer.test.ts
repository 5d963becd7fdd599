import { createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createLinkSigner } from '../../../src/runtime/link-signer.ts';
import { Secret } from '../../../src/secret.ts';

const name = 'a-picture.png';
const signerOf = (...secrets: readonly string[]) =>
  createLinkSigner({ secrets: secrets.map((text) => new Secret(text)), lifetimeMs: 60_000 });

describe('a signed link', () => {
  it('has the time in whole seconds, and the HMAC of name and time', () => {
    const signature = createHmac('sha256', 'first').update(`${name}\n1700000001`).digest('base64url');
    expect(signerOf('first', 'second').sign(name, 1_700_000_000_001)).toBe(`expires=1700000001&signature=${signature}`);
  });

  it('is good until its time, whichever of the secrets signed it', () => {
    const untilMs = 1_700_000_000_000;
    for (const secret of ['first', 'second']) {
      const query = new URLSearchParams(signerOf(secret).sign(name, untilMs));
      expect(signerOf('first', 'second').check(name, query, untilMs - 1)).toBe(untilMs);
      expect(signerOf('first', 'second').check(name, query, untilMs)).toBeUndefined();
      expect(signerOf('third').check(name, query, untilMs - 1)).toBeUndefined();
    }
  });

  it.each(['1e10', '0x7fffffff', '17000000000000', ' 1700000000', '-1', ''])(
    'is not good with the time %j, even if that is what was signed',
    (expires) => {
      const signature = createHmac('sha256', 'first').update(`${name}\n${expires}`).digest('base64url');
      expect(signerOf('first').check(name, new URLSearchParams({ expires, signature }), 0)).toBeUndefined();
    },
  );
});
