import { open, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createSpool, type SpoolOptions } from '../../../src/body/spool.ts';
import type { FilePayload } from '../../../src/images/payload.ts';
import { cut, cuts, gather } from './pieces.ts';

let parent = '';
beforeEach(async () => {
  parent = await mkdtemp(join(tmpdir(), 'spool-test-'));
});
afterEach(() => rm(parent, { recursive: true, force: true }));

const tooLarge = new Error('too large');

function options(more: Partial<SpoolOptions> = {}): SpoolOptions {
  const directory = join(parent, 'not', 'there', 'yet');
  return { directory, memoryBytes: 1000, maxBytes: 10_000_000, overflow: () => tooLarge, ...more };
}

async function spooledFile(bytes: Uint8Array): Promise<FilePayload> {
  const spool = createSpool(options());
  await spool.write(bytes);
  const payload = await spool.finish();
  if (payload.kind !== 'file') throw new Error('expected a file');
  return payload;
}

/** A megabyte that is nowhere the same. */
const million = Buffer.from(Uint32Array.from({ length: 250_000 }, (_, index) => index * 2_654_435_761).buffer);

describe('createSpool', () => {
  it('keeps few bytes in memory and makes no file', async () => {
    const spool = createSpool(options());
    await spool.write(Buffer.alloc(600, 1));
    await spool.write(Buffer.alloc(400, 2));
    const payload = await spool.finish();
    expect(payload).toMatchObject({ kind: 'bytes', bytes: { byteLength: 1000 } });
    expect(await readdir(parent)).toEqual([]);
  });

  it('gives back what was written, in whatever pieces', async () => {
    await fc.assert(
      fc.asyncProperty(cuts, fc.integer({ min: 0, max: 700_000 }), async (positions, byteLength) => {
        const bytes = million.subarray(0, byteLength);
        const spool = createSpool(options());
        for (const piece of cut(bytes, positions)) await spool.write(piece);
        const payload = await spool.finish();
        expect(payload.kind).toBe(byteLength > 1000 ? 'file' : 'bytes');
        const back = payload.kind === 'file' ? await gather(payload.file.read()) : Buffer.from(payload.bytes);
        expect(back.equals(bytes)).toBe(true);
        await spool.discard();
      }),
      { numRuns: 50 },
    );
  });

  it('keeps single bytes without an object for each', async () => {
    const spool = createSpool(options({ memoryBytes: 50_000 }));
    for (let at = 0; at < 60_000; at += 1) await spool.write(million.subarray(at, at + 1));
    const payload = await spool.finish();
    if (payload.kind !== 'file') throw new Error('expected a file');
    expect((await gather(payload.file.read())).equals(million.subarray(0, 60_000))).toBe(true);
    await payload.file.close();
  });

  it('leaves no name in the directory, not even while the file is open', async () => {
    const spool = createSpool(options());
    await spool.write(Buffer.from(million));
    const { directory } = options();
    expect(await readdir(directory)).toEqual([]);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    await spool.discard();
  });

  it('lets a file be read several times, also at the same time, in chunks that can be kept', async () => {
    const { file } = await spooledFile(Buffer.from(million));
    expect(file.byteLength).toBe(million.byteLength);
    const readings = await Promise.all([gather(file.read()), gather(file.read()), gather(file.read())]);
    expect(readings.every((reading) => reading.equals(million))).toBe(true);
    for await (const chunk of file.read()) {
      expect(chunk.byteLength).toBeLessThanOrEqual(32_768);
      expect(chunk.buffer.byteLength).toBe(chunk.byteLength);
    }
    await file.close();
  });

  it('frees a chunk in the file whose memory is its own, and none that shares it', async () => {
    const spool = createSpool(options());
    const [alone, one, other] = [new Uint8Array(300_000), million.subarray(0, 300_000), million.subarray(300_000)];
    for (const chunk of [alone, one, other]) await spool.write(chunk);
    const payload = await spool.finish();
    if (payload.kind !== 'file') throw new Error('expected a file');
    expect([alone, one, other].map(({ byteLength }) => byteLength)).toEqual([0, 300_000, 700_000]);
    const back = await gather(payload.file.read());
    expect(back.equals(Buffer.concat([Buffer.alloc(300_000), million]))).toBe(true);
    await payload.file.close();
  });

  it('can be closed twice, and not be read afterwards', async () => {
    const { file } = await spooledFile(Buffer.from(million));
    const reading = file.read()[Symbol.asyncIterator]();
    await reading.next();
    await Promise.all([file.close(), file.close()]);
    await file.close();
    await expect(reading.next()).rejects.toThrow('closed');
    await expect(gather(file.read())).rejects.toThrow('closed');
  });

  it('throws the error of its owner when too much comes, and is of no use from then on', async () => {
    for (const memoryBytes of [1000, 1_000_000]) {
      const spool = createSpool(options({ memoryBytes, maxBytes: 500_000 }));
      await spool.write(million.subarray(0, 500_000));
      await expect(spool.write(Buffer.of(1))).rejects.toBe(tooLarge);
      await expect(spool.write(Buffer.of(1))).rejects.toThrow('failed before');
      await expect(spool.finish()).rejects.toThrow('failed before');
      await spool.discard();
    }
  });

  it('says that the gateway is overloaded when the file cannot be made', async () => {
    const occupied = join(parent, 'a-file');
    await writeFile(occupied, '');
    const spool = createSpool(options({ directory: occupied }));
    await expect(spool.write(Buffer.from(million))).rejects.toMatchObject({
      code: 'overloaded',
      cause: { code: 'ENOTDIR' },
    });
    await expect(spool.finish()).rejects.toThrow('failed before');
    await spool.discard();
  });

  it('lets go of the file when discarded before, while and after it is written, and more than once', async () => {
    const idle = createSpool(options());
    await idle.discard();
    await expect(idle.write(Buffer.of(1))).rejects.toThrow('discarded');

    const writing = createSpool(options());
    const written = writing.write(Buffer.from(million));
    await Promise.all([writing.discard(), writing.discard(), written]);
    await expect(writing.finish()).rejects.toThrow('discarded');

    const finished = createSpool(options());
    await finished.write(Buffer.from(million));
    const payload = await finished.finish();
    await finished.discard();
    await finished.discard();
    if (payload.kind !== 'file') throw new Error('expected a file');
    await expect(gather(payload.file.read())).rejects.toThrow('closed');
  });

  it('makes its directory again when it was taken away', async () => {
    await (await spooledFile(Buffer.from(million))).file.close();
    await rm(join(parent, 'not'), { recursive: true });
    await (await spooledFile(Buffer.from(million))).file.close();
  });

  it.skipIf(process.platform !== 'linux')('holds no file descriptor after it was let go of', async () => {
    const count = async (): Promise<number> => (await readdir('/proc/self/fd')).length;
    // Opens what is opened once and for all.
    await (await open('/dev/null')).close();
    const before = await count();
    for (let round = 0; round < 20; round += 1) {
      const { file } = await spooledFile(million.subarray(0, 5000));
      await file.close();
      const interrupted = createSpool(options());
      await Promise.all([interrupted.write(Buffer.from(million)), interrupted.discard()]);
    }
    expect(await count()).toBeLessThanOrEqual(before + 1);
  });
});
