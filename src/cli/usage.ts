import {
  rowColumns,
  rowDocument,
  rowsFilter,
  usageColumns,
  usageDocument,
  usageOf,
  usageQuery,
} from '../admin/usage.ts';
import type { Document, UsageRequest } from '../admin/usage.ts';
import { readConfig } from '../config/load.ts';
import { GatewayError, OperatorError } from '../errors.ts';
import { validateWithExtensions } from '../gateway.ts';
import { openReader } from '../runtime/services.ts';
import type { BooksReader } from '../stores/ledger.ts';
import { printProblems } from './print-problems.ts';
import { tablePrinter, type DocumentPrinter, type PrintFormat } from './tables.ts';
import type { Command, CommandOptions, Terminal } from './terminal.ts';

export const usage: Command = {
  name: 'usage',
  usage: 'usage',
  about: 'what was used: the ledger, added up or row by row, also while the gateway runs or after it was killed',
  options: {
    by: { type: 'string', value: 'KEYS', about: 'add up by these, such as model,consumer,day' },
    since: { type: 'string', value: 'TIME', about: 'from then on: 30d before now, or 2026-11-01' },
    until: { type: 'string', value: 'TIME', about: 'until before then' },
    where: { type: 'string', multiple: true, value: 'NAME=VALUE', about: 'only such rows, such as consumer=web-app' },
    rows: { type: 'boolean', about: 'print the rows themselves' },
    format: { type: 'string', value: 'FORMAT', about: 'table, json or csv (default: table)' },
  },
  async run(options, terminal) {
    const asked = readOptions(options);
    if (asked.kind === 'wrong') {
      terminal.err(`${asked.message}\n`);
      return 2;
    }
    const { registry, loaded } = await validateWithExtensions(
      await readConfig({ path: options.config, env: terminal.env }),
    );
    if (loaded.kind === 'invalid') {
      terminal.err(printProblems(loaded.problems, terminal.colour));
      return 1;
    }
    try {
      const books = await openReader(loaded.config, registry);
      try {
        await (asked.rows ? printRows(books, asked, terminal) : printUsage(books, asked, terminal));
      } finally {
        await books.close();
      }
      return 0;
    } catch (error) {
      if (error instanceof GatewayError && error.code === 'invalid_value') {
        terminal.err(`${error.message}\n`);
        return 2;
      }
      if (!(error instanceof GatewayError || error instanceof OperatorError)) throw error;
      const reason = error.cause instanceof Error && error instanceof GatewayError ? ` ${error.cause.message}` : '';
      terminal.err(`${error.message}${reason}\n`);
      return 1;
    }
  },
};

interface Asked {
  readonly kind: 'asked';
  readonly request: UsageRequest;
  readonly rows: boolean;
  readonly format: PrintFormat;
}

function readOptions({ values, lists }: CommandOptions): Asked | { readonly kind: 'wrong'; readonly message: string } {
  const { by, since, until, format = 'table' } = values;
  if (format !== 'table' && format !== 'json' && format !== 'csv') {
    return { kind: 'wrong', message: `There is no format \`${format}\`: it is table, json or csv.` };
  }
  const filter = new Map<string, string>();
  for (const condition of lists['where'] ?? []) {
    const at = condition.indexOf('=');
    if (at < 1) return { kind: 'wrong', message: `\`${condition}\` is not of the form NAME=VALUE.` };
    filter.set(condition.slice(0, at), condition.slice(at + 1));
  }
  const rows = values['rows'] !== undefined;
  if (rows && by !== undefined) {
    return { kind: 'wrong', message: '`--rows` prints rows, which are not added up `--by` anything.' };
  }
  return { kind: 'asked', request: { by, since, until, filter }, rows, format };
}

async function printUsage(books: BooksReader, { request, format }: Asked, terminal: Terminal): Promise<void> {
  const { query, by } = usageQuery(request, Date.now());
  const groups = await usageOf(books, query);
  const printer = tablePrinter(format, usageColumns(by), terminal);
  printer.print(groups.map((group) => usageDocument(group, by)));
  printer.end();
}

/** Columns of the table; the other formats have all of them. */
const tableColumns = ['at', 'request_id', 'consumer', 'model', 'images', 'cost_usd', 'state', 'status', 'latency_ms'];

const pageSize = 1_000;

async function printRows(books: BooksReader, { request, format }: Asked, terminal: Terminal): Promise<void> {
  const filter = rowsFilter(request, Date.now());
  const printer: DocumentPrinter = tablePrinter(format, format === 'table' ? tableColumns : rowColumns, terminal);
  let after: string | undefined;
  do {
    const page = await books.rows({ ...filter, after, limit: pageSize });
    printer.print(page.rows.map((row): Document => rowDocument(row)));
    after = page.next;
  } while (after !== undefined);
  printer.end();
}
