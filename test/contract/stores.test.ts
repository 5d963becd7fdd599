import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { memoryStore } from '../../src/stores/memory.ts';
import { sqliteStore } from '../../src/stores/sqlite.ts';
import type { Store } from '../../src/stores/store.ts';
import { hold, many, storeContract } from './store-contract.ts';

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pinhole-store-'));
  file = join(folder, 'deep', 'state.db');
});
afterEach(() => rm(folder, { recursive: true }));

const settings = { now: () => Date.now() };
const open = (): Promise<Store> => sqliteStore.open(file, settings);

storeContract('memory', () => memoryStore.open('', settings));
storeContract('sqlite', open);

describe('memory store', () => {
  it('forgets counters that have expired, unless they hold something', async () => {
    let nowMs = 0;
    const store = await memoryStore.open('', { now: () => nowMs });
    const expiring = (counter: string) => [{ counter, amount: 1, limit: undefined, expiresAtMs: 1000 }];
    for (const id of ['settled', 'open']) await store.reserve(id, expiring(id));
    await store.settle('settled', [1]);
    nowMs = 1000;
    for (let index = 0; index < 4; index += 1) await store.reserve(`later${index}`, [hold('other', 1)]);
    expect(await store.read('settled')).toEqual({ settled: 0, held: 0 });
    expect(await store.read('open')).toEqual({ settled: 0, held: 1 });
  });
});

describe('sqlite store', () => {
  it('still has its counters when it is opened again, and marks as estimated what was left open', async () => {
    const first = await open();
    await first.reserve('done', [hold('images', 3, 10)]);
    await first.settle('done', [2]);
    await first.reserve('left', [hold('images', 4, 10), hold('team', 4, 10)]);
    await first.close();

    const second = await open();
    expect(await second.read('images')).toEqual({ settled: 6, held: 0 });
    expect(await second.read('team')).toEqual({ settled: 4, held: 0 });
    await second.settle('left', [0, 0]);
    expect(await second.read('images')).toEqual({ settled: 6, held: 0 });
    expect(query(`SELECT id, state FROM reservations ORDER BY id`)).toEqual([
      { id: 'done', state: 'settled' },
      { id: 'left', state: 'estimated' },
    ]);
    await second.close();
  });

  it('lets one gateway open a file at a time, and readers next to it', async () => {
    const first = await open();
    await first.reserve('a', [hold('images', 1)]);
    await expect(open()).rejects.toThrow(/in use by another gateway/);
    expect(query('SELECT state FROM reservations')).toEqual([{ state: 'held' }]);
    expect(await first.read('images')).toEqual({ settled: 0, held: 1 });
    await first.close();
    await (await open()).close();
  });

  it('refuses a file that a newer version wrote, and one that is no database', async () => {
    await (await open()).close();
    const database = new DatabaseSync(file);
    database.exec('PRAGMA user_version = 99');
    database.close();
    await expect(open()).rejects.toThrow(/version 99/);
    await writeFile(file, 'version: 1\nserver: { listen: 127.0.0.1:8080 }\n'.repeat(20));
    await expect(open()).rejects.toThrow(/not a database/);
  });

  it('forgets closed reservations and expired counters', async () => {
    let nowMs = 0;
    const store = await sqliteStore.open(file, { now: () => nowMs });
    const expiring = [{ counter: 'old', amount: 1, limit: undefined, expiresAtMs: 1000 }];
    await Promise.all(many(20, (index) => store.reserve(`r${index}`, expiring)));
    await Promise.all(many(19, (index) => store.settle(`r${index}`, [1])));
    nowMs = 3_600_000;
    for (let index = 0; index < 10; index += 1) await store.reserve(`new${index}`, [hold('new', 1)]);
    expect(query(`SELECT id FROM reservations WHERE id LIKE 'r%'`)).toEqual([{ id: 'r19' }]);
    expect(query('SELECT count(*) AS amounts FROM holds')).toEqual([{ amounts: 11 }]);
    expect(await store.read('old')).toEqual({ settled: 19, held: 1 });

    await store.settle('r19', [1]);
    await store.reserve('last', [hold('new', 1)]);
    expect(query('SELECT counter FROM counters')).toEqual([{ counter: 'new' }]);
    await store.close();
  });

  it('refuses what was under way when its thread dies, goes on with a new one and holds nothing for the refused', async () => {
    const started = once(process, 'worker');
    const store = await open();
    const [thread]: Worker[] = await started;
    await store.reserve('mine', [hold('images', 2)]);

    const restarted = once(process, 'worker');
    const outcome = Promise.allSettled(many(50, (index) => store.reserve(`r${index}`, [hold('images', 1)])));
    // By now the batch is on its way to the thread. Whether it gets as far as the file is anybody's guess.
    await setImmediate();
    await thread?.terminate();
    const outcomes = await outcome;
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'overloaded' });
    }

    const held = outcomes.filter(({ status }) => status === 'fulfilled').length;
    expect(await store.read('images')).toEqual({ settled: 0, held: held + 2 });
    await restarted;
    await store.settle('mine', [1]);
    expect(await store.read('images')).toEqual({ settled: 1, held });
    await store.close();
  });

  it('loses nothing that it has acknowledged when the process is killed under load', async () => {
    const books: string[] = [];
    for (let round = 1; round <= 5; round += 1) {
      const { child, read } = startWriter([], `round${round}`, books);
      const enough = books.length + 1000 + 100 * round;
      await read(() => books.length >= enough);
      child.kill('SIGKILL');
      await once(child, 'close');
      await checkBooks(books);
    }
  }, 60_000);

  it('refuses while the disk is full, and goes on without a restart when there is room', async () => {
    if (!existsSync('/usr/bin/prlimit'))
      throw new Error('this test needs /usr/bin/prlimit, from the package util-linux');
    const books: string[] = [];
    const { child, read } = startWriter(['/usr/bin/prlimit', '--fsize=1000000:unlimited'], 'full', books);
    let refused = 0;
    await read((line) => line.startsWith('- ') && (refused += 1) >= 200);
    expect(child.exitCode).toBeNull();

    await once(spawn('/usr/bin/prlimit', ['--fsize=unlimited:unlimited', `--pid=${child.pid}`]), 'close');
    let settled = 0;
    await read((line) => line.startsWith('! settled') && (settled += 1) >= 200);
    child.kill('SIGKILL');
    await once(child, 'close');
    await checkBooks(books);
  }, 60_000);
});

function query(sql: string): unknown {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    return database.prepare(sql).all();
  } finally {
    database.close();
  }
}

interface Writer {
  readonly child: ChildProcess;
  /** Resolves at the first line for which `until` holds; rejects when the writer ends before that. */
  readonly read: (until: (line: string) => boolean) => Promise<void>;
}

/** Starts the crash writer on the file, under `command` if there is one. What it says is added to `lines`. */
function startWriter(command: readonly string[], prefix: string, lines: string[]): Writer {
  const script = fileURLToPath(new URL('../fixtures/crash-writer.ts', import.meta.url));
  const [program, ...rest] = [...command, process.execPath];
  const child = spawn(program ?? process.execPath, [...rest, script, file, prefix], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
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

interface Bounds {
  /** What the reservation counts for after the last answer about it. */
  readonly known: number;
  readonly atLeast: number;
  readonly atMost: number;
}

/** Opens the file after a kill: what it says lies between what was acknowledged and what was asked for. */
async function checkBooks(lines: readonly string[]): Promise<void> {
  const bounds = new Map<string, Bounds>();
  /** Reservations that the store has acknowledged, and nobody has tried to settle since. */
  const open = new Set<string>();
  for (const line of lines) {
    const [sign, what, id = '', text] = line.split(' ');
    const amount = Number(text);
    const { known } = bounds.get(id) ?? { known: 0 };
    if (sign === '?') {
      bounds.set(id, { known, atLeast: Math.min(known, amount), atMost: Math.max(known, amount) });
      open.delete(id);
    } else {
      const certain = sign === '!' ? amount : known;
      bounds.set(id, { known: certain, atLeast: certain, atMost: certain });
      if (what === 'held') open.add(id);
    }
  }
  const sum = (of: 'atLeast' | 'atMost'): number =>
    Array.from(bounds.values()).reduce((total, each) => total + each[of], 0);

  const store = await sqliteStore.open(file, settings);
  const { settled, held } = await store.read('all');
  await store.close();
  expect(held).toBe(0);
  expect(settled).toBeGreaterThanOrEqual(sum('atLeast'));
  expect(settled).toBeLessThanOrEqual(sum('atMost'));
  const lanes = query(`SELECT sum(settled) AS settled FROM counters WHERE counter LIKE 'lane %'`);
  expect(lanes).toEqual([{ settled }]);
  const estimated = query(`SELECT group_concat(id) AS ids FROM reservations WHERE state = 'estimated'`);
  const marked = new Set(Object.values(Object(estimated)[0]).join().split(','));
  expect([...open].filter((id) => !marked.has(id))).toEqual([]);
  expect(query('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }]);
}
