import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { parseDocument } from '../../../src/config/document.ts';

const messages = (text: string): string[] => parseDocument(text).problems.map(({ message }) => message);

describe('positions', () => {
  const document = parseDocument(
    ['a: 1', 'list:', '  - x', '  - { b: two, c: }', 'deep:', '  er: [1, "two"]', 'odd/key: 5', 'empty:'].join('\n'),
  );

  it.each([
    ['', 1, 1],
    ['/a', 1, 4],
    ['/list/0', 3, 5],
    ['/list/1', 4, 5],
    ['/list/1/b', 4, 10],
    ['/deep/er/1', 6, 11],
    ['/odd~1key', 7, 10],
  ])('finds the value at %s', (pointer, line, column) => {
    expect(document.locate(pointer)).toEqual({ line, column });
  });

  it.each([
    ['/a', 1, 1],
    ['/list/1/b', 4, 7],
    ['/deep/er', 6, 3],
  ])('finds the key at %s', (pointer, line, column) => {
    expect(document.locate(pointer, 'key')).toEqual({ line, column });
  });

  it('finds lists and objects over several lines, and empty values, at their key', () => {
    expect(document.locate('/list')).toEqual({ line: 2, column: 1 });
    expect(document.locate('/deep')).toEqual({ line: 5, column: 1 });
    expect(document.locate('/empty')).toEqual({ line: 8, column: 1 });
    expect(document.locate('/list/1/c')).toEqual({ line: 4, column: 15 });
  });

  it('finds what is missing at the nearest thing around it', () => {
    expect(document.locate('/deep/missing/more')).toEqual({ line: 5, column: 1 });
    expect(document.locate('/list/7')).toEqual({ line: 2, column: 1 });
    expect(document.locate('/a/b')).toEqual({ line: 1, column: 4 });
  });

  it('follows aliases', () => {
    const aliased = parseDocument('a: &x { b: 1 }\nc: *x');
    expect(aliased.locate('/c/b')).toEqual({ line: 1, column: 12 });
  });

  it('tells what is written from what is not', () => {
    expect(document.has('/list/1/b')).toBe(true);
    expect(document.has('/list/1/z')).toBe(false);
  });
});

describe('values', () => {
  it('are those of YAML 1.2', () => {
    expect(parseDocument('[012, yes, on, 0x1f, 1e3, ~, null, "5", 2026-11-20]').value).toEqual([
      12,
      'yes',
      'on',
      31,
      1000,
      null,
      null,
      '5',
      '2026-11-20',
    ]);
  });

  it('stay so when the text claims to be of an older version', () => {
    expect(parseDocument('%YAML 1.1\n---\n[yes, 012]').value).toEqual(['yes', 12]);
  });

  it('have keys as they are written', () => {
    expect(parseDocument('{1: a, 1.0: b, true: c}').value).toEqual({ 1: 'a', '1.0': 'b', true: 'c' });
  });

  it('are those of JSON when the text is JSON', () => {
    const withoutPrototype = fc.json().filter((text) => !text.includes('__proto__') && text.trim() !== 'null');
    fc.assert(
      fc.property(withoutPrototype, (text) => {
        const { value, problems } = parseDocument(text);
        expect(problems).toEqual([]);
        expect(JSON.stringify(value)).toBe(JSON.stringify(JSON.parse(text)));
      }),
    );
  });

  it('cannot reach a prototype', () => {
    expect(messages('{"__proto__": {"polluted": true}}')).toEqual(['this key is not allowed']);
    const { value } = parseDocument('constructor: { prototype: { polluted: true } }');
    expect(Object.keys(value as object)).toEqual(['constructor']);
    expect('polluted' in {}).toBe(false);
  });
});

describe('bombs', () => {
  const levels = 'abcdefghij'.split('');
  const bomb = levels
    .map(
      (name, level) =>
        `${name}: &${name} [${Array(10)
          .fill(level === 0 ? 'x' : `*${levels[level - 1]}`)
          .join()}]`,
    )
    .join('\n');

  it('of aliases are refused', () => {
    expect(messages(bomb)).toEqual(['the aliases of this file stand for too many values']);
  });

  it('of aliases within themselves are refused', () => {
    expect(messages('a: &a\n  b: &b [*a]')).toEqual(['this alias contains itself']);
  });

  it.each([
    ['brackets', '['.repeat(100_000)],
    ['closed brackets', `${'['.repeat(20_000)}${']'.repeat(20_000)}`],
    ['braces', '{a: '.repeat(20_000)],
    ['dashes', `${'- '.repeat(20_000)}a`],
    ['levels', Array.from({ length: 100 }, (_, level) => `${' '.repeat(level)}a:`).join('\n')],
  ])('of nested %s are refused', (_what, text) => {
    expect(messages(text)[0]).toMatch(/nested/);
  });
});

it('never throws, whatever the text is', () => {
  const pieces = fc.constantFrom(
    'a',
    ':',
    ' ',
    '\n',
    '- ',
    '{',
    '}',
    '[',
    ']',
    '&a ',
    '*a',
    '!',
    '"',
    "'",
    '|',
    '#',
    '%',
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 40 }), (parts) => {
      const { value, problems, locate } = parseDocument(parts.join(''));
      expect(problems.length > 0 || value !== undefined).toBe(true);
      expect(locate('/a/0').line).toBeGreaterThan(0);
    }),
    { numRuns: 1000 },
  );
});
