/** R23: what is small on the wire and huge once unfolded is refused before it is. */
import { buffer } from 'node:stream/consumers';
import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bombPng, png } from '../fixtures/pictures.ts';
import { formOf, jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';
import { mebibyte, report, settledRss, watchPeak } from './figures.ts';

const gigabyte = 1024 * mebibyte;

let setting: Setting;
/** A gigabyte of blanks. */
let gzipBomb: Buffer;
let pngBomb: Buffer;

beforeAll(async () => {
  setting = await startSetting();
  gzipBomb = await buffer(Readable.from(blanks()).pipe(createGzip()));
  pngBomb = bombPng(30_000);
});
afterAll(() => setting.stop());

function* blanks(): Generator<Buffer> {
  const piece = Buffer.alloc(mebibyte, ' ');
  for (let sent = 0; sent < gigabyte; sent += piece.byteLength) yield piece;
}

const generate = (members: object = {}): Promise<Response> =>
  postJson(`${setting.gateway.url}/v1/images/generations`, { model: 'dall-e-3', prompt: 'a lighthouse', ...members });

const edit = (image: Buffer): Promise<Response> =>
  fetch(`${setting.gateway.url}/v1/images/edits`, { method: 'POST', body: formOf({ prompt: 'bluer', image }) });

/** By how many MB the process grows at the most while something is done. */
async function growth(work: () => Promise<unknown>): Promise<number> {
  const before = await settledRss(setting.gateway);
  const watch = watchPeak(setting.gateway);
  const done = await Promise.allSettled([work()]);
  const peak = await watch.stop();
  for (const outcome of done) if (outcome.status === 'rejected') throw outcome.reason;
  return Math.round((peak - before) / 100_000) / 10;
}

describe('R23: bombs are bounded', () => {
  type Bomb = readonly [what: string, send: () => Promise<Response>, status: number, code: string];

  it.each<Bomb>([
    [
      '1 GB of gzip that a caller sends',
      () =>
        fetch(`${setting.gateway.url}/v1/images/generations`, {
          method: 'POST',
          body: Uint8Array.from(gzipBomb),
          headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' },
        }),
      415,
      'unsupported_media_type',
    ],
    [
      '1 GB of gzip that a provider sends',
      () => {
        setting.fake.next({
          body: gzipBomb,
          headers: { 'content-encoding': 'gzip', 'content-type': 'application/json' },
        });
        return generate();
      },
      502,
      'upstream_invalid_response',
    ],
    [
      '1 GB of gzip that a provider sends as its error',
      () => {
        setting.fake.next({
          status: 400,
          body: gzipBomb,
          headers: { 'content-encoding': 'gzip', 'content-type': 'application/json' },
        });
        return generate();
      },
      400,
      'invalid_value',
    ],
    ['a PNG of 30,000 × 30,000 that a caller sends', () => edit(pngBomb), 400, 'invalid_image'],
    [
      'a PNG of 30,000 × 30,000 that a provider sends, to be converted',
      async () => {
        setting.fake.draw(pngBomb);
        const answer = await generate({ output_format: 'webp', response_format: 'b64_json' });
        setting.fake.draw(undefined);
        return answer;
      },
      502,
      'upstream_invalid_response',
    ],
  ])('%s', async (what, send, status, code) => {
    for (let round = 0; round < 5; round += 1) await (await edit(png())).arrayBuffer();
    const grewBy = await growth(async () => {
      const answer = await send();
      expect({ status: answer.status, ...(await jsonOf(answer)) }).toMatchObject({ status, error: { code } });
    });
    report('R23', what, { status, 'grew by MB': grewBy });
    expect(grewBy).toBeLessThan(150);
  });

  it('aliases of aliases in the file', async () => {
    const names = Array.from({ length: 16 }, (_, level) => `level${String(level)}`);
    const bomb = names
      .map(
        (name, level) =>
          `${name}: &${name} [${Array(10)
            .fill(level === 0 ? 'x' : `*${names[level - 1] ?? ''}`)
            .join()}]`,
      )
      .join('\n');
    const grewBy = await growth(() => setting.gateway.refuse(bomb));
    report('R23', 'aliases of aliases in the file', { 'grew by MB': grewBy });
    expect(grewBy).toBeLessThan(150);
    expect((await generate()).status).toBe(200);
  });
});
