import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlobContent, BlobEntry, BlobStore, BlobStoreSettings, PutOptions } from '../../src/blobs/blob-store.ts';
import { collect } from '../../src/body/byte-source.ts';
import { advancingClock, blobSettings, contentOf, type AdvancingClock } from '../fixtures/blobs.ts';

/** What a part of its own of a place must do. @param open the same place each time, or its part */
export function blobPartContract(name: string, open: (settings: BlobStoreSettings) => Promise<BlobStore>): void {
  it(`keeps what lies in the part of a ${name} blob store apart from all else`, async () => {
    const clock = advancingClock();
    const settings = blobSettings({ clock });
    const [whole, part] = [await open(settings), await open({ ...settings, part: 'answers' })];
    const expiresAtMs = clock.now() + 1000;
    const kept = await part.put(contentOf(Buffer.from('answer')), 'application/octet-stream', { expiresAtMs });
    const picture = await whole.put(contentOf(Buffer.from('picture')), 'image/png', { expiresAtMs });
    expect(await whole.open(kept)).toBeUndefined();
    expect(await part.open(picture)).toBeUndefined();
    expect((await whole.list({ limit: 10 })).map((entry) => entry.name)).toEqual([picture]);
    clock.advance(2000);
    const bounds = { limit: 10, signal: new AbortController().signal };
    expect(await whole.sweep(bounds)).toEqual({ removed: 1, more: false });
    expect(await part.sweep(bounds)).toEqual({ removed: 1, more: false });
    await Promise.all([whole.close(), part.close()]);
  });
}

/**
 * What every place for hosted pictures must do.
 * @param open an empty store
 */
export function blobStoreContract(name: string, open: (settings: BlobStoreSettings) => Promise<BlobStore>): void {
  describe(`${name} blob store`, () => {
    let store: BlobStore;
    let clock: AdvancingClock;

    beforeEach(async () => {
      clock = advancingClock();
      store = await open(blobSettings({ clock }));
    });
    afterEach(() => store.close());

    const put = (bytes: Uint8Array, mediaType = 'image/png', options: PutOptions = {}): Promise<string> =>
      store.put(contentOf(bytes), mediaType, options);

    /** Puts a picture that expires so many milliseconds from now. */
    const putFor = (milliseconds: number, more: PutOptions = {}): Promise<string> =>
      put(picture, 'image/png', { expiresAtMs: clock.now() + milliseconds, ...more });

    /** What is kept under a name, or the asked part of it. */
    async function read(file: string, range?: { start: number; end: number }): Promise<Uint8Array | undefined> {
      const blob = await store.open(file);
      if (blob === undefined) return undefined;
      try {
        return Buffer.from(await collect(blob.read(range)));
      } finally {
        await blob.close();
      }
    }

    describe('put', () => {
      it('keeps exactly the bytes that came, in whatever pieces', async () => {
        await fc.assert(
          fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 5_000 }), { maxLength: 8 }), async (pieces) => {
            const file = await store.put(contentOf(...pieces), 'image/webp');
            expect(await read(file)).toEqual(Buffer.concat(pieces));
          }),
          { numRuns: 25 },
        );
      });

      it('gives the same picture another name each time', async () => {
        const files = await Promise.all(Array.from({ length: 50 }, () => put(picture)));
        expect(new Set(files).size).toBe(50);
      });

      it('gives names that nobody can guess and that are safe in a URL', async () => {
        expect(await put(picture)).toMatch(/^[A-Za-z0-9_-]{32,}\.png$/);
      });

      it.each([
        ['image/png', '.png'],
        ['image/jpeg', '.jpg'],
        ['image/webp', '.webp'],
        ['image/gif', '.gif'],
        ['image/avif', '.avif'],
        ['image/heic', '.heic'],
        ['image/bmp', '.bmp'],
        ['image/tiff', '.tiff'],
        ['image/svg+xml', '.svg'],
      ])('names %s files *%s, and knows their type again', async (mediaType, extension) => {
        const file = await put(picture, mediaType);
        expect(file.endsWith(extension)).toBe(true);
        expect(await typeOf(file)).toBe(mediaType);
      });

      it('keeps bytes of an unknown type as nothing but bytes', async () => {
        expect(await typeOf(await put(picture, 'text/html; charset=utf-8'))).toBe('application/octet-stream');
      });

      it('throws the error of the bytes that it was given, and keeps nothing of them', async () => {
        const failure = new Error('the provider hung up');
        await expect(store.put(failing(failure), 'image/png')).rejects.toBe(failure);
        expect(await listed()).toEqual([]);
      });

      it.each([picture.byteLength - 1, picture.byteLength + 1])(
        'keeps nothing of bytes that are not %i as announced',
        async (byteLength) => {
          const content = { byteLength, read: contentOf(picture.subarray(0, 4), picture.subarray(4)).read };
          await expect(store.put(content, 'image/png')).rejects.toThrow(/should have/);
          expect(await listed()).toEqual([]);
        },
      );

      it('breaks off with the reason of its signal', async () => {
        const reason = new Error('the client went away');
        const aborted = store.put(contentOf(picture), 'image/png', { signal: AbortSignal.abort(reason) });
        await expect(aborted).rejects.toBe(reason);
        const leaving = new AbortController();
        const content: BlobContent = {
          byteLength: 2 * picture.byteLength,
          async *read() {
            yield picture;
            leaving.abort(reason);
            yield picture;
          },
        };
        await expect(store.put(content, 'image/png', { signal: leaving.signal })).rejects.toBe(reason);
        expect(await listed()).toEqual([]);
      });

      it('gives what expires a name that nobody can guess either', async () => {
        const names = [await putFor(60_000), await putFor(60_000, { oneCall: true })];
        expect(names).toEqual([
          expect.stringMatching(/^[0-9a-z]{7}-[A-Za-z0-9_-]{32}\.png$/),
          expect.stringMatching(/^[0-9a-z]{7}-once-[A-Za-z0-9_-]{32}\.png$/),
        ]);
      });

      const typeOf = async (file: string): Promise<string | undefined> => {
        const blob = await store.open(file);
        await blob?.close();
        return blob?.mediaType;
      };
    });

    describe('open', () => {
      it('says how long a picture is, and since when it is there', async () => {
        const before = Date.now();
        const blob = await store.open(await put(picture));
        expect([blob?.byteLength, blob?.expiresAtMs, blob?.oneCall]).toEqual([picture.byteLength, undefined, false]);
        // Some file systems keep times by the second, some by the timer tick.
        expect(blob?.createdAtMs).toBeGreaterThan(before - 2_000);
        expect(blob?.createdAtMs).toBeLessThan(Date.now() + 2_000);
        await blob?.close();
      });

      it('gives each picture a strong validator of its own, which stays', async () => {
        const [one, other] = [await put(picture), await put(picture)];
        const etags = await Promise.all([one, one, other].map(etagOf));
        expect(etags[0]).toMatch(/^"[\x21\x23-\x7e]+"$/);
        expect(etags[1]).toBe(etags[0]);
        expect(etags[2]).not.toBe(etags[0]);
      });

      it('says until when a picture is there, in whole seconds, and whether it is for one call', async () => {
        const expiresAtMs = clock.now() + 60_000;
        for (const oneCall of [false, true]) {
          const blob = await store.open(await put(picture, 'image/png', { expiresAtMs, oneCall }));
          expect([blob?.expiresAtMs, blob?.oneCall]).toEqual([Math.ceil(expiresAtMs / 1000) * 1000, oneCall]);
          await blob?.close();
        }
      });

      it('knows a picture until it expires, and not from then on', async () => {
        const file = await putFor(60_000);
        clock.advance(59_000);
        expect(await read(file)).toEqual(picture);
        clock.advance(2_000);
        expect(await store.open(file)).toBeUndefined();
      });

      it('does not take another time for that in the name', async () => {
        const file = await putFor(60_000);
        expect(await store.open(file.replace(/^.{7}/, 'zzzzzzz'))).toBeUndefined();
        expect(await store.open(file.replace(/^.{8}/, ''))).toBeUndefined();
      });

      it('does not begin once its signal is aborted, and breaks off reading', async () => {
        const reason = new Error('the client went away');
        const leaving = new AbortController();
        const blob = await store.open(await put(picture), leaving.signal);
        if (blob === undefined) throw new Error('not there');
        leaving.abort(reason);
        await expect(collect(blob.read())).rejects.toBe(reason);
        await blob.close();
      });

      it('reads any range', async () => {
        const bytes = Buffer.from(Uint8Array.from({ length: 700_000 }, (_, index) => (index * 31) % 251));
        const file = await put(bytes);
        const offset = fc.integer({ min: 0, max: bytes.byteLength - 1 });
        await fc.assert(
          fc.asyncProperty(offset, offset, async (one, other) => {
            const [start, end] = [Math.min(one, other), Math.max(one, other)];
            expect(bytes.subarray(start, end + 1).equals((await read(file, { start, end })) ?? Buffer.of())).toBe(true);
          }),
          { numRuns: 25 },
        );
      });

      it('reads the same picture several times at once', async () => {
        const blob = await store.open(await put(picture));
        if (blob === undefined) throw new Error('not there');
        const copies = await Promise.all([collect(blob.read()), collect(blob.read({ start: 1, end: 3 }))]);
        expect(copies.map((copy) => Buffer.from(copy))).toEqual([picture, picture.subarray(1, 4)]);
        await blob.close();
      });

      it('may be closed more than once', async () => {
        const blob = await store.open(await put(picture));
        await blob?.close();
        await expect(blob?.close()).resolves.toBeUndefined();
      });

      it('knows no picture of a name that was never given', async () => {
        const file = await put(picture);
        expect(await store.open(`${'A'.repeat(32)}.png`)).toBeUndefined();
        expect(await store.open(file.replace('.png', '.webp'))).toBeUndefined();
        expect(await store.open(file.replace('.png', ''))).toBeUndefined();
      });

      it.each(hostileNames)('knows no picture of the name %j', async (file) => {
        expect(await store.open(file)).toBeUndefined();
      });

      it('knows no picture of any other name, and never fails at one', async () => {
        await put(picture);
        await fc.assert(
          fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 300 }), async (file) => {
            expect(await store.open(file)).toBeUndefined();
          }),
        );
      });

      it('gives nothing more of a picture that was closed', async () => {
        const blob = await store.open(await put(picture));
        if (blob === undefined) throw new Error('not there');
        await blob.close();
        await expect(collect(blob.read())).rejects.toThrow();
      });

      const etagOf = async (file: string): Promise<string | undefined> => {
        const blob = await store.open(file);
        await blob?.close();
        return blob?.etag;
      };
    });

    describe('remove', () => {
      it('forgets a picture, whether it stays or expires', async () => {
        const [one, other, kept] = [await put(picture), await putFor(60_000), await put(picture)];
        await store.remove(one);
        await store.remove(other);
        expect([await store.open(one), await store.open(other)]).toEqual([undefined, undefined]);
        expect(await read(kept)).toEqual(picture);
      });

      it('puts up with a picture that is gone already', async () => {
        const file = await put(picture);
        await store.remove(file);
        await store.remove(file);
      });

      it.each(hostileNames)('does nothing for the name %j', async (file) => {
        const kept = await put(picture);
        await store.remove(file);
        expect(await read(kept)).toEqual(picture);
      });
    });

    describe('list', () => {
      it('is empty at first', async () => {
        expect(await store.list({ limit: 10 })).toEqual([]);
      });

      it('tells of each picture what there is to tell', async () => {
        const expiresAtMs = Math.ceil(clock.now() / 1000) * 1000 + 60_000;
        const lasting = await put(picture, 'image/webp');
        const expiring = await put(Buffer.alloc(100_000), 'image/svg+xml', { expiresAtMs });
        const createdAtMs = expect.toSatisfy((time: number) => Math.abs(time - Date.now()) < 60_000);
        expect(await store.list({ limit: 10 })).toEqual([
          { name: expiring, mediaType: 'image/svg+xml', byteLength: 100_000, createdAtMs, expiresAtMs },
          { name: lasting, mediaType: 'image/webp', byteLength: 8, createdAtMs, expiresAtMs: undefined },
        ]);
      });

      it('goes page by page through what expires, by its time, and what stays, by its name', async () => {
        const lasting = await Promise.all(Array.from({ length: 12 }, () => put(picture)));
        const days = [40, 2, 0.01, 3, 0.5, 700, 2];
        const expiring: string[] = [];
        for (const day of days) expiring.push(await putFor(day * 86_400_000));
        const expected = [...expiring.toSorted(), ...lasting.toSorted()];
        for (const limit of [1, 2, 7, 8, 19, 20])
          expect((await listed(limit)).map(({ name }) => name)).toEqual(expected);
      });

      it('goes on after a picture that is gone meanwhile', async () => {
        const names = await Promise.all(Array.from({ length: 4 }, () => put(picture)));
        const [first = '', second = '', ...rest] = names.toSorted();
        await store.remove(first);
        await store.remove(second);
        expect((await store.list({ limit: 10, after: second })).map(({ name }) => name)).toEqual(rest);
      });

      it('leaves out what has expired', async () => {
        const [gone, there, lasting] = [await putFor(10_000), await putFor(60_000), await put(picture)];
        clock.advance(20_000);
        for (const after of [undefined, gone]) {
          expect((await store.list({ limit: 10, after })).map(({ name }) => name)).toEqual([there, lasting]);
        }
      });

      it.each(['', 'x', '../..', `${'A'.repeat(32)}.html`, '\0'])('does not take %j for a name', async (after) => {
        const refused = store.list({ limit: 10, after });
        await expect(refused).rejects.toMatchObject({ code: 'invalid_value', param: 'after', status: 400 });
      });
    });

    describe('sweep', () => {
      const bounds = { limit: 100, signal: new AbortController().signal };

      it('deletes what has expired, and nothing else', async () => {
        const lasting = await put(picture);
        const expired = [await putFor(1_000), await putFor(30_000, { oneCall: true })];
        const there = [await putFor(300_000), await putFor(86_400_000)];
        clock.advance(40_000);
        expect(await store.sweep(bounds)).toEqual({ removed: 2, more: false });
        // Even a clock that was wrong does not bring them back.
        clock.advance(-40_000);
        for (const file of expired) expect(await store.open(file)).toBeUndefined();
        for (const file of [lasting, ...there]) expect(await read(file)).toEqual(picture);
        expect(await store.sweep(bounds)).toEqual({ removed: 0, more: false });
      });

      it('deletes no more at once than it may, the longest expired first', async () => {
        const names: string[] = [];
        for (let second = 1; second <= 5; second += 1) names.push(await putFor(second * 1_000));
        const lasting = await put(picture);
        clock.advance(10_000);
        expect(await store.sweep({ ...bounds, limit: 3 })).toEqual({ removed: 3, more: true });
        clock.advance(-10_000);
        expect((await listed()).map(({ name }) => name)).toEqual([...names.slice(3), lasting]);
        clock.advance(10_000);
        expect(await store.sweep({ ...bounds, limit: 3 })).toEqual({ removed: 2, more: false });
      });

      it('has nothing to do in an empty store', async () => {
        expect(await store.sweep(bounds)).toEqual({ removed: 0, more: false });
      });

      it('ends with the reason of its signal', async () => {
        await putFor(1_000);
        clock.advance(10_000);
        const reason = new Error('the gateway stops');
        await expect(store.sweep({ limit: 10, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
      });
    });

    /** All entries, by pages. */
    async function listed(limit = 100): Promise<readonly BlobEntry[]> {
      const entries: BlobEntry[] = [];
      for (;;) {
        const after = entries.at(-1)?.name;
        const page = await store.list({ limit, after });
        expect(page.length).toBeLessThanOrEqual(limit);
        entries.push(...page);
        if (page.length < limit) return entries;
      }
    }
  });
}

const picture = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Names that lead elsewhere, or nowhere. */
const hostileNames = [
  '',
  '.',
  '..',
  '/',
  '../../etc/passwd',
  '..%2f..%2fetc',
  'a/b.png',
  'a\\b.png',
  'nul\0.png',
  '🙂.png',
  'expiring',
  'incoming/x.partial',
  `../${'A'.repeat(32)}.png`,
  `${'A'.repeat(32)}.png/`,
  `${'A'.repeat(32)}.png\n`,
  `${'A'.repeat(32)}.php`,
  `AA/${'A'.repeat(32)}.png`,
];

function failing(failure: Error): BlobContent {
  return {
    byteLength: 2 * picture.byteLength,
    async *read() {
      yield picture;
      throw failure;
    },
  };
}
