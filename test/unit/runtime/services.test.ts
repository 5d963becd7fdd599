import { describe, expect, it } from 'vitest';
import type { BlobStoreDefinition, BlobStoreSettings } from '../../../src/blobs/blob-store.ts';
import { builtIn } from '../../../src/gateway.ts';
import type { Registry } from '../../../src/pipeline/registry.ts';
import type { Clock } from '../../../src/pipeline/stage.ts';
import { createResources } from '../../../src/runtime/resources.ts';
import { openServices } from '../../../src/runtime/services.ts';
import { makeStageEnv, silentLog } from '../../fixtures/exchange.ts';
import { loadFile } from './config-file.ts';

/** Opens the services of one file after another, and tells what became of their places for pictures and for answers. */
function bench() {
  const resources = createResources(silentLog);
  const env = makeStageEnv();
  const opened: { readonly location: string; readonly settings: BlobStoreSettings; closed: boolean }[] = [];
  const sweeps = new Set<() => void>();
  const clock: Clock = {
    ...env.clock,
    timer(_milliseconds, callback) {
      sweeps.add(callback);
      return { cancel: () => void sweeps.delete(callback) };
    },
  };
  const place = (scheme: string): BlobStoreDefinition => ({
    scheme,
    async open(location, settings) {
      const record = { location, settings, closed: false };
      opened.push(record);
      return {
        ...env.blobs,
        async close() {
          record.closed = true;
        },
      };
    },
  });
  const registry: Registry = { ...builtIn, blobStores: new Map(['file', 's3'].map((name) => [name, place(name)])) };

  return {
    opened,
    sweeps,
    async open(given: Readonly<Record<string, unknown>>) {
      const lease = resources.lease();
      const { blobs, answers } = await openServices({
        config: await loadFile(given, registry),
        registry,
        lease,
        clock,
        log: silentLog,
        forward: env.forward,
        services: env.services,
        alerts: env.alerts,
        jobs: env.jobs,
        createPictureFetcher: () => env.pictures,
        spoolDirectory: '/nonexistent',
      });
      return { blobs, answers, lease };
    },
  };
}

const bucket = 's3://pictures/hosted?region=eu-central-1';
const keys = { access_key_id: 'AKIDEXAMPLE', secret_access_key: 'an-s3-secret' };

describe('the place for pictures', () => {
  it('outlives a reload that says the same of it, and so does its sweeper', async () => {
    const { open, opened, sweeps } = bench();
    const first = await open({ images: bucket, images_credentials: keys });
    const second = await open({ images: bucket, images_credentials: keys, logging: { level: 'warn' } });
    expect(second.blobs).toBe(first.blobs);
    await first.lease.release();
    expect([opened.map(({ closed }) => closed), sweeps.size]).toEqual([[false, false], 2]);
    await second.lease.release();
    expect([opened.map(({ closed }) => closed), sweeps.size]).toEqual([[true, true], 0]);
  });

  it.each([
    ['place', { images: 's3://pictures/elsewhere', images_credentials: keys }],
    ['key', { images: bucket, images_credentials: { ...keys, secret_access_key: 'another-secret' } }],
    ['token', { images: bucket, images_credentials: { ...keys, session_token: 'a-token' } }],
  ])('is another one with another %s', async (_what, given) => {
    const { open, opened, sweeps } = bench();
    const first = await open({ images: bucket, images_credentials: keys });
    const second = await open(given);
    expect(second.blobs).not.toBe(first.blobs);
    expect(sweeps.size).toBe(4);
    await first.lease.release();
    expect([opened.map(({ closed }) => closed), sweeps.size]).toEqual([[true, true, false, false], 2]);
  });

  it('gets the keys as secrets, and none where there are none', async () => {
    const { open, opened } = bench();
    await open({ images: bucket, images_credentials: { ...keys, session_token: '' } });
    await open({ images: 'file:/pictures' });
    const pictures = opened.filter(({ settings }) => settings.part === undefined);
    const [first, second] = pictures.map(({ settings }) => settings.credentials);
    expect(first?.secretAccessKey.reveal()).toBe(keys.secret_access_key);
    expect(first?.sessionToken).toBeUndefined();
    expect(JSON.stringify(first)).not.toContain(keys.secret_access_key);
    expect(second).toBeUndefined();
    expect(pictures.map(({ location }) => location)).toEqual([
      '//pictures/hosted?region=eu-central-1',
      expect.stringMatching(/\/pictures$/),
    ]);
  });

  it('has a part of its own for answers, with the same keys', async () => {
    const { open, opened } = bench();
    const { blobs, answers } = await open({ images: bucket, images_credentials: keys });
    expect(answers).not.toBe(blobs);
    expect(opened.map(({ settings: { part } }) => part)).toEqual([undefined, 'answers']);
    expect(opened[1]?.location).toBe(opened[0]?.location);
    expect(opened[1]?.settings.credentials?.secretAccessKey.reveal()).toBe(keys.secret_access_key);
  });
});
