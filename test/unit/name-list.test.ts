import { describe, expect, it } from 'vitest';
import { compileNames, isPlainName } from '../../src/name-list.ts';

describe('a list of names', () => {
  it.each([
    [['web-app'], 'web-app', true],
    [['web.app'], 'web-app', false],
    [['web.app@x:1_2'], 'web.app@x:1_2', true],
    [['batch', 'web-.*'], 'web-app', true],
    [['web-.*'], 'my-web-app', false],
    [['web|app'], 'web-app', false],
    [['(?i)WEB-APP'], 'web-app', true],
    [['.*'], '', true],
  ])('%j has %s: %s', (entries, name, expected) => {
    expect(compileNames(entries).has(name)).toBe(expected);
  });

  it('tells names from patterns by their characters', () => {
    expect(['a', 'a.b', 'a@b:c_d-1'].every(isPlainName)).toBe(true);
    expect(['', '.*', 'a+', '(a)', '^a$', 'a b'].some(isPlainName)).toBe(false);
  });
});
