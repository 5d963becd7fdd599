import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { finishProblems, formatProblem } from '../../../src/config/problems.ts';
import { createRedactor } from '../../../src/config/redact.ts';
import { editDistance, suggest } from '../../../src/config/suggest.ts';

const source = ['version: 1', 'server:', '  lisen: 1', 'admin: {}'].join('\n');
const misspelt = { given: 'lisen', among: ['listen', 'tls'] };
const place = { line: 3, column: 3, pointer: '/server/lisen' };
const [problem] = finishProblems(
  'gateway.yaml',
  [{ ...place, message: 'unknown', misspelt }],
  createRedactor(source, []),
);

describe('problems', () => {
  it('carry the place, the suggestion and the lines around', () => {
    expect(problem).toEqual({
      file: 'gateway.yaml',
      line: 3,
      column: 3,
      pointer: '/server/lisen',
      message: 'unknown; did you mean `listen`?',
      suggestion: 'listen',
      excerpt: {
        lines: [
          { number: 2, text: 'server:' },
          { number: 3, text: '  lisen: 1' },
          { number: 4, text: 'admin: {}' },
        ],
        column: 3,
      },
    });
  });

  it('are in the order of the text, and each there once', () => {
    const at = (line: number, column: number, message: string) => ({ line, column, message, pointer: '' });
    const placed = [at(2, 1, 'c'), at(1, 9, 'b'), at(1, 2, 'a'), at(1, 9, 'b')];
    const problems = finishProblems('f', placed, createRedactor(source, []));
    expect(problems.map(({ message }) => message)).toEqual(['a', 'b', 'c']);
  });

  it('print with a caret', () => {
    expect(problem && formatProblem(problem)).toBe(
      [
        'gateway.yaml:3:3 unknown; did you mean `listen`?',
        '    2 | server:',
        '  > 3 |   lisen: 1',
        '      |   ^',
        '    4 | admin: {}',
      ].join('\n'),
    );
  });

  it('print in colours only when asked', () => {
    const escape = '\u001B[';
    expect(problem && formatProblem(problem)).not.toContain(escape);
    expect(problem && formatProblem(problem, { colour: true })).toContain(escape);
  });

  it('cannot move the cursor of a terminal', () => {
    const hostile = 'a: \u001B[2J\u0007';
    const placed = [{ line: 1, column: 1, pointer: '', message: hostile }];
    const problems = finishProblems('f', placed, createRedactor(hostile, []));
    expect(JSON.stringify(problems)).not.toMatch(/u001b|u0007/i);
  });

  it('show a part of a very long line', () => {
    const long = `${'x '.repeat(5000)}here`;
    const placed = [{ line: 1, column: 10_001, pointer: '', message: 'm' }];
    const [{ excerpt } = {}] = finishProblems('f', placed, createRedactor(long, []));
    const text = excerpt?.lines[0]?.text ?? '';
    expect(text.length).toBeLessThanOrEqual(160);
    expect(text.slice((excerpt?.column ?? 0) - 1)).toBe('here');
  });
});

describe('suggestions', () => {
  it.each([
    ['lisen', 'listen'],
    ['Listen', 'listen'],
    ['lsiten', 'listen'],
    ['lit', 'list'],
    ['zzz', undefined],
    ['', undefined],
  ])('for %s: %s', (given, expected) => {
    expect(suggest(given, ['tls', 'listen', 'list'])).toBe(expected);
  });

  it('prefer the nearest name', () => {
    expect(suggest('image', ['images', 'imag', 'imago', 'image_models'])).toBe('images');
    expect(suggest('pipelines', ['pipeline', 'pipelinez', 'pipelines'])).toBe('pipelines');
  });

  it('rest on a distance that is symmetric, and 0 only for equal texts', () => {
    const word = fc.string({ maxLength: 8 });
    fc.assert(
      fc.property(word, word, (left, right) => {
        const distance = editDistance(left, right);
        expect(distance).toBe(editDistance(right, left));
        expect(distance === 0).toBe(left === right);
        expect(distance).toBeLessThanOrEqual(Math.max(left.length, right.length));
      }),
    );
  });

  it('count a swap of neighbours as one', () => {
    expect(editDistance('abcd', 'abdc')).toBe(1);
  });
});
