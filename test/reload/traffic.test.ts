import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FakeOpenAi } from '../fixtures/fake-openai.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { startTraffic, summary } from '../fixtures/traffic.ts';
import { askVersion, startVersionedFake, versionedConfig, versionWatch } from '../fixtures/versions.ts';

let fake: FakeOpenAi;
let gateway: Gateway;

beforeAll(async () => {
  fake = await startVersionedFake();
  gateway = await startGateway({ config: versionedConfig(fake, 1) });
});
afterAll(async () => {
  await gateway[Symbol.asyncDispose]();
  await fake.close();
});

/** A file that is spoilt in a place that is easy to find: its last line. */
const spoilt = (version: number): string =>
  `${JSON.stringify(versionedConfig(fake, version), undefined, 2).slice(0, -1)},\n"colour": "sk-not-to-be-shown"}\n`;

describe('saving under traffic', () => {
  it('costs no request and mixes no versions: 200 good and 50 broken saves, 32 clients [R1, R4]', async ({
    annotate,
  }) => {
    const traffic = startTraffic(32, versionWatch(gateway));
    for (let save = 1; save <= 200; save += 1) {
      await gateway.write(versionedConfig(fake, save));
      await pause(15);
      if (save % 4 === 0) {
        await gateway.write(spoilt(save));
        await pause(15);
      }
    }
    await gateway.write(versionedConfig(fake, 201));
    await expect.poll(() => askVersion(gateway), { timeout: 10_000, interval: 5 }).toBe(201);
    await traffic.pass(100);
    const report = await traffic.stop();
    await annotate(JSON.stringify({ ...report, failures: report.failures.length }));
    expect(report.failures).toEqual([]);
    expect(await askVersion(gateway)).toBe(201);
    const { revision, last_error: error } = await gateway.status();
    expect(revision).toBeGreaterThan(20);
    expect(error).toBeNull();
  });

  it('is live soon [R2]', async ({ annotate }) => {
    const latenciesMs: number[] = [];
    for (let version = 300; version < 320; version += 1) {
      const startedAtMs = performance.now();
      await gateway.write(versionedConfig(fake, version));
      while ((await askVersion(gateway)) !== version) await pause(2);
      latenciesMs.push(performance.now() - startedAtMs);
    }
    await annotate(`save to live: ${JSON.stringify(summary(latenciesMs))}`);
    expect(summary(latenciesMs).maxMs).toBeLessThan(2000);
  });
});

describe('a bad file', () => {
  it('changes nothing, and says where it is bad without showing secrets', async () => {
    const before = await gateway.apply(versionedConfig(fake, 400));
    const text = spoilt(401);
    const after = await gateway.refuse(text);
    expect(after).toMatchObject({ revision: before.revision, digest: before.digest });
    expect(after.last_error?.problems).toMatchObject([
      {
        file: expect.stringMatching(/gateway\.yaml$/),
        line: text.trimEnd().split('\n').length,
        column: 1,
        pointer: expect.stringContaining('colour'),
        message: expect.stringContaining('colour'),
      },
    ]);
    expect(JSON.stringify(after)).not.toContain('sk-not-to-be-shown');
    expect(await askVersion(gateway)).toBe(400);
    expect((await fetch(`${gateway.adminUrl}/readyz`)).status).toBe(200);
  });

  it('is forgotten when the next good one comes, also when that is the one before', async () => {
    await gateway.refuse(spoilt(402));
    await gateway.write(versionedConfig(fake, 400));
    expect(await gateway.until(({ last_error: error }) => error === null)).toMatchObject({ ok: true });
    await gateway.apply(versionedConfig(fake, 403));
    expect(await askVersion(gateway)).toBe(403);
  });

  it.each([
    ['empty', ''],
    ['half', '{"version": 1, "server": {'],
    ['no text', '\u0000\u0001\u0002'],
    ['several documents', 'version: 1\n---\nversion: 1\n'],
    ['of a later version', 'version: 2\n'],
  ])('may be %s', async (_, text) => {
    const { revision } = await gateway.status();
    expect((await gateway.refuse(text)).revision).toBe(revision);
    expect(await askVersion(gateway)).toBeGreaterThan(0);
  });
});
