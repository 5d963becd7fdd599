import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import { createByteQueue, type ByteQueue } from '../../../src/http/byte-queue.ts';

/** A queue that writes down what it asks of its sender. */
function makeQueue(): { readonly queue: ByteQueue; readonly asked: string[] } {
  const asked: string[] = [];
  const queue = createByteQueue({
    pause: () => void asked.push('pause'),
    resume: () => void asked.push('resume'),
    abandon: () => void asked.push('abandon'),
  });
  return { queue, asked };
}

const large = new Uint8Array(300_000);

describe('a byte queue', () => {
  it('gives every byte in its order, however pushes and reads interleave', async () => {
    const pause = fc.boolean();
    const steps = fc.array(fc.tuple(fc.uint8Array({ maxLength: 5 }), pause));
    await fc.assert(
      fc.asyncProperty(steps, pause, async (pushes, early) => {
        const { queue } = makeQueue();
        const before = early ? collect(queue) : undefined;
        for (const [chunk, wait] of pushes) {
          queue.push(chunk);
          if (wait) await Promise.resolve();
        }
        queue.end();
        const expected = Buffer.concat(pushes.map(([chunk]) => chunk));
        expect(Buffer.from(await (before ?? collect(queue)))).toEqual(expected);
      }),
    );
  });

  it('hands chunks on without a copy', async () => {
    const { queue } = makeQueue();
    const chunk = Uint8Array.of(1, 2);
    queue.push(chunk);
    expect((await queue[Symbol.asyncIterator]().next()).value).toBe(chunk);
  });

  it('makes the sender pause when nobody reads, and go on when everything is read', async () => {
    const { queue, asked } = makeQueue();
    const chunks = queue[Symbol.asyncIterator]();
    queue.push(large);
    queue.push(Uint8Array.of(1));
    expect(asked).toEqual(['pause']);
    await chunks.next();
    expect(asked).toEqual(['pause']);
    await chunks.next();
    expect(asked).toEqual(['pause', 'resume']);
  });

  it('never makes the sender pause for a reader that waits', async () => {
    const { queue, asked } = makeQueue();
    const next = queue[Symbol.asyncIterator]().next();
    queue.push(large);
    expect((await next).value).toBe(large);
    expect(asked).toEqual([]);
  });

  it('gives what it holds before an error', async () => {
    const { queue } = makeQueue();
    const chunks = queue[Symbol.asyncIterator]();
    const error = new Error('broken');
    queue.push(Uint8Array.of(1));
    queue.fail(error);
    queue.end();
    expect((await chunks.next()).value).toEqual(Uint8Array.of(1));
    await expect(chunks.next()).rejects.toBe(error);
  });

  it('gives an error to a reader that waits', async () => {
    const { queue } = makeQueue();
    const next = queue[Symbol.asyncIterator]().next();
    queue.fail(new Error('broken'));
    await expect(next).rejects.toThrow('broken');
  });

  it('tells the sender once when the reader leaves early', async () => {
    const { queue, asked } = makeQueue();
    queue.push(Uint8Array.of(1));
    for await (const chunk of queue) {
      expect(chunk.byteLength).toBe(1);
      break;
    }
    queue.destroy();
    queue.push(Uint8Array.of(2));
    expect(asked).toEqual(['abandon']);
    expect(await collect(queue)).toHaveLength(0);
  });

  it('does not trouble the sender after the end', () => {
    const { queue, asked } = makeQueue();
    queue.end();
    queue.destroy();
    expect(asked).toEqual([]);
  });
});
