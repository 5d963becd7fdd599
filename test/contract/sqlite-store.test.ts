import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { migrations } from '../../src/stores/sqlite-schema.ts';
import { sqliteStore } from '../../src/stores/sqlite.ts';
import type { Store, StoreSettings } from '../../src/stores/store.ts';
import { openRow } from '../fixtures/ledger.ts';
import { allRows, checkBooks, startWriter } from './crash.ts';
import { claimMany, heldKeys } from './keys-contract.ts';
import { sharedContract } from './shared-contract.ts';
import { hold, many, terms } from './places.ts';

let folder: string;
let file: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pinhole-store-'));
  file = join(folder, 'deep', 'state.db');
});
afterEach(() => rm(folder, { recursive: true }));

const open = (settings: Partial<StoreSettings> = {}): Promise<Store> =>
  sqliteStore.open(file, { now: Date.now, ...settings });

sharedContract('sqlite', () => ({ address: `sqlite:${file}`, open, read: () => sqliteStore.read(file) }));

describe('sqlite store', () => {
  it('still has its books when it is opened again, and has settled and marked what was left open', async () => {
    const first = await open();
    await first.reserve('done', [hold('images', 3, 10)], terms());
    await first.settle('done', [2]);
    const row = openRow({ requestId: 'left', images: 4 });
    await first.reserve('left', [hold('images', 4, 10), hold('team', 4, 10)], terms({ row }));
    await first.close();

    const second = await open();
    expect(await second.read('images')).toEqual({ settled: 6, held: 0 });
    expect(await second.read('team')).toEqual({ settled: 4, held: 0 });
    await second.settle('left', [0, 0]);
    expect(await second.read('images')).toEqual({ settled: 6, held: 0 });
    expect(await allRows(second)).toMatchObject([{ requestId: 'left', state: 'estimated', images: 4 }]);
    await second.close();
  });

  it('leaves nothing beside its file that belongs to processes that are gone', async () => {
    await (await open()).close();
    expect(await besides()).toEqual(['state.db', 'state.db-lock']);
    const { child, read } = startWriter({ address: `sqlite:${file}`, prefix: 'gone' }, []);
    await read((line) => line.startsWith('! settled'));
    expect((await besides()).filter((name) => name.includes('-owner-'))).toHaveLength(1);
    child.kill('SIGKILL');
    await once(child, 'close');
    const store = await open();
    const own = (await besides()).filter((name) => name.includes('-owner-'));
    await store.maintain({ ledgerKeptMs: undefined });
    expect((await besides()).filter((name) => name.includes('-owner-'))).toEqual(own);
    expect(own).toHaveLength(1);
    await store.close();
  });

  it('is one and the same through a link', async () => {
    await (await open()).close();
    const link = join(folder, 'link.db');
    await symlink(file, link);
    const [one, other] = await Promise.all([open(), sqliteStore.open(link, { now: Date.now })]);
    await one.reserve('a', [hold('images', 1)], terms());
    await other.maintain({ ledgerKeptMs: undefined });
    expect(await other.read('images')).toEqual({ settled: 0, held: 1 });
    await Promise.all([one.close(), other.close()]);
  });

  it('shares its file with no gateway of the first version', async () => {
    const store = await open();
    const older = new DatabaseSync(`${file}-lock`);
    expect(() => older.exec('BEGIN EXCLUSIVE')).toThrow(/locked/);
    await store.close();
    older.exec('BEGIN EXCLUSIVE');
    await expect(open()).rejects.toThrow(/in use by an older gateway/);
    older.close();
    await (await open()).close();
  });

  it('takes over a file of the first version, and loses nothing of it', async () => {
    await (await open()).close();
    await rm(file);
    const older = new DatabaseSync(file);
    older.exec(`PRAGMA journal_mode = WAL; ${migrations[0]} PRAGMA user_version = 1;
      INSERT INTO counters VALUES ('images', 7, 5, NULL), ('team', 1, 3, ${Date.now() + 3_600_000});
      INSERT INTO reservations VALUES
        (1, 'req_1/aaaa', 'settled', 1000), (2, 'req_2/bbbb', 'held', 2000), (3, 'req_3/cccc', 'estimated', 3000);
      INSERT INTO holds VALUES (1, 0, 'images', 1), (2, 0, 'images', 5), (2, 1, 'team', 3), (3, 0, 'images', 2);`);
    older.close();

    await expect(sqliteStore.read(file)).rejects.toThrow(/older gateway/);
    const store = await open();
    expect(await store.read('images')).toEqual({ settled: 12, held: 0 });
    expect(await store.read('team')).toEqual({ settled: 4, held: 0 });
    expect(await allRows(store)).toMatchObject([
      { requestId: 'req_2', atMs: 2000, images: 5, state: 'estimated', consumer: null, costNanoUsd: null },
      { requestId: 'req_3', atMs: 3000, images: 2, state: 'estimated' },
    ]);
    await store.reserve('new', [hold('images', 1, 13)], terms({ row: openRow({ requestId: 'new' }) }));
    expect(await allRows(store)).toHaveLength(3);
    await store.close();
  });

  it('refuses a file that a newer version wrote, and one that is no database', async () => {
    await (await open()).close();
    const database = new DatabaseSync(file);
    database.exec('PRAGMA user_version = 99');
    database.close();
    await expect(open()).rejects.toThrow(/version 99/);
    await writeFile(file, 'version: 1\nserver: { listen: 127.0.0.1:8080 }\n'.repeat(20));
    await expect(open()).rejects.toThrow(/not a database/);
    expect(await besides()).toEqual(['state.db', 'state.db-lock']);
  });

  it('forgets ids of what is over after a while', async () => {
    let nowMs = Date.now();
    const store = await open({ now: () => nowMs });
    await Promise.all(many(1200, (index) => store.reserve(`r${index}`, [hold('images', 1)], terms())));
    await Promise.all(many(1199, (index) => store.settle(`r${index}`, [1])));
    await store.maintain({ ledgerKeptMs: undefined });
    expect(query('SELECT count(*) AS ids FROM reservations')).toEqual([{ ids: 1200 }]);
    nowMs += 3_600_000;
    await store.maintain({ ledgerKeptMs: undefined });
    expect(query('SELECT id FROM reservations')).toEqual([{ id: 'r1199' }]);
    expect(query('SELECT count(*) AS amounts FROM holds')).toEqual([{ amounts: 1 }]);
    await store.close();
  });

  it('refuses what was under way when its thread dies, goes on with a new one and holds nothing for the refused', async () => {
    const started = once(process, 'worker');
    const store = await open();
    const [thread]: Worker[] = await started;
    await store.reserve('mine', [hold('images', 2)], terms());

    const restarted = once(process, 'worker');
    const outcome = Promise.allSettled(many(50, (index) => store.reserve(`r${index}`, [hold('images', 1)], terms())));
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
    await store.maintain({ ledgerKeptMs: undefined });
    await store.settle('mine', [1]);
    expect(await store.read('images')).toEqual({ settled: 1, held });
    await store.close();
  });

  it('gives no key to those that it refused when its thread died', async () => {
    const started = once(process, 'worker');
    const store = await open();
    const [thread]: Worker[] = await started;
    const outcome = claimMany(store, 50);
    await setImmediate();
    await thread?.terminate();
    const taken = (await outcome).filter(({ status }) => status === 'fulfilled').length;
    expect(await heldKeys(store, 50)).toBe(taken);
    await store.close();
  });

  it('reports while it is written to, and again after the thread of its reports has died', async () => {
    const store = await open();
    await store.reserve('a', [hold('images', 1)], terms({ row: openRow() }));
    const started = once(process, 'worker');
    expect(await store.usage({ by: [], limit: 1 })).toMatchObject([{ open: 1 }]);
    const [thread]: Worker[] = await started;
    await thread?.terminate();
    expect(await store.usage({ by: [], limit: 1 })).toMatchObject([{ open: 1 }]);
    await store.close();
  });

  it('refuses while the disk is full, says so, and goes on without a restart when there is room', async () => {
    if (!existsSync('/usr/bin/prlimit'))
      throw new Error('this test needs /usr/bin/prlimit, from the package util-linux');
    const lines: string[] = [];
    const command = ['/usr/bin/prlimit', '--fsize=1000000:unlimited'];
    const { child, read } = startWriter({ address: `sqlite:${file}`, prefix: 'full', command }, lines);
    let refused = 0;
    await read((line) => line.startsWith('- ') && (refused += 1) >= 200);
    expect(child.exitCode).toBeNull();

    await once(spawn('/usr/bin/prlimit', ['--fsize=unlimited:unlimited', `--pid=${child.pid}`]), 'close');
    let settled = 0;
    await read((line) => line.startsWith('! settled') && (settled += 1) >= 200);
    child.kill('SIGKILL');
    await once(child, 'close');
    const store = await open();
    await checkBooks(store, lines);
    await store.close();
    expect(query('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }]);
  }, 60_000);

  it('is closed before its process ends, whatever it was being asked', async () => {
    const script = fileURLToPath(new URL('../fixtures/store-closer.ts', import.meta.url));
    const child = spawn(process.execPath, [script, file], { stdio: ['ignore', 'pipe', 'ignore'] });
    expect(await once(child, 'close')).toEqual([0, null]);
    expect((await besides()).filter((name) => name.includes('-owner-'))).toEqual([]);
  });
});

/** The names of the files beside the state. */
async function besides(): Promise<readonly string[]> {
  const names = await readdir(dirname(file));
  return names.filter((name) => !/-(wal|shm)$/.test(name)).toSorted();
}

function query(sql: string): unknown {
  const database = new DatabaseSync(file, { readOnly: true });
  try {
    return database.prepare(sql).all();
  } finally {
    database.close();
  }
}
