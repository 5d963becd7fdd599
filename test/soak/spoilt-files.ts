/** Files that must not go live, made from a good one by spoiling it in one place. */
import { isJsonObject } from '../../src/json.ts';

export interface SpoiltFile {
  readonly what: string;
  readonly text: string;
}

/** Every key misspelt, every value of another type, and mistakes in the text. At least 137 for any file of some size. */
export function spoiltFiles(good: object): readonly SpoiltFile[] {
  const text = JSON.stringify(good, undefined, 2);
  return [...spoiltTexts(text), ...spoiltDocuments(good)];
}

/** Names that are the user's own: misspelling them makes another good file, or another kind of mistake. */
const freeNames = /^\/(?:aliases|pipelines)$|\/headers$|\/metadata$/;

/** Values of any text, or of which another type is accepted as well. */
const freeValues = /\/(?:description|tags|name)\b/;

function* spoiltDocuments(good: object): Generator<SpoiltFile> {
  for (const pointer of pointers(good)) {
    const parent = pointer.slice(0, pointer.lastIndexOf('/'));
    const name = pointer.slice(pointer.lastIndexOf('/') + 1);
    if (freeValues.test(pointer)) continue;
    yield spoil(good, pointer, `${pointer} is a mapping of something else`, { unheard_of: { of: 1 } });
    yield spoil(good, pointer, `${pointer} is a number with a fraction`, -0.5);
    if (!/^\d+$/.test(name) && !freeNames.test(parent)) {
      yield {
        what: `${pointer} misspelt`,
        text: edit(good, parent, (value) =>
          isJsonObject(value)
            ? Object.fromEntries(Object.entries(value).map(([key, each]) => [key === name ? `${key}x` : key, each]))
            : value,
        ),
      };
    }
  }
}

function spoiltTexts(text: string): readonly SpoiltFile[] {
  const cuts = Array.from({ length: 40 }, (_, index) => Math.floor(((index + 1) * text.length) / 42));
  return [
    ...cuts.map((length) => ({ what: `cut after ${String(length)} characters`, text: text.slice(0, length) })),
    { what: 'empty', text: '' },
    { what: 'blank', text: ' \n\n' },
    { what: 'only a comment', text: '# nothing\n' },
    { what: 'a list', text: '- 1\n- 2\n' },
    { what: 'a word', text: 'gateway\n' },
    { what: 'two documents', text: `${text}\n---\n${text}` },
    { what: 'a key twice', text: text.replace('"version": 1,', '"version": 1,\n"version": 1,') },
    { what: 'another version', text: text.replace('"version": 1', '"version": 2') },
    { what: 'an unknown tag', text: text.replace('"version": 1', '"version": !secret 1') },
    { what: 'tabs for indentation', text: 'version: 1\nserver:\n\tlisten: 127.0.0.1:0\n' },
    { what: 'binary', text: '\u0000\u0001\u0002\u0003' },
    { what: 'an alias bomb', text: aliasBomb() },
    { what: 'brackets without end', text: '['.repeat(50_000) },
    { what: 'an unset variable', text: text.replace('"memory:"', '"${env:NO_SUCH_THING_AT_ALL}"') },
    { what: 'a file that is not there', text: text.replace('"memory:"', '"${file:./no/such/file}"') },
    { what: 'a folder as a secret', text: text.replace('"memory:"', '"${file:./}"') },
    { what: 'an unfinished reference', text: text.replace('"memory:"', '"${env:HOME"') },
    { what: 'an unknown kind of reference', text: text.replace('"memory:"', '"${vault:secret}"') },
    { what: 'a pattern with look-ahead', text: text.replace('"exclude": []', '"exclude": ["(?=a)b"]') },
    { what: 'a pattern that does not end', text: text.replace('"exclude": []', '"exclude": ["(a"]') },
    { what: 'an unknown ref', text: text.replace('"refs": [', '"refs": ["nobody", ') },
    { what: 'an unknown stage', text: text.replace('"route-resolve"', '"rout-resolve"') },
    { what: 'a stage in the wrong place', text: swapped(text, '"parse"', '"route-resolve"') },
    { what: 'a stage twice', text: text.replace('"parse"', '"parse", "parse"') },
    { what: 'an unknown provider', text: text.replace('"provider": "openai"', '"provider": "opnai"') },
    { what: 'two routes of one id', text: text.replace('"id": "edit"', '"id": "generate"') },
    { what: 'a path without a slash', text: text.replace('"/v1/models"', '"v1/models"') },
    { what: 'an address without a port', text: text.replace('"127.0.0.1:0"', '"127.0.0.1"') },
    { what: 'a port out of range', text: text.replace('"127.0.0.1:0"', '"127.0.0.1:70000"') },
  ].filter((file) => file.text !== text);
}

function aliasBomb(): string {
  const lines = Array.from({ length: 12 }, (_, level) => {
    const inner = level === 0 ? '"lol"' : `*a${String(level - 1)}`;
    return `a${String(level)}: &a${String(level)} [${Array.from({ length: 10 }, () => inner).join(', ')}]`;
  });
  return `${lines.join('\n')}\n`;
}

function swapped(text: string, one: string, other: string): string {
  return text.replace(one, '\u0000').replace(other, one).replace('\u0000', other);
}

/** JSON pointers of all members. */
function* pointers(value: unknown, at = ''): Generator<string> {
  if (typeof value !== 'object' || value === null) return;
  for (const [name, member] of Object.entries(value)) {
    yield `${at}/${name}`;
    yield* pointers(member, `${at}/${name}`);
  }
}

function spoil(good: object, pointer: string, what: string, wrong: unknown): SpoiltFile {
  return { what, text: edit(good, pointer, () => wrong) };
}

/** The document as text, with the value at a pointer changed. */
function edit(good: object, pointer: string, change: (value: unknown) => unknown): string {
  const walk = (value: unknown, path: readonly string[]): unknown => {
    const [name, ...rest] = path;
    if (name === undefined) return change(value);
    if (Array.isArray(value))
      return value.map((each: unknown, index) => (String(index) === name ? walk(each, rest) : each));
    if (!isJsonObject(value)) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [key, key === name ? walk(each, rest) : each]),
    );
  };
  return JSON.stringify(walk(good, pointer.split('/').slice(1)), undefined, 2);
}
