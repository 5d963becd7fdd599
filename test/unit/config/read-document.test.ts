import { describe, expect, it } from 'vitest';
import { parseDocument } from '../../../src/config/document.ts';
import { readDocument } from '../../../src/config/read-document.ts';

const consumers = Array.from({ length: 3000 }, (_, index) => `  - { id: c${index}, key: k${index}, team: t }`);
const large = ['version: 1', 'consumers:', ...consumers, 'a/b: { "~c": 1 }', ''].join('\n');

describe('a large text', () => {
  it('is read as a small one would be, positions included', async () => {
    const [apart, here] = [await readDocument(large), parseDocument(large)];
    expect(apart.value).toEqual(here.value);
    expect(apart.problems).toEqual([]);
    for (const pointer of ['', '/consumers/2999/team', '/consumers/3000', '/a~1b/~0c', '/nothing', '/version/1']) {
      expect(apart.has(pointer)).toBe(here.has(pointer));
      expect(apart.locate(pointer)).toEqual(here.locate(pointer));
      expect(apart.locate(pointer, 'key')).toEqual(here.locate(pointer, 'key'));
    }
  });

  it('has the same problems when it is no YAML', async () => {
    const [apart, here] = [await readDocument(`${large}  - [`), parseDocument(`${large}  - [`)];
    expect(apart.value).toBeUndefined();
    expect(apart.problems).toEqual(here.problems);
    expect(apart.problems).not.toEqual([]);
    expect(apart.has('/version')).toBe(here.has('/version'));
  });
});
