import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { errorTable } from '../../src/errors.ts';

interface Row {
  readonly status: string;
  readonly type: string;
  readonly code: string;
  readonly meaning: string;
}

/** The rows of the README's table whose columns are status, type, code and meaning. */
async function documentedRows(): Promise<readonly Row[]> {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const lines = readme.split('\n');
  const head = lines.findIndex((line) => /^\|\s*status\s*\|\s*type\s*\|\s*code\s*\|\s*meaning\s*\|$/.test(line));
  if (head === -1) throw new Error('README.md has no table with the columns status | type | code | meaning');
  const rest = lines.slice(head + 2);
  const end = rest.findIndex((line) => !line.startsWith('|'));
  return rest.slice(0, end === -1 ? undefined : end).map((line) => {
    const [, status = '', type = '', code = '', meaning = ''] = line.split('|').map((cell) => cell.trim());
    return { status, type: unquoted(type), code: unquoted(code), meaning };
  });
}

const unquoted = (cell: string): string => cell.replaceAll('`', '');

describe('the error table', () => {
  it('is the same in the README as in the code', async () => {
    const documented = Object.fromEntries(
      (await documentedRows()).map(({ code, status, type, meaning }) => [code, { status, type, meaning }]),
    );
    const actual = Object.fromEntries(
      Object.entries(errorTable).map(([code, row]) => [
        code,
        { status: String(row.status), type: row.type, meaning: row.about },
      ]),
    );
    expect(documented).toEqual(actual);
  });

  it('has one row for each code', async () => {
    const codes = (await documentedRows()).map(({ code }) => code);
    expect(new Set(codes).size).toBe(codes.length);
  });
});
