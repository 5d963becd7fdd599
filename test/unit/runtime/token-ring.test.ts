import { describe, expect, it } from 'vitest';
import { createTokenRing, splitTokens } from '../../../src/runtime/token-ring.ts';

describe('a token ring', () => {
  it('gives its tokens in turn, for ever', () => {
    const ring = createTokenRing('sk-a, sk-b ,sk-c', () => 0);
    const taken = Array.from({ length: 7 }, () => ring.next('m')?.reveal());
    expect(taken).toEqual(['sk-a', 'sk-b', 'sk-c', 'sk-a', 'sk-b', 'sk-c', 'sk-a']);
    expect(ring.all.map((token) => token.reveal())).toEqual(['sk-a', 'sk-b', 'sk-c']);
  });

  it('gives none when it is empty', () => {
    const ring = createTokenRing('', () => 0);
    expect([ring.next('m'), ring.next('m'), ring.all]).toEqual([undefined, undefined, []]);
  });

  it('does not print its tokens', () => {
    const ring = createTokenRing('sk-a,sk-b', () => 0);
    expect(JSON.stringify([ring, ring.next('m')])).not.toContain('sk-');
    expect(String(ring.next('m'))).toBe('[redacted]');
  });
});

describe('a token that rests', () => {
  function ringAt() {
    const clock = { nowMs: 1000 };
    const ring = createTokenRing('sk-a,sk-b,sk-c', () => clock.nowMs);
    const [a, b, c] = ring.all;
    if (a === undefined || b === undefined || c === undefined) throw new Error('three tokens were expected');
    const take = (count: number, model = 'm') => Array.from({ length: count }, () => ring.next(model)?.reveal().at(-1));
    return { clock, ring, a, b, c, take };
  }

  it('is passed over until its time is up', () => {
    const { clock, ring, b, take } = ringAt();
    ring.rest(b, { model: 'm', forMs: 500 });
    expect(take(4)).toEqual(['a', 'c', 'a', 'c']);
    clock.nowMs += 500;
    expect(take(3)).toEqual(['a', 'b', 'c']);
    expect(ring.resting()).toEqual([]);
  });

  it('is passed over for that model alone, unless it is for all', () => {
    const { ring, a, b, take } = ringAt();
    ring.rest(a, { model: 'm', forMs: 500 });
    ring.rest(b, { forMs: 500 });
    expect(take(2)).toEqual(['c', 'c']);
    expect(take(3, 'other')).toEqual(['a', 'c', 'a']);
    expect(ring.resting()).toEqual([
      { place: 1, model: 'm', forMs: 500 },
      { place: 2, model: undefined, forMs: 500 },
    ]);
  });

  it('is taken all the same when all of them rest: the one whose time is up first', () => {
    const { ring, a, b, c, take } = ringAt();
    ring.rest(a, { model: 'm', forMs: 500 });
    ring.rest(b, { model: 'm', forMs: 200 });
    expect(ring.restsFor('m')).toBe(0);
    ring.rest(c, { model: 'm', forMs: 300 });
    expect(ring.restsFor('m')).toBe(200);
    expect(take(2)).toEqual(['b', 'b']);
  });

  it('is back at once when it has worked', () => {
    const { ring, a, take } = ringAt();
    ring.rest(a, { forMs: 500 });
    ring.rest(a, { model: 'm', forMs: 500 });
    ring.wake(a, 'm');
    expect(take(3)).toEqual(['a', 'b', 'c']);
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
