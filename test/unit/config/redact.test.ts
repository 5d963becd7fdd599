import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import { join } from 'node:path';
import { loadConfig } from '../../fixtures/load-config.ts';
import { formatProblem } from '../../../src/config/problems.ts';
import { createRedactor, secretTextsIn } from '../../../src/config/redact.ts';
import { schemaDefinitions } from './definitions.ts';
import { temporaryFolder } from './temporary-folder.ts';

const shownLines = (source: string, secrets: readonly string[] = []): string[] => {
  const redactor = createRedactor(source, secrets);
  return source.split('\n').map((_line, index) => redactor.line(index + 1, 1).text);
};

describe('a line of the file', () => {
  it.each([
    ['token: hush', 'token: [redacted]'],
    ['  - key: hush # why', '  - key: [redacted]'],
    ['key_sha256: hush', 'key_sha256: [redacted]'],
    ['"api_key": "hush", "id": 1', '"api_key": [redacted], "id": 1'],
    ['a: { token: hush, timeout: 5 }', 'a: { token: [redacted], timeout: 5 }'],
    ['a: { token: hush,hush2, timeout: 5 }', 'a: { token: [redacted], timeout: 5 }'],
    ['a: { token: "hu, sh: }", timeout: 5 }', 'a: { token: [redacted], timeout: 5 }'],
    ["a: { password: 'it''s hush', timeout: 5 }", 'a: { password: [redacted], timeout: 5 }'],
    ['headers: { authorization: "Bearer hush" }', 'headers: { authorization: [redacted] }'],
    ['tokne: hush', 'tokne: [redacted]'],
    ['kye: hush', 'kye: [redacted]'],
    ['url: https://user:hush@example.com/x', 'url: https://[redacted]@example.com/x'],
    ['state: postgres://user:hu/s@h@db.example/pinhole', 'state: postgres://[redacted]@db.example/pinhole'],
    ['state: postgres://db/x?user=u&password=hush&a=b', 'state: postgres://db/x?user=u&password=[redacted]&a=b'],
    ['x: Bearer abc', 'x: Bearer [redacted]'],
    ['x: sk-proj-1234567', 'x: [redacted]'],
    ['x: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', 'x: [redacted]'],
    ['x: aB3dE6gH9jK2mN5pQ8sT', 'x: [redacted]'],
    ['id: provider_10bbc76d-7cd8-4cf7-b760-61e749a1b691', 'id: provider_10bbc76d-7cd8-4cf7-b760-61e749a1b691'],
    ['keep_alive: 75s', 'keep_alive: 75s'],
    ['base_url: https://api.openai.com/v1', 'base_url: https://api.openai.com/v1'],
  ])('%s', (line, expected) => {
    expect(shownLines(line)).toEqual([expected]);
  });

  it('is hidden where a secret goes on below its key', () => {
    const lines = shownLines('a:\n  token: |\n    hush\n\n    more\n  timeout: 5\n  key:\n  - hush\n  id: 1');
    expect(lines).toEqual([
      'a:',
      '  token: [redacted]',
      '    [redacted]',
      '',
      '    [redacted]',
      '  timeout: 5',
      '  key:',
      '  [redacted]',
      '  id: 1',
    ]);
  });

  it('is hidden where a quoted secret goes on below its key', () => {
    expect(shownLines('token: "hush\nmore hush" # end\nid: 1')).toEqual([
      'token: [redacted]',
      '[redacted]" # end',
      'id: 1',
    ]);
  });

  it('has what is known to be secret hidden, also in pieces', () => {
    expect(shownLines('a: one-two\nb: three\nc: x', ['one-two,three', 'x'])).toEqual([
      'a: [redacted]',
      'b: [redacted]',
      'c: x',
    ]);
  });

  it('keeps the place of the caret', () => {
    const source = 'a: { token: hush-hush-hush, timeot: 5 }';
    const { text, column } = createRedactor(source, []).line(1, source.indexOf('timeot') + 1);
    expect(text.slice(column - 1)).toBe('timeot: 5 }');
  });
});

describe('a known secret', () => {
  const secret = fc.stringMatching(/^[A-Za-z0-9+/=_-]{4,30}$/);

  it('is in no message, whatever stands around it', () => {
    fc.assert(
      fc.property(secret, fc.string(), fc.string(), (hush, before, after) => {
        fc.pre(!'[redacted]'.includes(hush) && !before.includes(hush) && !after.includes(hush));
        const redactor = createRedactor('', [hush]);
        expect(redactor.message(`${before}${hush}${after}`).replaceAll('[redacted]', '\n')).not.toContain(hush);
      }),
    );
  });

  it('is found under any key that names a secret, however deep', () => {
    const value = { a: { token: 'one', b: [{ headers: { authorization: ['two'] } }] }, id: 'three', key: 4 };
    expect(secretTextsIn(value)).toEqual(['one', 'two']);
  });
});

/** Ways of breaking a file around a secret. */
const spoilt: readonly (readonly [what: string, text: string])[] = [
  ['an unknown key beside it', 'admin:\n  token: SECRET\n  tokenn: SECRET\n'],
  ['a misspelt key before it', 'admin: { tokeen: SECRET }\n'],
  ['an unclosed quote', 'admin: { token: "SECRET }\nserver: x\n'],
  ['an unclosed brace', 'admin: { token: SECRET\nserver: {}\n'],
  ['a bad indent', 'admin:\n  token: SECRET\n listen: x\n'],
  ['a tab', 'admin:\n\ttoken: SECRET\n'],
  ['a list in place of a text', 'admin:\n  token:\n  - SECRET\n'],
  ['an object in place of a text', 'admin:\n  token:\n    SECRET: 1\n'],
  ['a line of its own', 'admin:\n  token:\n    SECRET\n  listen: x\n'],
  ['a block', 'admin:\n  token: |\n    SECRET\n  listen: x\n'],
  ['a duplicate', 'admin:\n  token: SECRET\n  token: SECRET\n'],
  ['a comma in it', 'admin: { token: first,SECRET, listn: x }\n'],
  ['a colon without a space', 'admin:\n  token:SECRET\n'],
  ['an unknown tag', 'admin:\n  token: !x SECRET\n'],
  [
    'a bad upstream',
    'routes: [{ id: a, path: /, pipeline: [forward], upstream: { url: "ftp://u:SECRET@h", timeout: no } }]\n',
  ],
  ['a variable as a name', 'routes: [{ id: a, path: /, pipeline: [parse], refs: ["${env:HUSH}"] }]\n'],
  ['a variable as an address', 'server: { listen: "${env:HUSH}" }\nimages: "${env:HUSH}"\n'],
  ['a hash in place of the key', 'consumers: [{ id: a, key: SECRET, key_sha256: SECRET }]\n'],
  ['a key used twice', 'consumers: [{ id: a, key: SECRET }, { id: b, key: SECRET }]\n'],
  [
    'a provider that is none',
    'image_models: [{ id: a, provider: opnai, config: { connection: { token: SECRET } } }]\n',
  ],
];

describe('a broken file', () => {
  const secret = 'hush5hush7hush9';
  const definitions = schemaDefinitions();

  it.each(spoilt)('with %s shows no secret', async (_what, text) => {
    using folder = temporaryFolder({ 'gateway.yaml': `version: 1\n${text.replaceAll('SECRET', secret)}` });
    const path = join(folder.path, 'gateway.yaml');
    const result = await loadConfig({ path, env: { HUSH: secret }, definitions });
    if (result.kind !== 'invalid') throw new Error('The file was accepted.');
    expect(JSON.stringify(result.problems)).not.toContain(secret);
    expect(result.problems.map((problem) => formatProblem(problem, { colour: true })).join('\n')).not.toContain(secret);
  });
});
