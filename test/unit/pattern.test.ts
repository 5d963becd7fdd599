import { describe, expect, it } from 'vitest';
import { compilePattern } from '../../src/pattern.ts';

describe('a pattern', () => {
  it('can be looked for in a text', () => {
    const pattern = compilePattern('(?i)\\bgun\\b');
    expect(['a Gun.', 'begun', 'gun'].map((text) => pattern.isIn(text))).toEqual([true, false, true]);
    expect(compilePattern('(a+)+$').isIn(`${'a'.repeat(5_000)}!`)).toBe(false);
  });

  it('matches whole texts only', () => {
    const pattern = compilePattern('gpt-.+');
    expect(['gpt-2', 'gpt-', 'a gpt-2', 'gpt-2\n'].map((text) => pattern.matches(text))).toEqual([
      true,
      false,
      false,
      false,
    ]);
    expect(pattern.source).toBe('gpt-.+');
  });

  it('may be used any number of times', () => {
    const pattern = compilePattern('a');
    expect([pattern.matches('a'), pattern.matches('a'), pattern.matches('b'), pattern.matches('a')]).toEqual([
      true,
      true,
      false,
      true,
    ]);
  });

  it.each(['(', '[a', '*', '(?=a)', '(?<!a)b', '(a)\\1'])('is refused with a reason: %s', (source) => {
    expect(() => compilePattern(source)).toThrow(/./);
  });

  it('takes its time by the text alone, whatever the expression', () => {
    // Native regular expressions would not come back from this one.
    expect(compilePattern('(a+)+$').matches(`${'a'.repeat(5_000)}!`)).toBe(false);
  });
});
