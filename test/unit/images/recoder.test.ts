import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import { createRecoder } from '../../../src/images/recoder.ts';
import { formatOf, jpeg, png, webp } from '../../fixtures/pictures.ts';

const { signal } = new AbortController();
const payload = (bytes: Uint8Array) => ({ kind: 'bytes', bytes }) as const;

describe('a recoder', () => {
  it.each(['png', 'jpeg', 'webp'] as const)('writes every kind of picture as %s, in its size', async (format) => {
    const recoder = createRecoder({ atOnce: 2, maxWaiting: 8 });
    for (const file of [png({ width: 20, height: 10 }), await jpeg(), await webp()]) {
      const { bytes } = await recoder.recode(payload(file), { format, quality: 80 }, signal);
      expect(formatOf(Buffer.from(bytes))).toBe(format);
      const [before, after] = [await sharp(file).metadata(), await sharp(bytes).metadata()];
      expect([after.width, after.height]).toEqual([before.width, before.height]);
    }
  });

  it('puts what is transparent on white where the format has no transparency', async () => {
    const recoder = createRecoder({ atOnce: 1, maxWaiting: 1 });
    const clear = png({ colour: [0, 0, 0, 0] });
    const { bytes } = await recoder.recode(payload(clear), { format: 'jpeg', quality: 100 }, signal);
    const { dominant } = await sharp(bytes).stats();
    expect([dominant.r, dominant.g, dominant.b].every((channel) => channel > 240)).toBe(true);
  });

  it('makes smaller files of lower quality', async () => {
    const recoder = createRecoder({ atOnce: 2, maxWaiting: 8 });
    const noise = {
      create: {
        width: 128,
        height: 128,
        channels: 3,
        background: '#000',
        noise: { type: 'gaussian', mean: 128, sigma: 40 },
      },
    } as const;
    const file = await sharp(noise).png().toBuffer();
    const sizeAt = async (quality: number): Promise<number> =>
      (await recoder.recode(payload(file), { format: 'webp', quality }, signal)).bytes.byteLength;
    expect(await sizeAt(20)).toBeLessThan(await sizeAt(90));
  });

  it('says that it is the provider’s fault when a picture cannot be read', async () => {
    const recoder = createRecoder({ atOnce: 1, maxWaiting: 1 });
    const cut = png({ width: 64, height: 64 }).subarray(0, 60);
    await expect(recoder.recode(payload(cut), { format: 'jpeg', quality: 90 }, signal)).rejects.toMatchObject({
      code: 'upstream_invalid_response',
    });
  });

  it('takes a bounded number, serves those that wait in turn, and forgets those that leave', async () => {
    const recoder = createRecoder({ atOnce: 1, maxWaiting: 2 });
    const file = payload(png({ width: 300, height: 300 }));
    const wanted = { format: 'webp', quality: 90 } as const;
    const leaving = new AbortController();
    const done: string[] = [];
    const run = (name: string, given = signal) => recoder.recode(file, wanted, given).then(() => done.push(name));
    const first = run('first');
    const second = run('second', leaving.signal);
    const third = run('third');
    await expect(run('fourth')).rejects.toMatchObject({ code: 'overloaded', retry: false });
    const left = new GatewayError('client_closed_request', 'The client went away.');
    leaving.abort(left);
    await expect(second).rejects.toBe(left);
    const fourth = run('fourth again');
    await Promise.all([first, third, fourth]);
    expect(done).toEqual(['first', 'third', 'fourth again']);
    await expect(run('gone', AbortSignal.abort(left))).rejects.toBe(left);
    await run('last');
  });
});
