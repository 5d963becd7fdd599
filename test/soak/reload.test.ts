/** R1, R2, R3, R7: saving while clients call. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { openAiClient, picturesOf } from '../fixtures/openai-client.ts';
import { saveStyles } from '../fixtures/save-styles.ts';
import { postJson } from '../fixtures/setting.ts';
import { startTraffic, summary } from '../fixtures/traffic.ts';
import { askVersion, startVersionedFake, versionedConfig, versionWatch } from '../fixtures/versions.ts';
import { report } from './figures.ts';

let fake: FakeOpenAi;
let gateway: Gateway;

beforeEach(async () => {
  fake = await startVersionedFake();
  gateway = await startGateway({ config: versionedConfig(fake, 100) });
});
afterEach(async () => {
  await gateway[Symbol.asyncDispose]();
  await fake.close();
});

/** Milliseconds from a save until the first answer of the new version. */
async function saveToLive(version: number, more: Readonly<Record<string, unknown>> = {}): Promise<number> {
  const startedAtMs = performance.now();
  await gateway.write(versionedConfig(fake, version, more));
  while ((await askVersion(gateway)) !== version) await pause(1);
  return performance.now() - startedAtMs;
}

describe('R1: a save never costs a request', () => {
  it('64 clients, a save every 100 ms for 20 s', async () => {
    const calm = startTraffic(64, versionWatch(gateway));
    await pause(5000);
    const before = await calm.stop();
    const traffic = startTraffic(64, versionWatch(gateway));
    const { revision } = await gateway.status();
    for (let version = 101; version <= 300; version += 1) {
      await gateway.write(versionedConfig(fake, version));
      await pause(100);
    }
    const after = await traffic.stop();
    report('R1', 'a save never costs a request', {
      requests: after.answered,
      failed: after.failures.length,
      reloads: (await gateway.status()).revision - revision,
      'p99 without saves': before.p99Ms,
      'p99 with saves': after.p99Ms,
    });
    expect(after.failures).toEqual([]);
    expect(after.p99Ms).toBeLessThanOrEqual(2 * before.p99Ms + 20);
  });
});

describe('R2: save to live', () => {
  it('idle', async () => {
    const timesMs: number[] = [];
    for (let version = 101; version <= 200; version += 1) timesMs.push(await saveToLive(version));
    const figures = summary(timesMs);
    report('R2', 'save to live, idle', { ...figures });
    expect(figures.p50Ms).toBeLessThanOrEqual(100);
    expect(figures.p99Ms).toBeLessThanOrEqual(250);
  });

  it('under load', async () => {
    const traffic = startTraffic(32, versionWatch(gateway));
    const timesMs: number[] = [];
    for (let version = 101; version <= 150; version += 1) timesMs.push(await saveToLive(version));
    expect((await traffic.stop()).failures).toEqual([]);
    const figures = summary(timesMs);
    report('R2', 'save to live, under load', { ...figures });
    expect(figures.maxMs).toBeLessThanOrEqual(1000);
  });

  it('with 5,000 keys and 300 models', async () => {
    const large = (version: number): Readonly<Record<string, unknown>> => ({
      aliases: {
        current: { targets: [`box-${String(version)}/model-${String(version)}`] },
        ...Object.fromEntries(
          Array.from({ length: 300 }, (_, index) => [
            `alias-${String(index)}`,
            { targets: [`box-${String(version)}/model-${String(index)}`] },
          ]),
        ),
      },
      pipelines: {
        // Without `authenticate`, so that the clients need no key; the keys are loaded all the same.
        images: [
          'parse',
          'route-resolve',
          'constrain',
          'budget',
          'provider-transform',
          'dispatch',
          'response-normalise',
        ],
      },
      consumers: Array.from({ length: 5000 }, (_, index) => ({
        id: `consumer-${String(index)}`,
        key: `sk-many-${String(index)}`,
        models: { include: [`model-${String(index)}.*`, '.*'] },
      })),
    });
    await saveToLive(101, large(101));
    const traffic = startTraffic(16, versionWatch(gateway));
    const timesMs: number[] = [];
    for (let version = 102; version <= 110; version += 1) timesMs.push(await saveToLive(version, large(version)));
    const { failures, maxMs } = await traffic.stop();
    report('R2', 'save to live, 5,000 keys and 300 models', { ...summary(timesMs), 'slowest request': maxMs });
    expect(failures).toEqual([]);
    expect(summary(timesMs).maxMs).toBeLessThanOrEqual(2000);
    expect(maxMs).toBeLessThanOrEqual(1000);
  });
});

describe('R3: every way of saving works', () => {
  it('each style five times, under traffic', async () => {
    const traffic = startTraffic(8, versionWatch(gateway));
    let version = 100;
    for (const [, save] of Object.entries(saveStyles)) {
      for (let round = 0; round < 5; round += 1) {
        version += 2;
        await save(gateway.configPath, JSON.stringify(versionedConfig(fake, version), undefined, 2));
        await expect.poll(() => askVersion(gateway), { timeout: 10_000, interval: 2 }).toBe(version);
      }
    }
    const { failures, answered } = await traffic.stop();
    report('R3', 'every way of saving works', {
      saves: (version - 100) / 2,
      requests: answered,
      failed: failures.length,
    });
    expect(failures).toEqual([]);
  });
});

describe('R7: secrets rotate in flight', () => {
  it('50 calls of a removed key finish; it is refused as soon as the new one works', async () => {
    const calls = 50;
    await using second = await secretGateway();
    const { promise: hold, resolve: release } = Promise.withResolvers<void>();
    second.upstream.always({ hold });
    const old = openAiClient(second.gateway, { apiKey: 'sk-rotate-old' });
    const underWay = Array.from({ length: calls }, () => old.images.generate({ prompt: 'a lighthouse' }));
    await second.upstream.until(() => second.upstream.requests.length === calls);
    second.upstream.always(undefined);
    await second.gateway.write('sk-rotate-new', 'key');
    const status = async (key: string): Promise<number> => {
      const url = `${second.gateway.url}/v1/images/generations`;
      const answer = await postJson(url, { prompt: 'a lighthouse' }, { 'x-api-key': key });
      await answer.arrayBuffer();
      return answer.status;
    };
    while ((await status('sk-rotate-new')) !== 200) await pause(1);
    const worksAtMs = performance.now();
    while ((await status('sk-rotate-old')) !== 401) await pause(1);
    const refusedAfterMs = performance.now() - worksAtMs;
    release();
    const finished = await Promise.all(underWay);
    report('R7', 'secrets rotate in flight', {
      finished: finished.length,
      'old key refused after ms': Math.round(refusedAfterMs),
    });
    expect(finished.every((answer) => picturesOf(answer).length === 1)).toBe(true);
    expect(refusedAfterMs).toBeLessThanOrEqual(100);
  });
});

async function secretGateway() {
  const upstream = await startFakeOpenAi();
  const rotating = await startGateway({
    files: { key: 'sk-rotate-old' },
    config: gatewayConfig([openAiEntity(upstream)], { consumers: [{ id: 'web-app', key: '${file:key}' }] }),
  });
  return {
    upstream,
    gateway: rotating,
    [Symbol.asyncDispose]: async () => {
      await rotating[Symbol.asyncDispose]();
      await upstream.close();
    },
  };
}
