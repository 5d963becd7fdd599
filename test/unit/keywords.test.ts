import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileKeywords } from '../../src/keywords.ts';

describe('keywords', () => {
  const words = compileKeywords(['gun', 'Nude Photo', 'Straße', 'c++', '銃', '.*'], true);

  it.each([
    ['a gun', 'gun'],
    ['GUN', 'gun'],
    ['gun, and more', 'gun'],
    ['a ｇｕｎ', 'gun'],
    ['g\u200bu\u00adn', 'gun'],
    ['a nude\u00a0\n photo', 'Nude Photo'],
    ['die STRASSE', 'Straße'],
    ['die straße', 'Straße'],
    ['in C++ code', 'c++'],
    ['彼の銃です', '銃'],
    ['begun', undefined],
    ['guns', undefined],
    ['gun_metal', undefined],
    ['gun\u0301', undefined],
    ['nude', undefined],
    ['anything', undefined],
    ['a .* b', '.*'],
    ['', undefined],
  ])('are looked for in %j', (text, found) => {
    expect(words.findIn(text)).toBe(found);
  });

  it('are found within words when they may be', () => {
    expect(compileKeywords(['gun'], false).findIn('Begunne')).toBe('gun');
  });

  it('that are blank are not looked for', () => {
    expect(compileKeywords([' ', '\u200b'], true).findIn('a b')).toBeUndefined();
    expect(compileKeywords([], true).findIn('a b')).toBeUndefined();
  });

  it('are found where plain searches find them, and nowhere else', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(
        fc.array(letters, { minLength: 1, maxLength: 8 }),
        fc.string({ unit: fc.constantFrom('a', 'b', 'c', ' ') }),
        (words, text) => {
          const found = compileKeywords(words, false).findIn(text);
          expect(found !== undefined).toBe(words.some((word) => text.includes(word)));
          if (found !== undefined) expect(text).toContain(found);
          const whole = compileKeywords(words, true).findIn(text);
          expect(whole !== undefined).toBe(words.some((word) => text.split(' ').includes(word)));
        },
      ),
      { numRuns: 500 },
    );
  });

  it('mean themselves, whatever characters they have', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'binary-ascii', minLength: 1 }),
        fc.string(),
        fc.string(),
        (word, before, after) => {
          fc.pre(word.trim() !== '');
          expect(compileKeywords([word], false).findIn(`${before} ${word} ${after}`)).toBeDefined();
        },
      ),
    );
  });

  it('take their time by the text alone, however many and however unlucky they are', () => {
    // A native regular expression would not come back from these.
    const many = Array.from({ length: 5_000 }, (_, index) => `${'a'.repeat(100)}${index}`);
    expect(compileKeywords(many, true).findIn('a'.repeat(500_000))).toBeUndefined();
    const nested = Array.from({ length: 200 }, (_, index) => 'a'.repeat(index + 1));
    expect(compileKeywords(nested, true).findIn('a'.repeat(300_000))).toBeUndefined();
  });
});
