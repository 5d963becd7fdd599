import { mkdir, mkdtemp, readdir, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { fileBlobStore } from '../../src/blobs/file.ts';
import { blobStores } from '../../src/blobs/index.ts';
import { bytesSource, collect } from '../../src/body/byte-source.ts';
import { blobStoreContract } from './blob-store-contract.ts';

let root: string;
let folders = 0;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'pinhole-blobs-'));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const newFolder = (): string => join(root, String((folders += 1)));

blobStoreContract('file', () => fileBlobStore.open(newFolder()));

describe('the list of blob stores', () => {
  it('has one store for each scheme', () => {
    expect(blobStores.map(({ scheme }) => scheme)).toEqual(['file']);
  });
});

describe('file blob store', () => {
  const bytes = new Uint8Array(100_000).fill(7);

  it('creates its folder when the first picture comes, not before', async () => {
    const folder = join(newFolder(), 'deep', 'inside');
    const store = await fileBlobStore.open(folder);
    await expect(stat(folder)).rejects.toThrow('ENOENT');
    expect(await store.open(`${'A'.repeat(32)}.png`)).toBeUndefined();

    const file = await store.put(bytesSource(bytes), 'image/png');
    expect(await filesIn(folder)).toEqual([join(file.slice(0, 2), file)]);
  });

  it('finds its pictures again after a restart', async () => {
    const folder = newFolder();
    const first = await fileBlobStore.open(folder);
    const file = await first.put(bytesSource(bytes), 'image/png');
    await first.close();
    expect(await contentOf(await fileBlobStore.open(folder), file)).toEqual(Buffer.from(bytes));
  });

  it('shows nothing of a picture that is not yet complete', async () => {
    const folder = newFolder();
    const store = await fileBlobStore.open(folder);
    const { promise: gate, resolve: release } = Promise.withResolvers<void>();
    const { promise: half, resolve: atHalf } = Promise.withResolvers<void>();
    const putting = store.put(
      (async function* () {
        yield bytes;
        atHalf();
        await gate;
        yield bytes;
      })(),
      'image/png',
    );
    await half;
    const [partial = ''] = await filesIn(folder);
    expect(await store.open(partial.slice(3))).toBeUndefined();
    expect(await store.open(partial.slice(3).replace('.partial', ''))).toBeUndefined();

    release();
    expect((await contentOf(store, await putting)).byteLength).toBe(2 * bytes.byteLength);
  });

  it('leaves nothing behind when the bytes break off', async () => {
    const folder = newFolder();
    const store = await fileBlobStore.open(folder);
    const brokenOff = (async function* () {
      yield bytes;
      throw new Error('broken off');
    })();
    await expect(store.put(brokenOff, 'image/png')).rejects.toThrow('broken off');
    expect(await filesIn(folder)).toEqual([]);
  });

  it('says that it is overloaded when the disk refuses, and lets go of the bytes', async () => {
    const folder = newFolder();
    await writeFile(folder, 'a file where the folder should be');
    const store = await fileBlobStore.open(folder);
    await expect(store.put(bytesSource(bytes), 'image/png')).rejects.toMatchObject({
      code: 'overloaded',
      message: 'The picture cannot be stored right now.',
    });
    expect(await store.open(`${'A'.repeat(32)}.png`)).toBeUndefined();
  });

  it('serves regular files only, and follows no link', async () => {
    const folder = newFolder();
    const store = await fileBlobStore.open(folder);
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
    const store = await fileBlobStore.open(folder);
    const file = await store.put(bytesSource(bytes), 'image/png');
    const blob = await store.open(file);
    if (blob === undefined) throw new Error('not there');
    await truncate(join(folder, file.slice(0, 2), file), 10);
    await expect(collect(blob.read())).rejects.toMatchObject({ code: 'overloaded' });
    await blob.close();
  });

  async function contentOf(store: BlobStore, file: string): Promise<Uint8Array> {
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
