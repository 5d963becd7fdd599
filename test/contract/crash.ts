/** What is left of the books when a process that writes them is killed. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import type { BooksReader, LedgerRow } from '../../src/stores/ledger.ts';
import type { Store } from '../../src/stores/store.ts';

export interface Writer {
  readonly child: ChildProcess;
  /** Resolves at the first line for which `until` holds; rejects when the writer ends before that. */
  readonly read: (until: (line: string) => boolean) => Promise<void>;
}

export interface WriterOptions {
  /** What `state:` would say. */
  readonly address: string;
  /** Of the ids that the writer gives. */
  readonly prefix: string;
  readonly leaseMs?: number;
  /** A program, with its arguments, that is to run the writer. */
  readonly command?: readonly string[];
}

/** Starts the crash writer. What it says is added to `lines`. */
export function startWriter({ address, prefix, leaseMs, command = [] }: WriterOptions, lines: string[]): Writer {
  const script = fileURLToPath(new URL('../fixtures/crash-writer.ts', import.meta.url));
  const [program, ...rest] = [...command, process.execPath];
  const args = [...rest, script, address, prefix, ...(leaseMs === undefined ? [] : [String(leaseMs)])];
  const child = spawn(program ?? process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const reader = createInterface({ input: child.stdout });
  let check = (_line: string): void => {};
  reader.on('line', (line) => {
    if (!line.endsWith(' .')) return;
    lines.push(line);
    check(line);
  });
  return {
    child,
    async read(until) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      check = (line) => void (until(line) && resolve());
      const ended = (): void => reject(new Error('The writer ended by itself.'));
      child.once('exit', ended);
      await promise;
      child.off('exit', ended);
    },
  };
}

/** What the last words about an id were. */
interface Said {
  /** What the store has acknowledged last; undefined: nothing yet. */
  known: 'held' | 'settled' | 'recorded' | undefined;
  /** What it was asked for after that, without an answer. */
  asked: string | undefined;
  amount: number;
}

/**
 * Compares the books after a kill, once everything that was left open has been recovered, with what the writers have said:
 * nothing that was acknowledged is missing, nothing stands there twice, and nothing that nobody asked for.
 */
export async function checkBooks(store: Store, lines: readonly string[]): Promise<void> {
  const said = new Map<string, Said>();
  for (const line of lines) {
    const [sign, what = '', id = '', text] = line.split(' ');
    if (sign === '-') continue;
    const entry = said.get(id) ?? { known: undefined, asked: undefined, amount: 0 };
    if (sign === '?') entry.asked = what;
    else Object.assign(entry, { known: what, asked: undefined });
    entry.amount = Number(text);
    said.set(id, entry);
  }
  const rows = Map.groupBy(await allRows(store), ({ requestId }) => requestId);

  const wrong: string[] = [];
  for (const [id, { known, asked, amount }] of said) {
    const [row, ...others] = rows.get(id) ?? [];
    const found = row === undefined ? 'nothing' : `${row.state} ${row.images}`;
    const settled = `settled ${amount}`;
    const possible = {
      held: asked === 'settled' ? [settled, 'estimated 2'] : ['estimated 2'],
      settled: [settled],
      recorded: [`recorded ${amount}`],
      nothing: asked === 'recorded' ? ['nothing', `recorded ${amount}`] : ['nothing', 'estimated 2', 'released 0'],
    }[known ?? 'nothing'];
    if (!possible.includes(found) || others.length > 0) {
      wrong.push(`${id}: ${found} and ${others.length} more, instead of ${possible.join(' or ')}`);
    }
  }
  for (const id of rows.keys()) if (!said.has(id)) wrong.push(`${id}: nobody asked for it`);
  expect(wrong).toEqual([]);

  const reserved = [...rows.values()].flat().filter(({ state }) => state !== 'recorded');
  const images = reserved.reduce((sum, row) => sum + row.images, 0);
  expect(await store.read('all')).toEqual({ settled: images, held: 0 });
  const lanes = await store.counters({ prefix: 'lane ', limit: 100 });
  expect(lanes.reduce((sum, { settled }) => sum + settled, 0)).toBe(images);
  expect(lanes.reduce((sum, { held }) => sum + held, 0)).toBe(0);
}

export async function allRows(reader: Pick<BooksReader, 'rows'>): Promise<readonly LedgerRow[]> {
  const all: LedgerRow[] = [];
  let after: string | undefined;
  do {
    const page = await reader.rows({ limit: 10_000, after });
    all.push(...page.rows);
    after = page.next;
  } while (after !== undefined);
  return all;
}
