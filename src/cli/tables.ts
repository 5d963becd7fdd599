/** Documents as a table for people, as JSON, or as CSV. */
import type { Cell, Document } from '../admin/usage.ts';
import type { Terminal } from './terminal.ts';

export type PrintFormat = 'table' | 'json' | 'csv';

/** Prints documents as they come, some at a time. */
export interface DocumentPrinter {
  print(documents: readonly Document[]): void;
  end(): void;
}

/** @param columns the members that are printed, in their order */
export function tablePrinter(
  format: PrintFormat,
  columns: readonly string[],
  { out }: Pick<Terminal, 'out'>,
): DocumentPrinter {
  if (format === 'json') return jsonPrinter(columns, out);
  return format === 'csv' ? csvPrinter(columns, out) : textPrinter(columns, out);
}

/** One array, one document a line. */
function jsonPrinter(columns: readonly string[], out: (text: string) => void): DocumentPrinter {
  let separator = '';
  out('[');
  return {
    print(documents) {
      for (const document of documents) {
        const members = columns.map((name) => [name, document[name] ?? null] as const);
        out(`${separator}\n  ${JSON.stringify(Object.fromEntries(members))}`);
        separator = ',';
      }
    },
    end: () => out(separator === '' ? ']\n' : '\n]\n'),
  };
}

function csvPrinter(columns: readonly string[], out: (text: string) => void): DocumentPrinter {
  out(`${columns.join(',')}\r\n`);
  return {
    print(documents) {
      out(
        documents.map((document) => `${columns.map((name) => csvCell(document[name] ?? null)).join(',')}\r\n`).join(''),
      );
    },
    end() {},
  };
}

/** RFC 4180. Callers choose names, and a spreadsheet takes a text that begins like a formula for one. */
function csvCell(value: Cell): string {
  if (value === null) return '';
  const isText = typeof value === 'string' && !/^\d+(\.\d+)?$/.test(value);
  const text = isText && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** Rows up to here decide how wide the columns are; the rest are printed as they come. */
const measured = 1_000;

function textPrinter(columns: readonly string[], out: (text: string) => void): DocumentPrinter {
  let waiting: (readonly string[])[] = [];
  let widths: readonly number[] | undefined;
  /** Columns of numbers stand to the right. */
  const numeric = new Set<number>();

  function line(cells: readonly string[]): string {
    const padded = cells.map((cell, index) => {
      const width = widths?.[index] ?? 0;
      return numeric.has(index) ? cell.padStart(width) : cell.padEnd(width);
    });
    return `${padded.join('  ').trimEnd()}\n`;
  }

  function flush(): void {
    if (widths === undefined) {
      widths = columns.map((name, index) =>
        Math.max(name.length, ...waiting.map((cells) => cells[index]?.length ?? 0)),
      );
      out(line(columns));
    }
    out(waiting.map(line).join(''));
    waiting = [];
  }

  return {
    print(documents) {
      for (const document of documents) {
        columns.forEach((name, index) => {
          if (typeof document[name] === 'number' || name.endsWith('_usd')) numeric.add(index);
        });
        waiting.push(columns.map((name) => textCell(document[name] ?? null)));
      }
      if (waiting.length >= measured) flush();
    },
    end: flush,
  };
}

function textCell(value: Cell): string {
  // Nobody who chooses names tells the terminal what to do.
  return value === null ? '-' : String(value).replaceAll(/\p{Cc}/gu, '\uFFFD');
}
