import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../src/errors.ts';
import { scrub, withoutTokens } from '../../src/scrub.ts';
import { Secret } from '../../src/secret.ts';

const token = 'sk-live/+ü=1';
const tokens = [new Secret(token)];

describe('a text', () => {
  it.each([
    ['as it is', token],
    ['in base64', Buffer.from(token).toString('base64')],
    ['in base64 without padding', Buffer.from(token).toString('base64').replace(/=+$/, '')],
    ['in hexadecimal', Buffer.from(token).toString('hex')],
    ['percent-encoded', encodeURIComponent(token)],
    ['in a query', new URLSearchParams({ q: token }).toString().slice(2)],
    ['in a path', encodeURI(token)],
  ])('does not tell a token %s', (_, spelling) => {
    const scrubbed = scrub(`Incorrect key ${spelling} (${spelling}).`, tokens);
    expect(scrubbed).toMatch(/^Incorrect key \[redacted\]=* \(\[redacted\]=*\)\.$/);
  });

  it('without a token stays as it is', () => {
    expect(scrub('Incorrect key.', tokens)).toBe('Incorrect key.');
    expect(scrub('Incorrect key.', [])).toBe('Incorrect key.');
    expect(scrub('Incorrect key.', [new Secret('')])).toBe('Incorrect key.');
  });

  it('does not tell the rest of a token that begins with another one', () => {
    const pair = ['sk-a', 'sk-abcdef'].map((text) => new Secret(text));
    expect(scrub('sk-a, sk-abcdef', pair)).toBe('[redacted], [redacted]');
    expect(scrub('sk-a, sk-abcdef', pair.toReversed())).toBe('[redacted], [redacted]');
  });

  it('holds none of any set of tokens, wherever they stand', () => {
    // Digits and capitals, so that no token is a part of what is put in its place.
    const letters = fc.string({ unit: fc.constantFrom('A', 'B', 'C', '0', '1'), minLength: 4, maxLength: 12 });
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 4 }), fc.array(letters, { maxLength: 4 }), (secrets, words) => {
        const text = [...words, ...secrets, ...words].join(' ');
        const scrubbed = scrub(
          text,
          secrets.map((secret) => new Secret(secret)),
        );
        for (const secret of secrets) expect(scrubbed).not.toContain(secret);
      }),
    );
  });
});

describe('a fault', () => {
  it('has its tokens taken out of everything that it says, to the caller and to the log', () => {
    const given = new GatewayError('upstream_error', `bad key ${token}`, {
      param: `key ${token}`,
      publicCode: `bad_${token}`,
      status: 422,
      retryAfterMs: 1500,
      retry: false,
      headers: { 'x-a': 'b' },
      cause: new Error(`told ${token}`),
    });
    const clean = withoutTokens(given, tokens);
    expect(clean).toMatchObject({
      code: 'upstream_error',
      message: 'bad key [redacted]',
      param: 'key [redacted]',
      publicCode: 'bad_[redacted]',
      status: 422,
      retryAfterMs: 1500,
      retry: false,
      headers: { 'x-a': 'b' },
      cause: { message: 'told [redacted]' },
    });
    expect(clean).toBeInstanceOf(GatewayError);
  });

  it('that says nothing of tokens says the same afterwards', () => {
    const given = new GatewayError('invalid_value', 'Too large.', { param: 'size' });
    const { message, param, status, publicCode, cause } = withoutTokens(given, tokens);
    expect([message, param, status, publicCode, cause]).toEqual([
      'Too large.',
      'size',
      400,
      'invalid_value',
      undefined,
    ]);
  });
});
