import { describe, expect, it } from 'vitest';
import { Absent, createLanguage, ExpressionError, toCel } from '../../../src/providers/cel.ts';

class Opaque {
  readonly inside = 'nobody reads this';
}

const compile = createLanguage({
  types: {
    Opaque: { ctor: Opaque, fields: {} },
    Call: { fields: { size: 'string', n: 'int', more: 'map<string, dyn>' } },
  },
  functions: {
    'half(int): int': (whole: bigint) => {
      if (whole % 2n === 1n) throw new Absent();
      return whole / 2n;
    },
  },
})({ call: 'Call', body: 'dyn', thing: 'Opaque' });

const variables = {
  call: toCel({ n: 4, more: { steps: 7 } }),
  body: toCel({ a: 1, b: 2.5, none: null, list: [1, 2, null], text: 'Advanced moderation failed', deep: { x: 'y' } }),
  thing: new Opaque(),
};
const valueOf = (source: string): unknown => compile(source).evaluate(variables);

describe('an expression', () => {
  it.each([
    ['body.a', 1],
    ['body.a + 1', 2],
    ['body.b', 2.5],
    ['body.list[1]', 2],
    ['"/" + body.deep.x', '/y'],
    ['{"w": body.a, "h": [body.b]}', { w: 1, h: [2.5] }],
    ['call.n > 3 ? "many" : "few"', 'many'],
    ['half(call.n)', 2],
    ['body.text.contains("moder")', true],
    ['body.list.exists(item, item == 2)', true],
    ['body.?none.orValue("x")', 'x'],
    ['body.?a', 1],
  ])('gives plain data: %s', (source, value) => {
    expect(valueOf(source)).toEqual(value);
  });

  it.each(['body.a + body.b', 'body.b + body.a', 'body.a + 2.5', '1 + 2.5'])('mixes numbers: %s', (source) => {
    expect(valueOf(source)).toBe(3.5);
  });

  it.each([
    'body.none',
    'body.missing',
    'body.missing.deeper',
    'body.none.deeper',
    'body.text.deeper',
    'body.list[7]',
    'call.size',
    'call.size + "x"',
    '{"a": 1}[body.text]',
    'half(3)',
    'body.missing == "x"',
    '!has(body.missing.deeper)',
    'body.?missing',
    'when(false, body.a)',
    'first(body.missing, body.none)',
  ])('is empty for want of something: %s', (source) => {
    expect(valueOf(source)).toBeUndefined();
  });

  it.each([
    ['has(body.none)', false],
    ['has(body.a)', true],
    ['has(call.size)', false],
    ['body.missing == 1 || body.a == 1', true],
    ['body.missing == 1 && body.a == 2', false],
    ['first(body.missing.deeper, half(3), body.a)', 1],
    ['first(body.?missing, "usual")', 'usual'],
    ['first(call.more.steps, call.n)', 7],
    ['when(call.n > 3, body.text)', 'Advanced moderation failed'],
    ['re(body.text, "(?i).*MODERATION.*")', true],
    ['re(body.text, "moderation")', false],
  ])('catches what is missing, or asks for it: %s', (source, value) => {
    expect(valueOf(source)).toBe(value);
  });

  it.each([
    'body.deep + 1',
    're(body.a, "x")',
    'body.text > 3',
    '9007199254740991 + call.n',
    '1.0 / 0.0',
    'half(body.b)',
  ])('fails on what it cannot work with: %s', (source) => {
    expect(() => valueOf(source)).toThrow(ExpressionError);
  });

  it('hands values of its own types on as they are, and reads nothing of them', () => {
    expect(valueOf('thing')).toBe(variables.thing);
    expect(valueOf('[thing]')).toEqual([variables.thing]);
    expect(() => compile('thing.inside')).toThrow(ExpressionError);
    expect(() => compile('"x" + thing')).toThrow(ExpressionError);
  });

  it('knows what it reads and calls', () => {
    const { reads, calls, type } = compile(
      'first(call.more["steps"], half(call.?n.orValue(2)), body.list.map(i, i)[0])',
    );
    expect(reads).toEqual(new Set(['call.more.steps', 'call.n', 'body.list', 'i']));
    expect(calls).toEqual(new Set(['first', 'half', 'orValue', 'map']));
    expect(type).toBe('dyn');
    expect(compile('call.n == 1').type).toBe('bool');
  });

  it('reaches nothing of JavaScript', () => {
    for (const source of ['body.constructor', 'body["__proto__"]', 'body.deep.toString', 'call.more.constructor']) {
      expect(valueOf(source)).toBeUndefined();
    }
  });
});

describe('an expression that is not valid', () => {
  it.each([
    ['call.sise', 'No such key: sise, at `call.sise`'],
    ['cal.size', 'Unknown variable: cal, at `cal`'],
    ['call.size +', 'Unexpected token: EOF'],
    ['call.n + "x"', 'no such overload: int + string, at `call.n + "x"`'],
    ['nearest(call.size)', "found no matching overload for 'nearest(string)', at `nearest(call.size)`"],
    ['"a".matches("(a+)+$")', 'Use re(text, pattern) in place of matches(), at `"a".matches("(a+)+$")`'],
    ['body.a == null', 'There is no null here: what is null counts as absent; ask with has(), at `null`'],
    ['re(body.text, "(?=x)")', 'This is not a regular expression in RE2'],
    ['re(body.text, body.text)', 'The pattern of re() must be text that stands there, at `body.text`'],
    ['re(call.n, "x")', 're() looks at text only, at `call.n`'],
    ['when(call.n, "x")', 'The condition of when() must be true or false, at `call.n`'],
    ['body.list.map(a, body.list.map(b, body.list.map(c, c)))', 'Loops are nested more than 2 deep'],
    [`[${'1,'.repeat(300)}1]`, 'maxListElements'],
    [`${'('.repeat(100)}1${')'.repeat(100)}`, 'maxDepth'],
  ])('says why, and where: %s', (source, message) => {
    expect(() => compile(source)).toThrow(ExpressionError);
    expect(() => compile(source)).toThrow(message);
  });
});

describe('data for expressions', () => {
  it('keeps names that mean something to JavaScript as names', () => {
    const data = toCel(JSON.parse('{"__proto__": {"a": 1}, "b": 2}')) as Record<string, unknown>;
    expect(Object.keys(data)).toEqual(['__proto__', 'b']);
    expect(Object.getPrototypeOf(data)).toBe(null);
  });

  it('has a bound', () => {
    expect(() => toCel(Array.from({ length: 1001 }, () => 0))).toThrow(ExpressionError);
    expect(() => toCel(JSON.parse(`${'['.repeat(100)}${']'.repeat(100)}`))).toThrow(ExpressionError);
  });
});
