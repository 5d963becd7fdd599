import { describe, expect, it } from 'vitest';
import { tablePrinter, type PrintFormat } from '../../../src/cli/tables.ts';
import type { Document } from '../../../src/admin/usage.ts';

const columns = ['model', 'images', 'cost_usd'];
const documents: readonly Document[] = [
  { model: 'gpt-image-2', images: 12, cost_usd: '0.48' },
  { model: null, images: 3, cost_usd: null },
];

function printed(format: PrintFormat, pages: readonly (readonly Document[])[], names = columns): string {
  let text = '';
  const printer = tablePrinter(format, names, { out: (more) => void (text += more) });
  for (const page of pages) printer.print(page);
  printer.end();
  return text;
}

describe('a table', () => {
  it('stands in columns, numbers to the right', () => {
    expect(printed('table', [documents])).toBe(
      ['model        images  cost_usd', 'gpt-image-2      12      0.48', '-                 3         -', ''].join(
        '\n',
      ),
    );
  });

  it('has its head also when there is nothing', () => {
    expect(printed('table', [])).toBe('model  images  cost_usd\n');
  });

  it('does not let a name speak to the terminal', () => {
    const text = printed('table', [[{ model: 'a\u001b[2Jb\n', images: 1, cost_usd: null }]]);
    expect(text).toContain('a\ufffd[2Jb\ufffd');
  });
});

describe('JSON', () => {
  it('is one array, however many pages there are', () => {
    expect(JSON.parse(printed('json', [documents, [], documents]))).toEqual([...documents, ...documents]);
    expect(JSON.parse(printed('json', []))).toEqual([]);
  });
});

describe('CSV', () => {
  it('has a head, and nothing for what is not known', () => {
    expect(printed('csv', [documents])).toBe('model,images,cost_usd\r\ngpt-image-2,12,0.48\r\n,3,\r\n');
  });

  it('quotes what would be taken for another cell, and tames what would be taken for a formula', () => {
    const cells = ['a,b', 'say "hi"', 'two\nlines', '=1+1', '-x', '@cmd', '0.5'];
    const lines = printed('csv', [cells.map((model) => ({ model }))], ['model']).split('\r\n');
    expect(lines.slice(1, -1)).toEqual(['"a,b"', '"say ""hi"""', '"two\nlines"', "'=1+1", "'-x", "'@cmd", '0.5']);
  });
});
