import sharp from 'sharp';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { createPainter, paint, stopPainter, type Painter, type PaintJob } from '../../../src/images/painter.ts';

const never = new AbortController().signal;

const job = (more: Partial<PaintJob> = {}): PaintJob => ({
  prompt: 'a lighthouse',
  seed: 0,
  index: 0,
  width: 48,
  height: 32,
  quality: 'low',
  transparent: false,
  format: 'png',
  compression: 90,
  inputs: [],
  mask: undefined,
  ...more,
});

describe('the painter', () => {
  afterAll(stopPainter);

  it.each([
    ['png', 'png'],
    ['jpeg', 'jpeg'],
    ['webp', 'webp'],
    ['avif', 'heif'],
  ] as const)('paints %s', async (format, known) => {
    const metadata = await sharp(await paint(job({ format }), never)).metadata();
    expect(metadata).toMatchObject({ format: known, width: 48, height: 32 });
  });

  it('paints the same file for the same job', async () => {
    const [first, second] = await Promise.all([paint(job(), never), paint(job(), never)]);
    expect(Buffer.from(first).equals(second)).toBe(true);
  });

  it('keeps exactly what a mask covers, and leaves the caller its inputs', async () => {
    const input = await paint(job({ prompt: 'meadow' }), never);
    const alpha = Buffer.alloc(48 * 32 * 4, 255);
    for (let at = 3; at < alpha.length / 2; at += 4) alpha[at] = 0;
    const mask = await sharp(alpha, { raw: { width: 48, height: 32, channels: 4 } })
      .png()
      .toBuffer();
    const edited = await paint(job({ prompt: 'a dark city', inputs: [input], mask }), never);
    const [before, after] = await Promise.all(
      [input, edited].map((file) => sharp(file).ensureAlpha().raw().toBuffer()),
    );
    const half = alpha.length / 2;
    expect(after?.subarray(half).equals(before?.subarray(half) ?? Buffer.alloc(0))).toBe(true);
    expect(after?.subarray(0, half).equals(before?.subarray(0, half) ?? Buffer.alloc(0))).toBe(false);
    expect(input.byteLength).toBeGreaterThan(0);
  });

  it('scales inputs to cover the size', async () => {
    const input = await paint(job({ width: 90, height: 20 }), never);
    const edited = await paint(job({ inputs: [input] }), never);
    expect(await sharp(edited).metadata()).toMatchObject({ width: 48, height: 32 });
  });

  it('refuses inputs that are no pictures, and masks of another size', async () => {
    const input = await paint(job(), never);
    const small = await paint(job({ width: 16, height: 16 }), never);
    const svg = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>');
    const cut = input.subarray(0, input.byteLength / 2);
    for (const bad of [svg, cut, new Uint8Array(0)]) {
      await expect(paint(job({ inputs: [bad] }), never)).rejects.toMatchObject({
        code: 'invalid_image',
        param: 'image',
      });
    }
    const wrong = paint(job({ inputs: [input], mask: small }), never);
    await expect(wrong).rejects.toMatchObject({ code: 'invalid_image', param: 'mask' });
  });

  it('drops the result of a job that was given up, and goes on with the next', async () => {
    const leaving = new AbortController();
    const given = paint(job({ width: 400, height: 400 }), leaving.signal);
    const next = paint(job(), never);
    leaving.abort(new Error('gone'));
    await expect(given).rejects.toThrow('gone');
    expect(await sharp(await next).metadata()).toMatchObject({ width: 48, height: 32 });
  });
});

/** A worker that answers with its own number, hangs, or dies, as the prompt says. */
const stub = `
  const { parentPort, threadId } = require('node:worker_threads');
  parentPort.on('message', ({ prompt }) => {
    if (prompt === 'hang') return;
    if (prompt === 'exit') process.exit(3);
    if (prompt === 'throw') throw new Error('broken brush');
    if (prompt === 'bug') return parentPort.postMessage({ kind: 'bug', error: new TypeError('oops') });
    parentPort.postMessage({ kind: 'picture', bytes: Uint8Array.of(threadId) });
  });
`;

/** What a promise came to: its value, or what it was rejected with. */
const outcome = (promise: Promise<unknown>): Promise<unknown> => promise.catch((error: unknown) => error);

describe('the painter’s worker', () => {
  const painters: Painter[] = [];
  afterEach(async () => {
    vi.useRealTimers();
    await Promise.all(painters.splice(0).map((painter) => painter.stop()));
  });
  function start(): Painter {
    const painter = createPainter({
      workerUrl: new URL(
        `data:text/javascript,${encodeURIComponent(`import { createRequire } from 'node:module'; const require = createRequire('file:///');${stub}`)}`,
      ),
      maxWaiting: 2,
      maxWaitingBytes: 100,
      idleMs: 1000,
    });
    painters.push(painter);
    return painter;
  }
  const thread = async (painter: Painter): Promise<number | undefined> => (await painter.paint(job(), never))[0];

  it.each(['exit', 'throw'])('takes only its own job with it when it dies (%s)', async (prompt) => {
    const painter = start();
    const before = await thread(painter);
    const fatal = painter.paint(job({ prompt }), never);
    const next = thread(painter);
    await expect(fatal).rejects.toMatchObject({ code: 'upstream_error' });
    expect(await next).not.toBe(before);
  });

  it('outlives a bug, which stays one', async () => {
    const painter = start();
    const before = await thread(painter);
    await expect(painter.paint(job({ prompt: 'bug' }), never)).rejects.toBeInstanceOf(TypeError);
    expect(await thread(painter)).toBe(before);
  });

  it('has a line that is bounded, in jobs and in bytes', async () => {
    const painter = start();
    const hanging = outcome(painter.paint(job({ prompt: 'hang' }), never));
    const first = outcome(painter.paint(job({ inputs: [new Uint8Array(60)] }), never));
    const heavy = painter.paint(job({ inputs: [new Uint8Array(60)] }), never);
    await expect(heavy).rejects.toMatchObject({ code: 'overloaded' });
    const second = outcome(painter.paint(job(), never));
    await expect(painter.paint(job(), never)).rejects.toMatchObject({ code: 'overloaded' });
    await painter.stop();
    for (const left of [hanging, first, second]) expect(await left).toMatchObject({ code: 'overloaded' });
  });

  it('lets a waiting job leave the line', async () => {
    const painter = start();
    const leaving = new AbortController();
    const hanging = outcome(painter.paint(job({ prompt: 'hang' }), never));
    const waiting = painter.paint(job(), leaving.signal);
    const other = outcome(painter.paint(job(), never));
    leaving.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    const late = outcome(painter.paint(job(), never));
    await expect(painter.paint(job(), AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
    await painter.stop();
    for (const left of [hanging, other, late]) expect(await left).toMatchObject({ code: 'overloaded' });
    expect(await thread(painter)).toBeTypeOf('number');
  });

  it('is stopped when there is nothing to do, and started again', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const painter = start();
    const before = await thread(painter);
    expect(await thread(painter)).toBe(before);
    vi.advanceTimersByTime(1000);
    expect(await thread(painter)).not.toBe(before);
  });
});
