/** Streams: many at the same time in little memory, and clients that do not read. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { randomPng } from '../fixtures/pictures.ts';
import { postJson } from '../fixtures/setting.ts';
import { summary } from '../fixtures/traffic.ts';
import { inMebibytes, mebibyte, report, settledRss, watchPeak } from './figures.ts';

const pictureBytes = 1_500_000;
const atOnce = 64;

let fake: FakeOpenAi;
let gateway: Gateway;

beforeAll(async () => {
  fake = await startFakeOpenAi();
  fake.draw(randomPng(pictureBytes));
  gateway = await startGateway({ config: gatewayConfig([openAiEntity(fake)]) });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await fake.close();
});

/** Reads a stream to its end. @returns its bytes */
async function takeStream(): Promise<number> {
  const answer = await postJson(`${gateway.url}/v1/images/generations`, {
    prompt: 'a lighthouse',
    stream: true,
    partial_images: 3,
  });
  let bytes = 0;
  let last = '';
  for await (const chunk of answer.body ?? []) {
    bytes += chunk.byteLength;
    last = (last + Buffer.from(chunk.subarray(-200)).toString('latin1')).slice(-200);
  }
  // The last event is that of the finished picture.
  expect(last).toContain('"usage"');
  return bytes;
}

async function round(): Promise<void> {
  const lengths = await Promise.all(Array.from({ length: atOnce }, takeStream));
  expect(Math.min(...lengths)).toBeGreaterThan(4 * 1.33 * pictureBytes);
}

describe('64 streams at the same time', () => {
  it('go on in flat memory', async () => {
    // Until the heap has the size that this load takes.
    for (let rounds = 0; rounds < 5; rounds += 1) await round();
    const before = await settledRss(gateway);
    const watch = watchPeak(gateway);
    const rounds = 12;
    for (let done = 0; done < rounds; done += 1) await round();
    const peak = await watch.stop();
    const after = await settledRss(gateway);
    report('G01', '64 streams of four pictures of 1.5 MB at once', {
      streams: rounds * atOnce,
      'MiB before': inMebibytes(before),
      'MiB at the peak': inMebibytes(peak),
      'MiB after': inMebibytes(after),
    });
    expect(after - before).toBeLessThan(30 * mebibyte);
    // One event of each: 2 MB in base64.
    expect(peak - before).toBeLessThan(2 * atOnce * 2 * mebibyte);
  });

  it('whose clients do not read hold two events each, time and again, and let go of the provider when they leave', async () => {
    fake.draw(randomPng(2 * pictureBytes));
    const before = await settledRss(gateway);
    await standStill();
    const first = await settledRss(gateway);
    const { held, aborted, tookMs } = await standStill();
    const after = await settledRss(gateway);
    report('R18', '64 streams of 16 MB whose clients do not read, and then leave, twice', {
      'MiB before': inMebibytes(before),
      'MiB after the first time': inMebibytes(first),
      'MiB while they stand': inMebibytes(held),
      'MiB after': inMebibytes(after),
      'streams let go of': aborted,
      'ms until the last is let go': summary([tookMs]).maxMs,
    });
    // One event that goes out and one that is read: 4 MB each in base64.
    expect(held - before).toBeLessThan(2 * atOnce * 4 * mebibyte);
    expect(after - first).toBeLessThan(30 * mebibyte);
    expect(tookMs).toBeLessThan(1000);
  });
});

/** As many clients who take nothing after the first bytes, until they leave. */
async function standStill(): Promise<{ readonly held: number; readonly aborted: number; readonly tookMs: number }> {
  const { hostname, port } = new URL(gateway.url);
  const body = JSON.stringify({ prompt: 'a lighthouse', stream: true, partial_images: 3 });
  const head = `POST /v1/images/generations HTTP/1.1\r\nhost: ${hostname}\r\ncontent-type: application/json\r\n`;
  const known = fake.requests.length;
  const sockets = await Promise.all(
    Array.from({ length: atOnce }, async (): Promise<Socket> => {
      const socket = connect({ host: hostname, port: Number(port) });
      socket.write(`${head}content-length: ${String(body.length)}\r\n\r\n${body}`);
      await once(socket, 'readable');
      return socket;
    }),
  );
  const held = await settledRss(gateway);
  const leftAtMs = performance.now();
  for (const socket of sockets) socket.destroy();
  const mine = fake.requests.slice(known);
  // The system takes some streams off the provider's hands as a whole, and keeps them in the buffers of the connection.
  await fake.until(() => mine.every(({ fate }) => fate !== 'open'));
  const tookMs = performance.now() - leftAtMs;
  return { held, aborted: mine.filter(({ fate }) => fate === 'aborted').length, tookMs };
}

describe('R18: hanging up on streams', () => {
  it('50 streams given up in the middle let go of the provider within 100 ms each', async () => {
    fake.draw(undefined);
    const never = new Promise<void>(() => {});
    const tookMs: number[] = [];
    const streams = await Promise.all(
      Array.from({ length: 50 }, async () => {
        fake.next({ stream: { before: (sent) => (sent === 1 ? never : undefined) } });
        const leaving = new AbortController();
        const place = fake.requests.length;
        const answer = await postJson(
          `${gateway.url}/v1/images/generations`,
          { prompt: 'a lighthouse', stream: true, partial_images: 3 },
          {},
          { signal: leaving.signal },
        );
        await answer.body?.getReader().read();
        return { leaving, place };
      }),
    );
    const mine = fake.requests.slice(Math.min(...streams.map(({ place }) => place)));
    const goneBefore = (): number => mine.filter(({ fate }) => fate === 'aborted').length;
    // One after the other, so that each has a time of its own.
    for (const [index, { leaving }] of streams.entries()) {
      const leftAtMs = performance.now();
      leaving.abort();
      await fake.until(() => goneBefore() === index + 1);
      tookMs.push(performance.now() - leftAtMs);
    }
    const { p50Ms, maxMs } = summary(tookMs);
    report('R18', '50 streams given up in the middle', { 'let go of, p50 ms': p50Ms, 'max ms': maxMs });
    expect(maxMs).toBeLessThanOrEqual(100);
  });

  it('50 streams given up at once, before anything has come and after', async () => {
    for (const begun of [0, 1]) {
      const never = new Promise<void>(() => {});
      const leaving = new AbortController();
      const known = fake.requests.length;
      let waiting = 0;
      const calls = Array.from({ length: 50 }, async () => {
        fake.next({
          stream: {
            before(sent) {
              if (sent !== begun) return undefined;
              waiting += 1;
              return never;
            },
          },
        });
        const body = { prompt: 'a lighthouse', stream: true, partial_images: 3 };
        const answer = await postJson(`${gateway.url}/v1/images/generations`, body, {}, { signal: leaving.signal });
        await answer.body?.getReader().read();
      });
      const settled = Promise.allSettled(calls);
      const mine = (): typeof fake.requests => fake.requests.slice(known);
      await eventually(async () => waiting === 50);
      if (begun > 0) await settled;
      const leftAtMs = performance.now();
      leaving.abort();
      await fake.until(() => mine().every(({ fate }) => fate === 'aborted'));
      const elapsedMs = Math.round(performance.now() - leftAtMs);
      await settled;
      report('R18', `50 streams given up at once ${begun === 0 ? 'before' : 'after'} a picture`, {
        'all let go of after ms': elapsedMs,
      });
      expect(elapsedMs).toBeLessThanOrEqual(1000);
    }
  });
});
