import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { BlobStore, BlobStoreSettings } from '../../src/blobs/blob-store.ts';
import { s3BlobStore } from '../../src/blobs/s3.ts';
import { collect } from '../../src/body/byte-source.ts';
import type { Clock } from '../../src/pipeline/stage.ts';
import { systemClock } from '../../src/runtime/clock.ts';
import { Secret } from '../../src/secret.ts';
import { blobSettings, contentOf } from '../fixtures/blobs.ts';
import { originOf } from '../fixtures/fake-server.ts';
import { errorAnswer, s3Keys, s3Region, startS3, type S3Server } from '../fixtures/s3.ts';
import { recordingLog } from '../unit/runtime/recording-log.ts';
import { blobPartContract, blobStoreContract } from './blob-store-contract.ts';

let s3: S3Server;
let prefixes = 0;

beforeAll(async () => {
  s3 = await startS3();
});
afterAll(() => s3.close());
afterEach(() => s3.always(undefined));

const openPlace = (place: string, settings = blobSettings()): Promise<BlobStore> =>
  s3BlobStore.open(place.replace('s3:', ''), settings);

/** A store below a prefix of its own. */
function openStore(settings?: BlobStoreSettings): Promise<BlobStore> {
  prefixes += 1;
  return openPlace(s3.place(`run-${prefixes}/pictures`), settings);
}

blobStoreContract('s3', openStore);
blobPartContract('s3', (settings) => openPlace(s3.place('of-both/pictures'), settings));

describe('s3 blob store', () => {
  const bytes = Buffer.alloc(300_000, 7);

  /** What the requests were since the last look. */
  let seen = 0;
  function requests(): readonly string[] {
    const news = s3.entries.slice(seen).map(({ method, path }) => `${method} ${path.replace(/run-\d+/, 'run')}`);
    seen = s3.entries.length;
    return news;
  }

  /** Resolves when the last request is for the removal of an object, and was answered. */
  const removed = (): Promise<void> =>
    s3.until(() => s3.entries.at(-1)?.method === 'DELETE' && s3.entries.at(-1)?.fate === 'answered');

  async function keptIn(store: BlobStore, file: string): Promise<Buffer> {
    const blob = await store.open(file);
    if (blob === undefined) throw new Error('not there');
    try {
      return Buffer.from(await collect(blob.read()));
    } finally {
      await blob.close();
    }
  }

  it('does not go to the network before there is something to do', async () => {
    requests();
    const store = await openStore();
    expect(await store.open('nothing.png')).toBeUndefined();
    await store.remove('../nothing');
    await store.close();
    expect(requests()).toEqual([]);
  });

  it('keeps pictures below its prefix, apart by whether they expire', async () => {
    const store = await openStore();
    requests();
    const lasting = await store.put(contentOf(bytes), 'image/png');
    const expiring = await store.put(contentOf(bytes), 'image/png', { expiresAtMs: Date.now() + 60_000 });
    const place = 'PUT /pictures/run/pictures';
    expect(requests()).toEqual([`${place}/lasting/${lasting}`, `${place}/expiring/${expiring}`]);
    const { headers } = s3.entries.at(-1) ?? {};
    expect(headers).toMatchObject({
      'content-length': '300000',
      'content-type': 'image/png',
      'x-amz-content-sha256': 'UNSIGNED-PAYLOAD',
    });
    expect(await s3.keys()).toContain(`run-${prefixes}/pictures/lasting/${lasting}`);
  });

  it('is shared by all who have the same place', async () => {
    const store = await openStore();
    const file = await store.put(contentOf(bytes), 'image/png');
    await store.close();
    const other = await openPlace(s3.place(`run-${prefixes}/pictures`));
    expect((await keptIn(other, file)).equals(bytes)).toBe(true);
    expect(await (await openStore()).open(file)).toBeUndefined();
  });

  it('asks once for a picture that is read whole', async () => {
    const store = await openStore();
    const file = await store.put(contentOf(bytes), 'image/png');
    requests();
    await keptIn(store, file);
    expect(requests()).toEqual([`GET /pictures/run/pictures/lasting/${file}`]);
  });

  it('gives up what nobody reads', async () => {
    const store = await openStore();
    // More than fits into the buffers on the way.
    const file = await store.put(contentOf(Buffer.alloc(20_000_000)), 'image/png');
    const blob = await store.open(file);
    await blob?.close();
    await s3.until(() => s3.entries.at(-1)?.fate === 'aborted');
  });

  it('asks for a part with a range', async () => {
    const store = await openStore();
    const file = await store.put(contentOf(bytes), 'image/png');
    const blob = await store.open(file);
    await collect(blob?.read({ start: 10, end: 19 }) ?? nothing());
    await blob?.close();
    expect(s3.entries.at(-1)?.headers.range).toBe('bytes=10-19');
  });

  it('cuts what a server gives beyond the part that was asked for', async () => {
    const store = await openStore();
    const file = await store.put(contentOf(Buffer.from('0123456789')), 'image/png');
    const blob = await store.open(file);
    // s3rver takes 0-0 for the whole.
    expect(Buffer.from(await collect(blob?.read({ start: 0, end: 0 }) ?? nothing())).toString()).toBe('0');
    s3.next({ status: 200, body: '0123456789' });
    expect(Buffer.from(await collect(blob?.read({ start: 3, end: 5 }) ?? nothing())).toString()).toBe('345');
    await blob?.close();
  });

  it('lists and sweeps past objects that are none of its pictures', async () => {
    const store = await openStore();
    const names: string[] = [];
    for (let second = 1; second <= 3; second += 1) {
      names.push(await store.put(contentOf(bytes), 'image/png', { expiresAtMs: Date.now() + second * 60_000 }));
    }
    for (const key of ['0000000-strange', 'a&b <c>', `~${names[0]}`]) {
      await s3.put(`run-${prefixes}/pictures/expiring/${key}`);
    }
    for (const limit of [1, 2, 10]) {
      expect((await store.list({ limit })).map(({ name }) => name)).toEqual(names.slice(0, limit));
    }
  });

  describe('where requests fail', () => {
    const slowDown = { ...errorAnswer(503, 'SlowDown', 'Please reduce your request rate.') };

    it.each([500, 502, 503, 504, 429])('tries again after a %i, twice at most', async (status) => {
      const log = recordingLog();
      const store = await openStore(blobSettings({ log, clock: hastyClock() }));
      s3.next({ status });
      s3.next({ status });
      const file = await store.put(contentOf(bytes), 'image/png');
      expect((await keptIn(store, file)).equals(bytes)).toBe(true);
      expect(log.lines).toEqual([]);
    });

    it('tries again after a connection that broke off before the answer, with the whole picture', async () => {
      const store = await openStore(blobSettings({ clock: hastyClock() }));
      for (const cut of ['before_headers', 'before_headers'] as const) s3.next({ cut });
      const file = await store.put(contentOf(bytes.subarray(0, 100_000), bytes.subarray(100_000)), 'image/png');
      s3.next({ cut: 'before_headers' });
      expect((await keptIn(store, file)).equals(bytes)).toBe(true);
      s3.next({ cut: 'before_headers' });
      expect(await store.list({ limit: 10 })).toHaveLength(1);
      s3.next({ cut: 'before_headers' });
      await store.remove(file);
      expect(await store.open(file)).toBeUndefined();
    });

    it('is overloaded when it goes on, and removes what may be there all the same', async () => {
      const log = recordingLog();
      const store = await openStore(blobSettings({ log, clock: hastyClock() }));
      requests();
      for (let tries = 1; tries <= 3; tries += 1) s3.next(slowDown);
      await expect(store.put(contentOf(bytes), 'image/png')).rejects.toMatchObject({
        code: 'overloaded',
        status: 503,
        message: 'The picture cannot be stored right now.',
        cause: { message: 'PUT was answered with 503 SlowDown: Please reduce your request rate.' },
      });
      await removed();
      expect(requests().map((request) => request.split(' ')[0])).toEqual(['PUT', 'PUT', 'PUT', 'DELETE']);
      expect(await store.list({ limit: 10 })).toEqual([]);
      await store.close();
    });

    it('tells the log once, and once more when it is over', async () => {
      const log = recordingLog();
      const store = await openStore(blobSettings({ log, clock: hastyClock() }));
      s3.always(slowDown);
      for (let calls = 0; calls < 3; calls += 1) {
        await expect(store.list({ limit: 1 })).rejects.toMatchObject({ code: 'overloaded' });
      }
      s3.always(undefined);
      await store.list({ limit: 1 });
      const error = 'GET was answered with 503 SlowDown: Please reduce your request rate.';
      expect(log.lines).toEqual([
        { level: 'warn', message: 'the image bucket fails', fields: { bucket: 'pictures', error } },
        { level: 'info', message: 'the image bucket works again', fields: { bucket: 'pictures' } },
      ]);
    });

    it('does not try again when it is refused: a bucket that is not there', async () => {
      const log = recordingLog();
      const store = await openPlace(s3.place().replace('//pictures/', '//nowhere/'), blobSettings({ log }));
      requests();
      await expect(store.put(contentOf(bytes), 'image/png')).rejects.toMatchObject({ code: 'overloaded' });
      expect(requests()).toHaveLength(1);
      expect(log.lines).toMatchObject([{ level: 'warn', fields: { error: expect.stringContaining('NoSuchBucket') } }]);
      for (const work of [() => store.open(`${'A'.repeat(32)}.png`), () => store.list({ limit: 1 })]) {
        await expect(work()).rejects.toMatchObject({ code: 'overloaded' });
      }
    });

    it('does not try again when it is refused: keys that are wrong, which nobody gets to see', async () => {
      const log = recordingLog();
      const wrong = { ...blobSettings().credentials, secretAccessKey: new Secret('a-wrong-secret-key') };
      const credentials = { accessKeyId: new Secret(s3Keys.access_key_id), sessionToken: undefined, ...wrong };
      const store = await openStore(blobSettings({ log, credentials }));
      requests();
      for (const work of [() => store.list({ limit: 1 }), () => store.open(`${'A'.repeat(32)}.png`)]) {
        await expect(work()).rejects.toMatchObject({ code: 'overloaded', status: 503 });
      }
      expect(requests()).toHaveLength(2);
      expect(log.lines).toHaveLength(1);
      expect(JSON.stringify(log.lines)).toContain('403');
      s3.next({ ...errorAnswer(403, 'InvalidAccessKeyId', `There is no ${s3Keys.access_key_id}.`) });
      const refused = await store.list({ limit: 1 }).catch((error: unknown) => error);
      expect(String((refused as Error).cause)).toBe(
        'S3Failure: GET was answered with 403 InvalidAccessKeyId: There is no [redacted].',
      );
    });

    it('says which region the bucket is in', async () => {
      const store = await openStore();
      s3.next({
        ...errorAnswer(301, 'PermanentRedirect', 'Use another endpoint.'),
        headers: { 'x-amz-bucket-region': 'eu-north-1', location: 'http://127.0.0.1:1/' },
      });
      const refused = await store.list({ limit: 1 }).catch((error: unknown) => error);
      expect(String((refused as Error).cause)).toContain('(the bucket is in the region eu-north-1)');
    });

    it('does not wait for ever for an answer, and does not begin again', async () => {
      const timed = manualTimers();
      const store = await openStore(blobSettings({ clock: timed.clock }));
      requests();
      s3.next({ hold: new Promise(() => undefined) });
      const listing = store.list({ limit: 1 });
      await s3.until(() => s3.entries.at(-1)?.fate === 'open');
      timed.fire();
      await expect(listing).rejects.toMatchObject({
        code: 'overloaded',
        cause: { message: 'GET: no answer came in time' },
      });
      expect(requests()).toHaveLength(1);
      await s3.until(() => s3.entries.at(-1)?.fate === 'aborted');
    });

    it('does not wait for ever for the next part of a picture', async () => {
      const stalled = await startStalling(1000);
      const timed = manualTimers();
      const store = await openPlace(
        `s3://pictures/?endpoint=${originOf(stalled)}`,
        blobSettings({ clock: timed.clock }),
      );
      const blob = await store.open(`${'A'.repeat(32)}.png`);
      const chunks = blob?.read()[Symbol.asyncIterator]();
      const first = await chunks?.next();
      expect(first?.value).toHaveLength(1000);
      const second = chunks?.next();
      await timed.waiting();
      timed.fire();
      await expect(second).rejects.toMatchObject({ code: 'overloaded' });
      stalled.closeAllConnections();
      stalled.close();
    });

    it('fails rather than pass a cut object off as the picture', async () => {
      const store = await openStore();
      const file = await store.put(contentOf(bytes), 'image/png');
      s3.next({ cut: 'mid_body' });
      await expect(keptIn(store, file)).rejects.toMatchObject({ code: 'overloaded' });
      const blob = await store.open(file);
      for (const script of [{ cut: 'mid_body' }, { truncate: true }] as const) {
        s3.next(script);
        const part = collect(blob?.read({ start: 0, end: 200_000 }) ?? nothing());
        await expect(part).rejects.toMatchObject({ code: 'overloaded' });
      }
      await blob?.close();
    });

    it('stops when the caller has left, in the middle of a try or between two', async () => {
      const reason = new Error('the client went away');
      const store = await openStore();
      const leaving = new AbortController();
      s3.next({ hold: new Promise(() => undefined) });
      const putting = store.put(contentOf(bytes), 'image/png', { signal: leaving.signal });
      await s3.until(() => s3.entries.at(-1)?.fate === 'open');
      leaving.abort(reason);
      await expect(putting).rejects.toBe(reason);
      await removed();

      const sleeping = new AbortController();
      const clock: Clock = {
        ...systemClock,
        sleep: (ms, signal) => (sleeping.abort(reason), systemClock.sleep(ms, signal)),
      };
      s3.next({ status: 503 });
      const again = (await openStore(blobSettings({ clock }))).put(contentOf(bytes), 'image/png', {
        signal: sleeping.signal,
      });
      await expect(again).rejects.toBe(reason);
      await removed();
    });

    it('is not taken in by an answer that is no list, or a list that does not go on', async () => {
      const store = await openStore();
      const endless = '<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>';
      for (const body of ['<html>welcome</html>', '', endless, `<ListBucketResult>${' '.repeat(3_000_000)}`]) {
        s3.next({ status: 200, body });
        await expect(store.list({ limit: 10 })).rejects.toMatchObject({ code: 'overloaded' });
      }
    });
  });

  it('signs with a session token where there is one', async () => {
    const credentials = {
      accessKeyId: new Secret(s3Keys.access_key_id),
      secretAccessKey: new Secret(s3Keys.secret_access_key),
      sessionToken: new Secret('session-token'),
    };
    const store = await openStore(blobSettings({ credentials }));
    await store.list({ limit: 1 });
    expect(s3.entries.at(-1)?.headers).toMatchObject({
      'x-amz-security-token': 'session-token',
      authorization: expect.stringMatching(new RegExp(`/${s3Region}/s3/aws4_request.*x-amz-security-token`)),
    });
  });
});

/** Waits for nothing between two tries. */
function hastyClock(): Clock {
  return { ...systemClock, sleep: () => Promise.resolve() };
}

/** A clock whose timers go off when the test says so. */
function manualTimers() {
  const timers = new Set<() => void>();
  let changed = Promise.withResolvers<void>();
  const clock: Clock = {
    ...systemClock,
    timer(_milliseconds, callback) {
      timers.add(callback);
      changed.resolve();
      changed = Promise.withResolvers<void>();
      return { cancel: () => void timers.delete(callback) };
    },
  };
  return {
    clock,
    fire() {
      for (const callback of timers) callback();
    },
    /** Resolves when a timer runs. */
    async waiting() {
      while (timers.size === 0) await changed.promise;
    },
  };
}

/** A server that announces a picture and stops after so many bytes of it. */
async function startStalling(byteLength: number): Promise<Server> {
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'content-length': 100_000 });
    response.write(Buffer.alloc(byteLength));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
