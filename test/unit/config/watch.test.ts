import { execFile } from 'node:child_process';
import {
  appendFile,
  copyFile,
  link,
  mkdir,
  mkdtemp,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as immediate, setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createWatcher } from '../../../src/config/watch.ts';
import type { Watcher } from '../../../src/config/watch.ts';
import type { Logger } from '../../../src/log.ts';

/** So rare that a test in which it matters runs into its timeout: what is seen, is seen through events. */
const neverMs = 3_600_000;

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent };

/** Files under watch, and what a reader sees who reads them again after each call of `onChange`. */
function observe(pollMs: number) {
  let waiting: (() => void)[] = [];
  const watcher: Watcher = createWatcher({
    onChange() {
      const woken = waiting;
      waiting = [];
      for (const wake of woken) wake();
    },
    log: silent,
    pollMs,
  });
  const changed = (): Promise<void> => new Promise((resolve) => waiting.push(resolve));
  return {
    watcher,
    changed,
    /** Starts to watch, and resolves when the watch stands. */
    async watch(...paths: string[]): Promise<void> {
      const standing = changed();
      watcher.watch(paths);
      await standing;
    },
    /** Does something to the files, and resolves when a read after `onChange` gives the text. */
    async shows(path: string, text: string, act: () => Promise<void>): Promise<void> {
      let next = changed();
      await act();
      for (;;) {
        await next;
        next = changed();
        if ((await readFile(path, 'utf8').catch(() => '')) === text) return;
      }
    },
  };
}

let folder = '';
let observed = observe(neverMs);

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'watch-')));
  observed = observe(neverMs);
});

afterEach(async () => {
  await observed.watcher.close();
  await rm(folder, { recursive: true, force: true });
});

type Save = (file: string, text: string) => Promise<void>;

const saves: Readonly<Record<string, Save>> = {
  'written in place': (file, text) => writeFile(file, text),
  'renamed over': async (file, text) => {
    await writeFile(`${file}.new`, text);
    await rename(`${file}.new`, file);
  },
  'the way vim does: the old one renamed away, a new one written': async (file, text) => {
    await rename(file, `${file}~`);
    await writeFile(file, text);
    await rm(`${file}~`);
  },
  'deleted and created again': async (file, text) => {
    await rm(file);
    await writeFile(file, text);
  },
  'in slow pieces': async (file, text) => {
    await writeFile(file, '');
    for (const letter of text) {
      await appendFile(file, letter);
      await sleep(5);
    }
  },
  'one half, then the whole': async (file, text) => {
    await writeFile(file, text.slice(0, text.length / 2));
    await sleep(60);
    await writeFile(file, text);
  },
  'with the same size and time as before': async (file, text) => {
    const { atime, mtime } = await stat(file);
    await writeFile(file, text);
    await utimes(file, atime, mtime);
  },
  'with a time long ago': async (file, text) => {
    await writeFile(`${file}.new`, text);
    await utimes(`${file}.new`, 1, 1);
    await rename(`${file}.new`, file);
  },
  'by a hard link put in its place': async (file, text) => {
    await writeFile(`${file}.new`, text);
    await rm(file);
    await link(`${file}.new`, file);
    await rm(`${file}.new`);
  },
  'by sed -i': async (file, text) => {
    await promisify(execFile)('sed', ['-i', `s/.*/${text}/`, file]);
  },
  'by cp': async (file, text) => {
    await writeFile(`${file}.new`, text);
    await copyFile(`${file}.new`, file);
  },
  'twice, 3 ms apart': async (file, text) => {
    await writeFile(file, 'between');
    await sleep(3);
    await writeFile(file, text);
  },
  'with its folder moved away and another one put there': async (file, text) => {
    await mkdir(join(folder, 'next'));
    await writeFile(join(folder, 'next', 'gateway.yaml'), text);
    await rename(join(file, '..'), join(folder, 'previous'));
    await rename(join(folder, 'next'), join(file, '..'));
    await rm(join(folder, 'previous'), { recursive: true });
  },
  'with its folder deleted and made again': async (file, text) => {
    await rm(join(file, '..'), { recursive: true });
    await mkdir(join(file, '..'));
    await writeFile(file, text);
  },
};

describe('a watched file is seen when it is saved', () => {
  it.each(Object.entries(saves))('%s', async (_name, save) => {
    const file = join(folder, 'config', 'gateway.yaml');
    await mkdir(join(folder, 'config'));
    await writeFile(file, 'text 0');
    await observed.watch(file);
    for (const text of ['text 1', 'text 2', 'text 3', 'text 4', 'text 5']) {
      await observed.shows(file, text, () => save(file, text));
    }
  });
});

describe('a file behind links', () => {
  /** A volume as the kubelet lays it out, with the version's folder under its own name. */
  async function publish(volume: string, version: number): Promise<void> {
    await mkdir(join(volume, `..version_${version}`));
    await writeFile(join(volume, `..version_${version}`, 'gateway.yaml'), `text ${version}`);
    await symlink(`..version_${version}`, join(volume, '..data_tmp'));
    await rename(join(volume, '..data_tmp'), join(volume, '..data'));
  }

  it.each([
    ['kept', false],
    ['removed', true],
  ])('is seen when ..data is swapped and the old folder %s', async (_name, removeOld) => {
    const file = join(folder, 'gateway.yaml');
    await publish(folder, 0);
    await symlink(join('..data', 'gateway.yaml'), file);
    await observed.watch(file);
    for (let version = 1; version <= 5; version += 1) {
      await observed.shows(file, `text ${version}`, async () => {
        await publish(folder, version);
        if (removeOld) await rm(join(folder, `..version_${version - 1}`), { recursive: true });
      });
    }
  });

  it('is seen when a link to its folder moves on, and when it is then saved in the new folder', async () => {
    const release = (number: number): string => join(folder, 'releases', String(number), 'gateway.yaml');
    const file = join(folder, 'current', 'gateway.yaml');
    for (let number = 0; number <= 3; number += 1) {
      await mkdir(join(release(number), '..'), { recursive: true });
      await writeFile(release(number), `release ${number}`);
    }
    await symlink(join('releases', '0'), join(folder, 'current'));
    await observed.watch(file);
    for (let number = 1; number <= 3; number += 1) {
      await observed.shows(file, `release ${number}`, async () => {
        await symlink(join(folder, 'releases', String(number)), join(folder, 'next'));
        await rename(join(folder, 'next'), join(folder, 'current'));
      });
      await observed.shows(file, `edited ${number}`, () => writeFile(release(number), `edited ${number}`));
    }
  });

  it('survives links that lead in a circle, and sees the circle opened', async () => {
    const file = join(folder, 'gateway.yaml');
    await symlink('other.yaml', file);
    await symlink('gateway.yaml', join(folder, 'other.yaml'));
    await observed.watch(file);
    await observed.shows(file, 'text', async () => {
      await rm(join(folder, 'other.yaml'));
      await writeFile(join(folder, 'other.yaml'), 'text');
    });
  });
});

describe('a missing file', () => {
  it('is seen when it appears, its folders with it', async () => {
    const file = join(folder, 'run', 'secrets', 'key');
    await observed.watch(file);
    await observed.shows(file, 'secret', async () => {
      await mkdir(join(folder, 'run', 'secrets'), { recursive: true });
      await writeFile(file, 'secret');
    });
    await observed.shows(file, 'rotated', () => writeFile(file, 'rotated'));
  });
});

describe('without events', () => {
  it('the poll sees a save through another hard link', async () => {
    await observed.watcher.close();
    observed = observe(10);
    const file = join(folder, 'gateway.yaml');
    const elsewhere = join(folder, 'elsewhere', 'gateway.yaml');
    await writeFile(file, 'text 0');
    await mkdir(join(elsewhere, '..'));
    await link(file, elsewhere);
    await observed.watch(file);
    for (const text of ['text 1', 'text 2']) await observed.shows(file, text, () => writeFile(elsewhere, text));
  });
});

describe('the set of files', () => {
  it('can grow within a folder that is watched already', async () => {
    const file = join(folder, 'gateway.yaml');
    const key = join(folder, 'key');
    await writeFile(file, 'text');
    await observed.watch(file);
    observed.watcher.watch([file, key]);
    await observed.shows(key, 'secret', async () => {
      await writeFile(key, 'secret');
      await writeFile(file, 'text with a key');
    });
  });

  it('can be set a thousand times without leaking watches', async () => {
    const watches = () => process.getActiveResourcesInfo().filter((name) => name === 'FSEventWrap').length;
    const before = watches();
    for (let folderNumber = 0; folderNumber < 4; folderNumber += 1) {
      await mkdir(join(folder, String(folderNumber)));
      await writeFile(join(folder, String(folderNumber), 'file'), 'text');
    }
    for (let round = 0; round < 1000; round += 1) {
      const file = join(folder, String(round % 4), 'file');
      if (round % 10 < 9) observed.watcher.watch([file]);
      else await observed.watch(file);
    }
    // A closed watch leaves the list only after a turn of the event loop; the test's timeout is the verdict.
    while (watches() > before + 1) await immediate();
    await observed.watcher.close();
    while (watches() > before) await immediate();
  });
});

describe('a closed watcher', () => {
  it('says nothing any more', async () => {
    const file = join(folder, 'gateway.yaml');
    await writeFile(file, 'text');
    await observed.watch(file);
    let calls = 0;
    void observed.changed().then(() => (calls += 1));
    const closing = observed.watcher.close();
    await writeFile(file, 'changed');
    await closing;
    observed.watcher.watch([file]);
    // A second watcher on the same file gets the event, so the first one would have had it too.
    const other = observe(neverMs);
    await other.watch(file);
    await other.shows(file, 'changed again', () => writeFile(file, 'changed again'));
    await other.watcher.close();
    expect(calls).toBe(0);
  });
});
