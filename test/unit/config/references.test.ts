import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { expandReferences, parseTemplate } from '../../../src/config/references.ts';
import { temporaryFolder } from './temporary-folder.ts';

const expand = (value: unknown, env: Record<string, string> = {}) => expandReferences(value, { env, folder: '/' });

describe('references to variables', () => {
  it('are expanded wherever they stand in a text', async () => {
    const { value } = await expand({ a: ['x-${env:A}-${env:B}', '${env:A}'] }, { A: 'one', B: 'two' });
    expect(value).toEqual({ a: ['x-one-two', 'one'] });
  });

  it.each([
    ['set', { A: 'one' }, 'one'],
    ['empty', { A: '' }, 'default: ${x'],
    ['not set', {}, 'default: ${x'],
  ])('take their default when needed: %s', async (_what, env: Record<string, string>, expected) => {
    expect((await expand('${env:A:-default: ${x}', env)).value).toBe(expected);
  });

  it('without a default are empty when not set, and told', async () => {
    const { value, unset } = await expand({ 'a/b': '${env:A}' });
    expect(value).toEqual({ 'a/b': '' });
    expect(unset).toEqual([{ pointer: '/a~1b', name: 'A' }]);
  });

  it('are not looked for in what they stand for', async () => {
    expect((await expand('${env:A}', { A: '${env:B}', B: 'no' })).value).toBe('${env:B}');
  });

  it('never change the shape of a document, and never reach a prototype', async () => {
    const { value } = await expand({ a: '${env:A}', b: '${env:toString}' }, { A: 'x\nb: {c: [1' });
    expect(value).toEqual({ a: 'x\nb: {c: [1', b: '' });
  });

  it('mark what they stand for as secret', async () => {
    const { referenced, secretTexts } = await expand({ a: 'Bearer ${env:A}', b: 'plain' }, { A: 'hush' });
    expect([...referenced]).toEqual(['/a']);
    expect(secretTexts).toEqual(['hush', 'Bearer hush']);
  });
});

describe('references to files', () => {
  it('are relative to the folder, and lose one line end', async () => {
    using folder = temporaryFolder({ a: 'one\n', b: 'two\r\n', c: 'three\n\n', d: '\ufefffour' });
    const value = ['${file:a}', '${file:./b}', `\${file:${folder.path}/c}`, '${file:d}'];
    const expanded = await expandReferences(value, { env: {}, folder: folder.path });
    expect(expanded.value).toEqual(['one', 'two', 'three\n', 'four']);
    expect([...expanded.files.keys()]).toEqual(['a', 'b', 'c', 'd'].map((name) => `${folder.path}/${name}`));
  });

  it.each([
    ['missing', undefined, 'the file secret does not exist'],
    ['too large', 'x'.repeat(64 * 1024 + 1), 'the file secret is larger than 64KiB'],
    ['binary', Uint8Array.of(0xff), 'the file secret is not text in UTF-8'],
  ])('that cannot be used are problems: %s', async (_what, content, message) => {
    using folder = temporaryFolder(content === undefined ? {} : { secret: content });
    const expanded = await expandReferences({ a: '${file:secret}' }, { env: {}, folder: folder.path });
    expect(expanded.problems).toEqual([{ pointer: '/a', message }]);
    expect([...expanded.files.keys()]).toEqual([`${folder.path}/secret`]);
  });

  it('that are no regular files are not opened', async () => {
    const { problems } = await expand('${file:/dev/zero}');
    expect(problems[0]?.message).toBe('the file /dev/zero is not a regular file');
  });
});

describe('templates', () => {
  it('give back any text in which each ${ is escaped', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom('$', '{', '}', '${', 'env:A', ':-', 'é', ' ')), async (pieces) => {
        // A dollar before `${` would otherwise become part of the escape.
        const text = pieces.join('').replaceAll(/\$+\{/g, '${');
        expect(
          (
            await expand(
              text.replaceAll('${', () => '$${'),
              { A: 'no' },
            )
          ).value,
        ).toBe(text);
      }),
    );
  });

  it('never throw, and lose no text outside of references', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, after) => {
        const clean = (text: string): string => text.replaceAll('$', '');
        const parts = parseTemplate(`${clean(before)}\${env:A}${clean(after)}`);
        const texts = parts.map((part) => (part.kind === 'text' ? part.text : '|')).join('');
        expect(texts).toBe(`${clean(before)}|${clean(after)}`);
      }),
    );
  });

  it.each(['${A}', '${env:}', '${env:1A}', '${file:}', '${', '${env:A', '${ENV:A}', '${env:A-b}'])(
    'refuse %s',
    async (text) => {
      expect((await expand(text)).problems).toHaveLength(1);
    },
  );

  it('leave other dollars alone', async () => {
    expect((await expand('$5 $HOME $$ {} ^a$')).value).toBe('$5 $HOME $$ {} ^a$');
  });
});
