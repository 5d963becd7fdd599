import { mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FakeOpenAi } from '../fixtures/fake-openai.ts';
import { replaceFile, startGatewayIn, type Gateway } from '../fixtures/gateway.ts';
import { saveStyles } from '../fixtures/save-styles.ts';
import { startTraffic, type Traffic } from '../fixtures/traffic.ts';
import { askVersion, startVersionedFake, versionedConfig, versionWatch } from '../fixtures/versions.ts';

let fake: FakeOpenAi;
let gateway: Gateway;
let traffic: Traffic;
let version = 100;

beforeAll(async () => {
  fake = await startVersionedFake();
  const dir = await mkdtemp(join(tmpdir(), 'pinhole-styles-'));
  gateway = await startGatewayIn(dir, { config: versionedConfig(fake, version) });
  traffic = startTraffic(4, versionWatch(gateway));
});
afterAll(async () => {
  expect((await traffic.stop()).failures).toEqual([]);
  await gateway[Symbol.asyncDispose]();
  await fake.close();
});

/** The text of the version after the next, which a style may save on the way. Of the same length as the last. */
function next(): string {
  version += 2;
  return JSON.stringify(versionedConfig(fake, version), undefined, 2);
}

describe('a save is live, however it was made [R3]:', () => {
  it.each(Object.entries(saveStyles))('%s', async (_, save) => {
    for (let round = 0; round < 2; round += 1) {
      const text = next();
      await save(gateway.configPath, text);
      await expect.poll(() => askVersion(gateway), { timeout: 10_000, interval: 5 }).toBe(version);
    }
  });

  it('the swap of a Kubernetes ConfigMap, the old folder kept or removed', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'pinhole-configmap-'));
    const fresh = async (name: string): Promise<void> => {
      await mkdir(join(dir, name));
      await writeFile(join(dir, name, 'gateway.yaml'), next());
    };
    await fresh('..v0');
    await symlink('..v0', join(dir, '..data'));
    await symlink('..data/gateway.yaml', join(dir, 'gateway.yaml'));
    await using mounted = await startGatewayIn(dir, { config: versionedConfig(fake, version) });
    for (const round of [1, 2, 3]) {
      await fresh(`..v${String(round)}`);
      await symlink(`..v${String(round)}`, join(dir, '..data_tmp'));
      await rename(join(dir, '..data_tmp'), join(dir, '..data'));
      if (round === 2) await rm(join(dir, '..v1'), { recursive: true });
      await expect.poll(() => askVersion(mounted), { timeout: 10_000, interval: 5 }).toBe(version);
    }
    expect(dirname(mounted.configPath)).toBe(dir);
  });
});

describe('what is no change', () => {
  it('does not reload: a touch, the same text again, a file beside it', async () => {
    const text = next();
    const { revision } = await gateway.apply(text);
    const now = new Date();
    await utimes(gateway.configPath, now, now);
    await writeFile(gateway.configPath, text);
    await replaceFile(gateway.configPath, text);
    await writeFile(join(gateway.dir, 'notes.txt'), 'nothing');
    // The next real change is the event that tells that all before it has been looked at.
    expect((await gateway.apply(next())).revision).toBe(revision + 1);
  });
});
