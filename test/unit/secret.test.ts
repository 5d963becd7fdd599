import { format, inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../src/secret.ts';

const text = 'sk-live-1234';
const secret = new Secret(text);

describe('a secret', () => {
  it('is given away by reveal alone', () => {
    expect(secret.reveal()).toBe(text);
  });

  it.each([
    ['String, and so templates and concatenations', String(secret)],
    ['a list', [secret, secret].join()],
    ['JSON', JSON.stringify({ nested: [secret] })],
    ['inspect', inspect({ nested: { secret } }, { depth: null, showHidden: true })],
    ['format', format('%s %o %j %O', secret, secret, secret, secret)],
    ['its members', inspect(Object.entries(Object.getOwnPropertyDescriptors(secret)))],
    ['a copy', inspect(Object.assign({}, secret))],
    ['a structured clone', inspect(structuredClone({ secret: Object.assign({}, secret) }))],
  ])('does not show itself in %s', (_, shown) => {
    expect(shown).not.toContain(text);
  });

  it('says that there is something', () => {
    expect([String(secret), JSON.stringify(secret), inspect(secret)]).toEqual([
      '[redacted]',
      '"[redacted]"',
      '[redacted]',
    ]);
  });
});
