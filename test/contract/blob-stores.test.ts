import { mkdir, mkdtemp, readdir, rm, stat, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BlobContent, BlobStore } from '../../src/blobs/blob-store.ts';
import { fileBlobStore } from '../../src/blobs/file.ts';
import { blobStores } from '../../src/blobs/index.ts';
import { collect } from '../../src/body/byte-source.ts';
import { advancingClock, blobSettings, contentOf } from '../fixtures/blobs.ts';
import { blobPartContract, blobStoreContract } from './blob-store-contract.ts';

let root: string;
let folders = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pinhole-blobs-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const newFolder = (): string => join(root, String((folders += 1)));

blobStoreContract('file', (settings) => fileBlobStore.open(newFolder(), settings));

const sharedFolder = 'of both';
blobPartContract('file', (settings) => fileBlobStore.open(join(root, sharedFolder), settings));

const openFolder = (folder: string, settings = blobSettings()): Promise<BlobStore> =>
  fileBlobStore.open(folder, settings);

describe('the list of blob stores', () => {
  it('has one store for each scheme', () => {
    expect(blobStores.map(({ scheme }) => scheme)).toEqual(['file', 's3']);
  });
});

describe('file blob store', () => {
  const bytes = new Uint8Array(100_000).fill(7);

  it('creates its folder when the first picture comes, not before', async () => {
    const folder = join(newFolder(), 'deep', 'inside');
    const store = await openFolder(folder);
    await expect(stat(folder)).rejects.toThrow('ENOENT');
    expect(await store.open(`${'A'.repeat(32)}.png`)).toBeUndefined();

    const file = await store.put(contentOf(bytes), 'image/png');
    expect(await filesIn(folder)).toEqual([join(file.slice(0, 2), file)]);
  });

  it('finds its pictures again after a restart', async () => {
    const folder = newFolder();
    const first = await openFolder(folder);
    const file = await first.put(contentOf(bytes), 'image/png');
    await first.close();
    expect(await keptIn(await openFolder(folder), file)).toEqual(Buffer.from(bytes));
  });

  it('shows nothing of a picture that is not yet complete', async () => {
    const folder = newFolder();
    const store = await openFolder(folder);
    const { promise: gate, resolve: release } = Promise.withResolvers<void>();
    const { promise: half, resolve: atHalf } = Promise.withResolvers<void>();
    const content: BlobContent = {
      byteLength: 3 * bytes.byteLength,
      async *read() {
        yield bytes;
        yield bytes;
        atHalf();
        await gate;
        yield bytes;
      },
    };
    const putting = store.put(content, 'image/png');
    await half;
    const [partial = ''] = (await filesIn(folder)).map((file) => basename(file));
    expect(partial).toMatch(/\.partial$/);
    expect(await store.open(partial)).toBeUndefined();
    expect(await store.open(partial.replace('.partial', ''))).toBeUndefined();
    expect(await store.list({ limit: 10 })).toEqual([]);

    release();
    expect((await keptIn(store, await putting)).byteLength).toBe(3 * bytes.byteLength);
  });

  it('leaves nothing behind when the bytes break off', async () => {
    const folder = newFolder();
    const store = await openFolder(folder);
    const brokenOff: BlobContent = {
      byteLength: 3 * bytes.byteLength,
      async *read() {
        yield bytes;
        yield bytes;
        throw new Error('broken off');
      },
    };
    await expect(store.put(brokenOff, 'image/png')).rejects.toThrow('broken off');
    expect(await filesIn(folder)).toEqual([]);
  });

  it('says that it is overloaded when the disk refuses, and lets go of the bytes', async () => {
    const folder = newFolder();
    await writeFile(folder, 'a file where the folder should be');
    const store = await openFolder(folder);
    await expect(store.put(contentOf(bytes), 'image/png')).rejects.toMatchObject({
      code: 'overloaded',
      message: 'The picture cannot be stored right now.',
    });
    expect(await store.open(`${'A'.repeat(32)}.png`)).toBeUndefined();
  });

  it('serves regular files only, and follows no link', async () => {
    const folder = newFolder();
    const store = await openFolder(folder);
    const [link, directory] = [`${'L'.repeat(32)}.png`, `${'D'.repeat(32)}.png`];
    await mkdir(join(folder, 'LL'), { recursive: true });
    await writeFile(join(folder, 'secret'), 'secret');
    await symlink(join(folder, 'secret'), join(folder, 'LL', link));
    await mkdir(join(folder, 'DD', directory), { recursive: true });
    expect(await store.open(link)).toBeUndefined();
    expect(await store.open(directory)).toBeUndefined();
  });

  it('fails rather than pass a cut file off as the picture', async () => {
    const folder = newFolder();
    const store = await openFolder(folder);
    const file = await store.put(contentOf(bytes), 'image/png');
    const blob = await store.open(file);
    if (blob === undefined) throw new Error('not there');
    await truncate(join(folder, file.slice(0, 2), file), 10);
    await expect(collect(blob.read())).rejects.toMatchObject({ code: 'overloaded' });
    await blob.close();
  });

  it('sweeps away what was never completed, an hour later', async () => {
    const folder = newFolder();
    const clock = advancingClock();
    const store = await openFolder(folder, blobSettings({ clock }));
    const incoming = join(folder, 'incoming');
    await mkdir(incoming, { recursive: true });
    const [old, young, other] = ['old.png.partial', 'young.png.partial', 'notes.txt'].map((name) =>
      join(incoming, name),
    );
    for (const file of [old, young, other]) await writeFile(file ?? '', bytes);
    const anHourAgo = (Date.now() - 3_600_001) / 1000;
    await utimes(old ?? '', anHourAgo, anHourAgo);

    const bounds = { limit: 10, signal: new AbortController().signal };
    expect(await store.sweep(bounds)).toEqual({ removed: 1, more: false });
    expect(await filesIn(folder)).toEqual(['incoming/notes.txt', 'incoming/young.png.partial']);
    clock.advance(3_600_001);
    expect(await store.sweep(bounds)).toEqual({ removed: 1, more: false });
    expect(await filesIn(folder)).toEqual(['incoming/notes.txt']);
  });

  it('leaves no empty folders behind what has expired', async () => {
    const folder = newFolder();
    const clock = advancingClock();
    const store = await openFolder(folder, blobSettings({ clock }));
    for (const seconds of [1, 3_600, 86_400]) {
      await store.put(contentOf(bytes), 'image/png', { expiresAtMs: clock.now() + seconds * 1_000 });
    }
    const foldersLeft = async () =>
      (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isDirectory()).length;
    const before = await foldersLeft();
    // Two days: the time of the last folder is over as well.
    clock.advance(2 * 86_400_000);
    expect(await store.sweep({ limit: 10, signal: new AbortController().signal })).toEqual({ removed: 3, more: false });
    // `incoming` and `expiring`.
    expect([before > 3, await foldersLeft(), await readdir(join(folder, 'expiring'))]).toEqual([true, 2, []]);
  });

  it('lists pictures only, whatever else lies in the folder', async () => {
    const folder = newFolder();
    const store = await openFolder(folder);
    const file = await store.put(contentOf(bytes), 'image/png');
    await writeFile(join(folder, file.slice(0, 2), '.DS_Store'), '');
    await writeFile(join(folder, file.slice(0, 2), `${file}.bak`), '');
    await mkdir(join(folder, 'xx', `${'x'.repeat(32)}.png`), { recursive: true });
    await symlink('/etc/hostname', join(folder, 'xx', `xx${'y'.repeat(30)}.png`));
    await writeFile(join(folder, 'ab'), 'a file with the name of a folder');
    expect((await store.list({ limit: 10 })).map(({ name }) => name)).toEqual([file]);
  });

  async function keptIn(store: BlobStore, file: string): Promise<Uint8Array> {
    const blob = await store.open(file);
    if (blob === undefined) throw new Error('not there');
    try {
      return Buffer.from(await collect(blob.read()));
    } finally {
      await blob.close();
    }
  }
});

/** Relative paths of all files below a folder. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => relative(folder, join(parentPath, name)));
}
