/** R6, R18, and memory under large uploads: nothing is left behind. */
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity, openAiRoutes } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { openAiClient } from '../fixtures/openai-client.ts';
import { startPictureHost, type PictureHost } from '../fixtures/picture-host.ts';
import { dataUri, png, randomPng, sha256 } from '../fixtures/pictures.ts';
import { postJson } from '../fixtures/setting.ts';
import { startTraffic } from '../fixtures/traffic.ts';
import { startVersionedFake, versionedConfig, versionWatch } from '../fixtures/versions.ts';
import { inMebibytes, mebibyte, report, settledRss, watchPeak } from './figures.ts';

const twoHundredKeys = Array.from({ length: 200 }, (_, index) => ({
  id: `consumer-${String(index)}`,
  key: `sk-reload-${String(index)}`,
}));

const withoutKeys = {
  images: ['parse', 'route-resolve', 'constrain', 'budget', 'provider-transform', 'dispatch', 'response-normalise'],
};

describe('R6: reloading leaks nothing', () => {
  it('1,000 saves of a file with 200 keys, under load', async () => {
    const fake = await startVersionedFake();
    const config = (version: number) =>
      versionedConfig(fake, version, { consumers: twoHundredKeys, pipelines: withoutKeys });
    const gateway = await startGateway({ config: config(100) });
    const traffic = startTraffic(8, versionWatch(gateway));
    const save = async (from: number, to: number): Promise<void> => {
      for (let version = from; version <= to; version += 1) await gateway.apply(config(version));
    };
    await save(101, 150);
    const early = { rss: await settledRss(gateway), files: await gateway.openFiles() };
    await save(151, 1100);
    const late = { rss: await settledRss(gateway), files: await gateway.openFiles() };
    const { failures, answered } = await traffic.stop();
    report('R6', 'reloading leaks nothing', {
      requests: answered,
      failed: failures.length,
      'MiB after 50': inMebibytes(early.rss),
      'MiB after 1,000': inMebibytes(late.rss),
      'more files': late.files - early.files,
    });
    await gateway[Symbol.asyncDispose]();
    await fake.close();
    expect(failures).toEqual([]);
    expect(late.rss - early.rss).toBeLessThanOrEqual(30 * mebibyte);
    expect(late.rss).toBeLessThanOrEqual(1.1 * early.rss);
    expect(late.files - early.files).toBeLessThanOrEqual(5);
  });
});

describe('large uploads', () => {
  it('100 MB of multipart grow the process by less than 48 MB', async () => {
    const { fake, gateway, stop } = await uploadSetting();
    for (let round = 0; round < 5; round += 1) await upload(gateway, png());
    const before = await settledRss(gateway);
    const pictures = [randomPng(49 * mebibyte), randomPng(49 * mebibyte)];
    const watch = watchPeak(gateway);
    const status = await upload(gateway, ...pictures);
    const peak = await watch.stop();
    report('—', '100 MB of multipart', { status, 'grew by MiB': inMebibytes(peak - before) });
    expect(fake.last().pictures).toHaveLength(2);
    await stop();
    expect(status).toBe(200);
    expect(peak - before).toBeLessThan(48 * mebibyte);
  });
});

describe('R20: large input pictures do not grow the process', () => {
  type Send = (url: string, pictures: readonly Buffer[], host: PictureHost) => Promise<Response>;
  const sendForm = (url: string, parts: readonly (string | File)[]): Promise<Response> => {
    const body = new FormData();
    body.append('prompt', 'bluer');
    for (const part of parts) body.append('image[]', part);
    return fetch(url, { method: 'POST', body });
  };
  const asFile = (picture: Buffer): File => new File([Uint8Array.from(picture)], 'a.png');

  it.each<readonly [kind: string, send: Send]>([
    ['files', (url, pictures) => sendForm(url, pictures.map(asFile))],
    ['data URIs in JSON', (url, pictures) => postJson(url, { prompt: 'bluer', image: pictures.map(dataUri) })],
    ['data URIs in the text parts of a form', (url, pictures) => sendForm(url, pictures.map(dataUri))],
    [
      'links',
      (url, pictures, host) =>
        postJson(url, { prompt: 'bluer', image: pictures.map((picture) => host.offer(picture)) }),
    ],
  ])('16 of 6 MiB in one request as %s grow it by less than 64 MB', async (kind, send) => {
    const host = await startPictureHost();
    const { fake, gateway, stop } = await uploadSetting({ allow: [host.origin] });
    const url = `${gateway.url}/v1/images/edits`;
    const edit = async (pictures: readonly Buffer[]): Promise<void> => {
      const answer = await send(url, pictures, host);
      await answer.arrayBuffer();
      const received = fake.last().pictures.map(({ sha256: digest }) => digest);
      expect([answer.status, received]).toEqual([200, pictures.map(sha256)]);
    };
    const sixteen = (byteLength: number): readonly Buffer[] => {
      const picture = randomPng(byteLength);
      return Array.from({ length: 16 }, () => picture);
    };
    // What the code takes that has never run before is no picture's.
    for (let round = 0; round < 5; round += 1) await edit(sixteen(60_000));
    const before = await settledRss(gateway);
    const watch = watchPeak(gateway);
    await edit(sixteen(6 * mebibyte));
    const peak = await watch.stop();
    report('R20', `16 input pictures of 6 MiB as ${kind}`, {
      'grew by MB': Math.round((peak - before) / 100_000) / 10,
    });
    await stop();
    await host.close();
    expect(peak - before).toBeLessThan(64_000_000);
  });
});

describe('R18: hanging up frees everything', () => {
  it('50 calls given up are all cancelled at the provider', async () => {
    const { fake, gateway, stop } = await uploadSetting();
    fake.always({ hold: new Promise(() => {}) });
    const controller = new AbortController();
    const calls = Array.from({ length: 50 }, () =>
      openAiClient(gateway)
        .images.generate({ prompt: 'a lighthouse' }, { signal: controller.signal })
        .then(
          () => 'answered',
          () => 'given up',
        ),
    );
    await fake.until(() => fake.requests.length === 50);
    controller.abort();
    const startedAtMs = performance.now();
    await fake.until(() => fake.requests.every(({ fate }) => fate === 'aborted'));
    const elapsedMs = Math.round(performance.now() - startedAtMs);
    report('R18', 'calls given up', { cancelled: fake.requests.length, 'within ms': elapsedMs });
    expect(new Set(await Promise.all(calls))).toEqual(new Set(['given up']));
    await stop();
    expect(elapsedMs).toBeLessThanOrEqual(1000);
  });

  it('180 uploads of 50 MB, each given up midway, leave nothing', async () => {
    const { fake, gateway, stop } = await uploadSetting();
    await upload(gateway, png());
    const providerCalls = fake.requests.length;
    const temporary = await readdir(tmpdir());
    const picture = randomPng(50 * mebibyte);
    await Promise.all(Array.from({ length: 6 }, () => giveUp(gateway, picture)));
    const early = { rss: await settledRss(gateway), files: await gateway.openFiles() };
    for (let round = 0; round < 29; round += 1)
      await Promise.all(Array.from({ length: 6 }, () => giveUp(gateway, picture)));
    const late = { rss: await settledRss(gateway), files: await gateway.openFiles() };
    const left = (await readdir(tmpdir())).filter((name) => !temporary.includes(name));
    report('R18', 'uploads given up', {
      uploads: 180,
      'provider calls': fake.requests.length - providerCalls,
      'more MiB': inMebibytes(late.rss - early.rss),
      'more files': late.files - early.files,
      'temporary files left': left.length,
    });
    await stop();
    expect(fake.requests).toHaveLength(providerCalls);
    expect(late.rss - early.rss).toBeLessThanOrEqual(50 * mebibyte);
    expect(late.files - early.files).toBeLessThanOrEqual(10);
    expect(left).toEqual([]);
  });
});

async function uploadSetting(
  imageUrls: object = {},
): Promise<{ fake: FakeOpenAi; gateway: Gateway; stop: () => Promise<void> }> {
  const fake = await startFakeOpenAi();
  const gateway = await startGateway({
    config: gatewayConfig([openAiEntity(fake)], {
      routes: openAiRoutes(['openai-main'], { max_size_upload: '140MiB' }),
      image_urls: imageUrls,
    }),
  });
  return {
    fake,
    gateway,
    stop: async () => {
      await gateway[Symbol.asyncDispose]();
      await fake.close();
    },
  };
}

const boundary = 'soak-boundary';

function* formPieces(pictures: readonly Buffer[]): Generator<Buffer> {
  yield Buffer.from(`--${boundary}\r\ncontent-disposition: form-data; name="prompt"\r\n\r\nbluer\r\n`);
  for (const picture of pictures) {
    yield Buffer.from(
      `--${boundary}\r\ncontent-disposition: form-data; name="image[]"; filename="a.png"\r\ncontent-type: image/png\r\n\r\n`,
    );
    for (let at = 0; at < picture.byteLength; at += 64 * 1024) yield picture.subarray(at, at + 64 * 1024);
    yield Buffer.from('\r\n');
  }
  yield Buffer.from(`--${boundary}--\r\n`);
}

function beginUpload(gateway: Gateway) {
  return request(`${gateway.url}/v1/images/edits`, {
    method: 'POST',
    agent: false,
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
  });
}

async function upload(gateway: Gateway, ...pictures: readonly Buffer[]): Promise<number | undefined> {
  const sending = beginUpload(gateway);
  Readable.from(formPieces(pictures)).pipe(sending);
  return new Promise((resolve, reject) => {
    sending.on('error', reject).on('response', (answer) => {
      answer.resume().on('end', () => resolve(answer.statusCode));
    });
  });
}

/** Sends about half of a form, then breaks the connection. */
async function giveUp(gateway: Gateway, picture: Buffer): Promise<void> {
  const sending = beginUpload(gateway);
  const closed = once(sending, 'close').catch(() => undefined);
  sending.on('error', () => sending.destroy());
  let sent = 0;
  for (const piece of formPieces([picture])) {
    sent += piece.byteLength;
    if (sent > picture.byteLength / 2 || sending.destroyed) break;
    if (!sending.write(piece)) await Promise.race([once(sending, 'drain'), closed]);
  }
  sending.destroy();
  await closed;
}
