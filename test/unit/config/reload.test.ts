import { mkdtemp, readFile, realpath, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { describeConfig } from '../../../src/config/describe.ts';
import { createReloader } from '../../../src/config/reload.ts';
import type { LoadOutcome, ReloadStatus } from '../../../src/config/reload.ts';
import { createWatcher } from '../../../src/config/watch.ts';
import { buildOnLease, createResources } from '../../../src/runtime/resources.ts';
import { createSnapshotHolder } from '../../../src/runtime/snapshot.ts';
import { recordingLog } from '../runtime/recording-log.ts';

const clock = { now: () => 0, monotonic: () => 0 };

const files = ['/gateway.yaml'];

interface Config {
  readonly text: string;
  retire(): void;
}

/**
 * A gateway in small. Its file is a word: one with `bad` in it is invalid, `crash` makes the load throw, one with `stuck` can't be activated.
 * Every configuration uses one shared value for all and one of its own.
 */
function smallGateway() {
  const log = recordingLog();
  const resources = createResources(log);
  const snapshots = createSnapshotHolder<Config>(log);
  const disposed: string[] = [];
  const watched: (readonly string[])[] = [];
  const loads: string[] = [];
  let text = 'first';
  let gate: Promise<void> = Promise.resolve();

  async function load(inForce: string | undefined): Promise<LoadOutcome> {
    const word = text;
    loads.push(word);
    await gate;
    if (word.includes('crash')) throw new Error('the disk is gone');
    if (word === inForce) return { kind: 'unchanged', digest: word, files };
    if (word.includes('bad')) {
      const problems = [{ file: 'gateway.yaml', line: 3, column: 5, pointer: '/a', message: `unknown key ${word}` }];
      return { kind: 'invalid', digest: word, files: [...files, '/also-read'], problems };
    }
    const built = await buildOnLease(resources, (lease) => {
      for (const key of ['shared', word])
        lease.use(
          key,
          () => key,
          (value) => void disposed.push(value),
        );
      if (word.includes('half')) throw new Error('half-built');
      return { text: word, retire: () => lease.release() };
    });
    return {
      kind: 'loaded',
      digest: word,
      files,
      description: describeConfig({ name: word }, []),
      activate() {
        if (word.includes('stuck')) throw new Error('address in use');
        snapshots.swap(built);
      },
      discard: () => built.retire(),
    };
  }

  const reloader = createReloader({ load, watch: (found) => watched.push(found), log, clock });
  return {
    log,
    resources,
    snapshots,
    disposed,
    watched,
    loads,
    reloader,
    write: (next: string): void => {
      text = next;
    },
    /** Keeps loads from ending until the returned function is called. */
    hold: (): (() => void) => {
      const { promise, resolve } = Promise.withResolvers<void>();
      gate = promise;
      return resolve;
    },
    reload: (next: string) => {
      text = next;
      return reloader.request('watch');
    },
  };
}

describe('a reload', () => {
  it('puts the first configuration in force', async () => {
    const { reloader, snapshots } = smallGateway();
    expect(reloader.status()).toEqual({ ok: false, revision: 0, digest: null, loaded_at: null, last_error: null });
    expect(await reloader.request('start')).toEqual({ kind: 'applied', revision: 1, diff: [] });
    expect(snapshots.current().text).toBe('first');
    expect(reloader.status()).toMatchObject({ ok: true, revision: 1, digest: 'first', last_error: null });
  });

  it('does nothing when nothing changed', async () => {
    const { reloader, log } = smallGateway();
    await reloader.request('start');
    const lines = log.lines.length;
    expect(await reloader.request('api')).toEqual({ kind: 'unchanged', revision: 1 });
    expect(reloader.history()).toHaveLength(1);
    expect(log.lines).toHaveLength(lines);
  });

  it('tells in log and history what changed', async () => {
    const { reloader, reload, log } = smallGateway();
    await reloader.request('start');
    const diff = ['~ name: first → second'];
    expect(await reload('second')).toEqual({ kind: 'applied', revision: 2, diff });
    expect(reloader.history()[0]).toEqual({
      at: '1970-01-01T00:00:00.000Z',
      ok: true,
      trigger: 'watch',
      duration_ms: 0,
      digest: 'second',
      revision: 2,
      diff,
    });
    expect(log.lines.at(-1)).toMatchObject({ level: 'info', fields: { revision: 2, diff } });
  });

  it('leaves what is shared alone and disposes what is not used any more', async () => {
    const { reloader, reload, snapshots, disposed, resources } = smallGateway();
    await reloader.request('start');
    const lease = snapshots.acquire();
    await reload('second');
    expect([lease.value.text, disposed]).toEqual(['first', []]);
    lease.release();
    expect([disposed, resources.size()]).toEqual([['first'], 2]);
  });
});

describe('a refused configuration', () => {
  it('changes nothing, and is reported with its place', async () => {
    const { reloader, reload, snapshots, log, watched } = smallGateway();
    await reloader.request('start');
    const result = await reload('bad');
    expect(result).toMatchObject({ kind: 'refused', problems: [{ line: 3, column: 5 }] });
    expect(snapshots.current().text).toBe('first');
    expect(reloader.status()).toMatchObject({
      ok: false,
      revision: 1,
      digest: 'first',
      last_error: { problems: [{ message: 'unknown key bad' }] },
    });
    expect(log.lines.at(-1)).toMatchObject({
      level: 'error',
      fields: { problems: ['gateway.yaml:3:5 unknown key bad'] },
    });
    expect(watched.at(-1)).toEqual(['/gateway.yaml', '/also-read']);
  });

  it('is reported once, however often it is seen', async () => {
    const { reloader, reload, log } = smallGateway();
    await reloader.request('start');
    await reload('bad');
    expect(await reload('bad')).toMatchObject({ kind: 'refused', problems: [{ line: 3 }] });
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(1);
    expect(reloader.history()).toHaveLength(2);
  });

  it('is forgotten when a good one follows', async () => {
    const { reloader, reload, snapshots } = smallGateway();
    await reloader.request('start');
    await reload('bad');
    expect(await reload('second')).toMatchObject({ kind: 'applied', revision: 2 });
    expect(reloader.status()).toMatchObject({ ok: true, last_error: null });
    expect(snapshots.current().text).toBe('second');
  });

  it('is forgotten when the files are again as they were', async () => {
    const { reloader, reload, log } = smallGateway();
    await reloader.request('start');
    await reload('bad');
    expect(await reload('first')).toEqual({ kind: 'unchanged', revision: 1 });
    expect(reloader.status()).toMatchObject({ ok: true, revision: 1, last_error: null });
    await reload('bad');
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(2);
  });

  it('in turn with good ones never goes into force', async () => {
    const { reload, snapshots, reloader } = smallGateway();
    await reloader.request('start');
    for (let round = 0; round < 60; round += 1) {
      await reload(`bad ${round}`);
      await reload(`good ${round}`);
      expect(snapshots.current().text).toBe(`good ${round}`);
    }
    expect(reloader.status()).toMatchObject({ ok: true, revision: 61 });
    expect(reloader.history()).toHaveLength(50);
  });
});

describe('a failure', () => {
  it('of the load is an outcome, and the last good configuration stays', async () => {
    const { reloader, reload, snapshots, watched } = smallGateway();
    await reloader.request('start');
    const before = watched.length;
    expect(await reload('crash')).toEqual({ kind: 'refused', problems: [{ message: 'the disk is gone' }] });
    expect(snapshots.current().text).toBe('first');
    expect(watched).toHaveLength(before);
    expect(await reload('second')).toMatchObject({ kind: 'applied' });
  });

  it('of the build gives back what was half-built', async () => {
    const { reloader, reload, disposed, resources } = smallGateway();
    await reloader.request('start');
    expect(await reload('half')).toMatchObject({ kind: 'refused', problems: [{ message: 'half-built' }] });
    expect([disposed, resources.size()]).toEqual([['half'], 2]);
  });

  it('of the activation discards what was built, and the same files can be tried again', async () => {
    const { reloader, reload, disposed, resources, snapshots, loads } = smallGateway();
    await reloader.request('start');
    for (let round = 0; round < 2; round += 1) {
      expect(await reload('stuck')).toMatchObject({ kind: 'refused', problems: [{ message: 'address in use' }] });
    }
    expect(loads).toEqual(['first', 'stuck', 'stuck']);
    expect([disposed, resources.size()]).toEqual([['stuck', 'stuck'], 2]);
    expect(snapshots.current().text).toBe('first');
    expect(reloader.history()).toHaveLength(2);
  });

  it('of a listener keeps nobody else from hearing', async () => {
    const { reloader, log } = smallGateway();
    const heard: ReloadStatus[] = [];
    reloader.onChange(() => {
      throw new Error('deaf');
    });
    const stop = reloader.onChange((status) => heard.push(status));
    await reloader.request('start');
    expect(heard).toEqual([reloader.status()]);
    expect(log.lines.at(-1)).toMatchObject({ level: 'error', fields: { error: new Error('deaf') } });
    stop();
  });
});

describe('requests while a load runs', () => {
  it('share one further load, which sees what was there when they came', async () => {
    const { reloader, write, hold, loads } = smallGateway();
    const release = hold();
    const first = reloader.request('start');
    write('second');
    const burst = Array.from({ length: 20 }, () => reloader.request('watch'));
    write('third');
    const last = reloader.request('api');
    release();
    expect(await first).toMatchObject({ kind: 'applied', revision: 1 });
    for (const result of await Promise.all(burst)) expect(result).toMatchObject({ kind: 'applied', revision: 2 });
    expect(await last).toMatchObject({ kind: 'applied', revision: 2 });
    expect(loads).toEqual(['first', 'third']);
    expect(reloader.history().map(({ trigger }) => trigger)).toEqual(['api', 'start']);
  });

  it('are refused once the reloader is closed, and what was being built is discarded', async () => {
    const { reloader, hold, disposed, resources, snapshots } = smallGateway();
    const release = hold();
    const first = reloader.request('start');
    const second = reloader.request('watch');
    const closed = reloader.close();
    release();
    await closed;
    for (const result of [await first, await second, await reloader.request('api')]) {
      expect(result).toMatchObject({ kind: 'refused', problems: [{ message: 'The gateway is stopping.' }] });
    }
    expect([disposed, resources.size()]).toEqual([['first', 'shared'], 0]);
    expect(() => snapshots.current()).toThrow();
  });
});

describe('together with a watcher', () => {
  let folder = '';
  const closers: (() => Promise<void>)[] = [];

  afterEach(async () => {
    for (const close of closers.splice(0)) await close();
    await rm(folder, { recursive: true, force: true });
  });

  it('every save comes into force, while a touch or the same bytes again change nothing', async () => {
    folder = await realpath(await mkdtemp(join(tmpdir(), 'reload-')));
    const file = join(folder, 'gateway.yaml');
    await writeFile(file, 'text 0');
    const log = recordingLog();
    let loaded = Promise.withResolvers<void>();
    const watcher = createWatcher({ onChange: () => void reloader.request('watch'), log, pollMs: 3_600_000 });
    const reloader = createReloader({
      async load(inForce): Promise<LoadOutcome> {
        const digest = await readFile(file, 'utf8').catch(() => '');
        loaded.resolve();
        loaded = Promise.withResolvers<void>();
        if (digest === inForce) return { kind: 'unchanged', digest, files: [file] };
        return { kind: 'loaded', digest, files: [file], description: {}, activate() {}, discard() {} };
      },
      watch: (paths) => watcher.watch(paths),
      log,
      clock,
    });
    closers.push(
      () => watcher.close(),
      () => reloader.close(),
    );
    const save = async (text: string): Promise<void> => {
      await writeFile(`${file}.new`, text);
      await rename(`${file}.new`, file);
    };
    const nextLoad = (): Promise<void> => loaded.promise;
    const inForce = (text: string): Promise<void> =>
      new Promise((resolve) => reloader.onChange(({ digest }) => (digest === text ? resolve() : undefined)));

    await reloader.request('start');
    // Comes by itself when the watch stands.
    await nextLoad();
    for (const act of [() => utimes(file, new Date(), new Date()), () => save('text 0')]) {
      const seen = nextLoad();
      await act();
      await seen;
    }
    expect(await reloader.request('api')).toEqual({ kind: 'unchanged', revision: 1 });
    expect(reloader.history()).toHaveLength(1);

    for (const text of ['text 1', 'text 2', 'text 3']) {
      const done = inForce(text);
      await save(text);
      await done;
    }
    expect(reloader.status()).toMatchObject({ ok: true, revision: 4 });
  });
});
