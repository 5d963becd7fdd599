/** Streams: many at the same time in little memory, and clients that do not read. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
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
    last = Buffer.from(chunk.subarray(-200)).toString('latin1');
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
    for (let rounds = 0; rounds < 2; rounds += 1) await round();
    const before = await settledRss(gateway);
    const watch = watchPeak(gateway);
    const rounds = 6;
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

  it('whose clients do not read hold one event each, and let go of the provider when they leave', async () => {
    const before = await settledRss(gateway);
    const { hostname, port } = new URL(gateway.url);
    const body = JSON.stringify({ prompt: 'a lighthouse', stream: true, partial_images: 3, n: 10 });
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
    const after = await settledRss(gateway);
    report('R18', '64 streams of 26 MB whose clients do not read, and then leave', {
      'MiB before': inMebibytes(before),
      'MiB while they stand': inMebibytes(held),
      'MiB after': inMebibytes(after),
      'streams let go of': mine.filter(({ fate }) => fate === 'aborted').length,
      'ms until the last is let go': summary([tookMs]).maxMs,
    });
    expect(held - before).toBeLessThan(2 * atOnce * 2 * mebibyte);
    expect(after - before).toBeLessThan(30 * mebibyte);
    expect(tookMs).toBeLessThan(1000);
  });
});
