import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlobStore } from '../../src/blobs/blob-store.ts';
import { bytesSource, collect } from '../../src/body/byte-source.ts';

/**
 * What every place for hosted pictures must do.
 * @param open an empty store
 */
export function blobStoreContract(name: string, open: () => Promise<BlobStore>): void {
  describe(`${name} blob store`, () => {
    let store: BlobStore;

    beforeEach(async () => {
      store = await open();
    });
    afterEach(() => store.close());

    const put = (bytes: Uint8Array, mediaType = 'image/png'): Promise<string> =>
      store.put(bytesSource(bytes), mediaType);

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
            const file = await store.put(piecewise(pieces), 'image/webp');
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

      it('throws the error of the bytes that it was given', async () => {
        const failure = new Error('the provider hung up');
        await expect(store.put(failing(failure), 'image/png')).rejects.toBe(failure);
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
        expect(blob?.byteLength).toBe(picture.byteLength);
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

      it.each(['', '.', '..', '/', '../../etc/passwd', '..%2f..%2fetc', 'a/b.png', 'a\\b.png', 'nul\0.png', '🙂.png'])(
        'knows no picture of the name %j',
        async (file) => {
          expect(await store.open(file)).toBeUndefined();
        },
      );

      it('knows no picture of any other name, and never fails at one', async () => {
        await put(picture);
        await fc.assert(
          fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 300 }), async (file) => {
            expect(await store.open(file)).toBeUndefined();
          }),
        );
      });

      const etagOf = async (file: string): Promise<string | undefined> => {
        const blob = await store.open(file);
        await blob?.close();
        return blob?.etag;
      };
    });
  });
}

const picture = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

async function* piecewise(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces;
}

async function* failing(failure: Error): AsyncGenerator<Uint8Array> {
  yield picture;
  throw failure;
}
