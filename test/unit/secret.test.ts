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
    ['a template', `${secret}`],
    ['a concatenation', 'key: ' + secret],
    ['String', String(secret)],
    ['JSON', JSON.stringify({ nested: [secret] })],
    ['inspect', inspect({ nested: { secret } }, { depth: null, showHidden: true })],
    ['format', format('%s %o %j %O', secret, secret, secret, secret)],
    ['its members', inspect(Object.entries(Object.getOwnPropertyDescriptors(secret)))],
    ['a copy', inspect({ ...secret })],
    ['a structured clone', inspect(structuredClone({ ...secret }))],
    ['an error with it', new Error(`refused: ${secret}`).message],
  ])('does not show itself in %s', (_, shown) => {
    expect(shown).not.toContain(text);
  });

  it('says that there is something', () => {
    expect([`${secret}`, JSON.stringify(secret), inspect(secret)]).toEqual([
      '[redacted]',
      '"[redacted]"',
      '[redacted]',
    ]);
  });
});
