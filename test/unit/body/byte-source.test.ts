import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { bytesSource, collect, streamSource } from '../../../src/body/byte-source.ts';
import { bytewise } from './pieces.ts';

const tooLarge = new Error('too large');

function sourceOfStream(pieces: readonly Uint8Array[], maxBytes: number, length?: number) {
  const stream = Readable.from(pieces);
  return { stream, source: streamSource(stream, { length, maxBytes, overflow: () => tooLarge }) };
}

describe('streamSource', () => {
  it('brings what the stream brings, up to its bound', async () => {
    const bytes = Buffer.from('a picture');
    const { source } = sourceOfStream(bytewise(bytes), bytes.byteLength);
    expect(Buffer.from(await collect(source))).toEqual(bytes);
  });

  it('throws, and lets go of the stream, when more comes', async () => {
    const { stream, source } = sourceOfStream(bytewise(Buffer.from('a picture')), 5);
    await expect(collect(source)).rejects.toBe(tooLarge);
    expect(stream.destroyed).toBe(true);
  });

  it('reads nothing of a body that announces too much', async () => {
    const { stream, source } = sourceOfStream([], 5, 6);
    await expect(collect(source)).rejects.toBe(tooLarge);
    expect(stream.destroyed).toBe(true);
  });

  it('lets go of the stream when it is cancelled', () => {
    const { stream, source } = sourceOfStream([Buffer.of(1)], 5);
    source.cancel();
    source.cancel();
    expect(stream.destroyed).toBe(true);
  });
});

describe('bytesSource', () => {
  it('brings its bytes, uncopied', async () => {
    const bytes = Buffer.alloc(5000, 'x');
    expect(await collect(bytesSource(bytes))).toBe(bytes);
    expect(await collect(bytesSource(Buffer.of()))).toHaveLength(0);
    expect(bytesSource(bytes).length).toBe(5000);
  });
});
