import { describe, expect, it } from 'vitest';
import { createTokenRing, splitTokens } from '../../../src/runtime/token-ring.ts';

describe('a token ring', () => {
  it('gives its tokens in turn, for ever', () => {
    const ring = createTokenRing('sk-a, sk-b ,sk-c');
    const taken = Array.from({ length: 7 }, () => ring.next()?.reveal());
    expect(taken).toEqual(['sk-a', 'sk-b', 'sk-c', 'sk-a', 'sk-b', 'sk-c', 'sk-a']);
    expect(ring.all.map((token) => token.reveal())).toEqual(['sk-a', 'sk-b', 'sk-c']);
  });

  it('gives none when it is empty', () => {
    const ring = createTokenRing('');
    expect([ring.next(), ring.next(), ring.all]).toEqual([undefined, undefined, []]);
  });

  it('does not print its tokens', () => {
    const ring = createTokenRing('sk-a,sk-b');
    expect(JSON.stringify([ring, ring.next()])).not.toContain('sk-');
    expect(String(ring.next())).toBe('[redacted]');
  });
});

describe('the text of a token', () => {
  it.each([
    ['sk-a', ['sk-a']],
    [' sk-a ,\n sk-b', ['sk-a', 'sk-b']],
    [',sk-a,,', ['sk-a']],
    [' , ', []],
    ['', []],
  ])('%j holds %j', (text, tokens) => {
    expect(splitTokens(text)).toEqual(tokens);
  });
});
