import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { BlobStore } from '../../../src/blobs/blob-store.ts';
import { fileBlobStore } from '../../../src/blobs/file.ts';
import { collect } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import type { CacheConfig } from '../../../src/generated/stages/cache.ts';
import type { ImagePayload } from '../../../src/images/payload.ts';
import type { ReusedAnswer, Slots } from '../../../src/pipeline/exchange.ts';
import type { ImagesResponse } from '../../../src/pipeline/response.ts';
import { completeResult } from '../../../src/pipeline/result.ts';
import { anonymous, type Route } from '../../../src/pipeline/settings.ts';
import { Halt, type StageEnv } from '../../../src/pipeline/stage.ts';
import { memoryStore } from '../../../src/stores/memory.ts';
import type { Store } from '../../../src/stores/store.ts';
import { cache } from '../../../src/transforms/cache.ts';
import { advancingClock, blobSettings, type AdvancingClock } from '../../fixtures/blobs.ts';
import { makeAttempt, makeCall, makeExchange, makeRoute, makeStageEnv, makeTarget } from '../../fixtures/exchange.ts';
import { recordingLog, type RecordingLog } from '../runtime/recording-log.ts';

const config: CacheConfig = {
  ttl: 3_600_000,
  max_size: 1_000_000,
  max_answer_bytes: 100_000,
  scope: 'consumer',
  operations: ['generation', 'edition'],
  version: '1',
};
const down = (): Promise<never> => Promise.reject(new GatewayError('overloaded', 'The books are away.'));

let directory: string;
let clock: AdvancingClock;
let answers: BlobStore;
let store: Store;
let log: RecordingLog;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pinhole-cache-'));
  clock = advancingClock();
  answers = await fileBlobStore.open(directory, blobSettings({ clock }));
  store = await memoryStore.open('', clock);
  log = recordingLog();
});
afterEach(async () => {
  await answers.close();
  await rm(directory, { recursive: true });
});

interface Given {
  readonly config?: Partial<CacheConfig>;
  readonly store?: Partial<Store>;
  readonly answers?: Partial<BlobStore>;
  readonly route?: Partial<Route>;
  readonly signedForMs?: number;
}

/** A gateway with nothing but the stage, and what a call to it comes to: the text of the answer. */
function createGateway(given: Given = {}) {
  const route = makeRoute(given.route);
  const signer =
    given.signedForMs === undefined
      ? undefined
      : { lifetimeMs: given.signedForMs, sign: () => '', check: () => undefined };
  const env: StageEnv = makeStageEnv({
    route,
    clock,
    log,
    store: { ...store, ...given.store },
    answers: { ...answers, ...given.answers },
    spool: { directory, memoryBytes: 1000 },
    catalogue: { hosting: { publicUrl: 'https://gateway.test', path: '/files', signer } },
  });
  const stage = cache.create({ ...config, ...given.config }, env);

  interface Asked {
    readonly headers?: Readonly<Record<string, string>>;
    readonly text?: string;
    /** In what form the pictures go out, and what they were. */
    readonly form?: ImagesResponse['form'] | undefined;
    readonly payload?: ImagePayload;
  }
  return async function ask(prompt = 'a lighthouse', asked: Asked = {}) {
    const { headers = {}, text = 'made' } = asked;
    const form = 'form' in asked ? asked.form : 'b64_json';
    const payload = asked.payload ?? { kind: 'bytes', bytes: Buffer.from('picture') };
    let reused: ReusedAnswer | undefined;
    const slots: Pick<Slots, 'caller' | 'call' | 'candidates'> & Partial<Pick<Slots, 'result' | 'response'>> = {
      caller: anonymous,
      call: makeCall({ prompt }),
      candidates: [makeTarget()],
    };
    const exchange = makeExchange(
      {
        ...slots,
        result: completeResult({ created: 1, images: [{ payload }], usage: undefined, effective: {} }),
        response: { kind: 'images', form, framing: 'json', extras: [], passThrough: false } as const,
      },
      { route, log, request: { headers }, reuse: (answer) => void (reused = answer) },
    );
    const cacheOf = () => exchange.responseHeaders.get('x-pinhole-cache');
    const outcome = await stage(exchange);
    if (outcome instanceof Halt) {
      if (outcome.response.kind !== 'body' || outcome.response.body instanceof Uint8Array) throw new TypeError('bytes');
      const body = Buffer.from(await collect(outcome.response.body)).toString();
      await exchange.finish();
      return { cache: cacheOf(), body, age: exchange.responseHeaders.get('age'), reused };
    }
    exchange.attempts.push(makeAttempt({ costNanoUsd: 40, startedAtMs: clock.now(), answeredAtMs: clock.now() }));
    const body = Buffer.from(text);
    exchange.recorder()?.answer({ kind: 'body', status: 200, headers: {}, body }, exchange.responseHeaders);
    await exchange.finish();
    return { cache: cacheOf(), body: text, age: undefined, reused };
  };
}

const blobs = async (): Promise<number> => (await answers.list({ limit: 100 })).length;

describe('a kept answer', () => {
  it('is given until its time is over, and says how old it is', async () => {
    const ask = createGateway();
    expect(await ask()).toMatchObject({ cache: 'miss', reused: undefined });
    clock.advance(3_500_000);
    const reused = { kind: 'hit', entity: 'main', provider: 'openai', model: 'gpt-image-2', savedNanoUsd: 40 };
    expect(await ask()).toEqual({ cache: 'hit', body: 'made', age: '3500', reused });
    clock.advance(100_000);
    expect(await ask('a lighthouse', { text: 'made anew' })).toMatchObject({ cache: 'miss' });
    expect(await ask()).toMatchObject({ cache: 'hit', body: 'made anew', age: '0' });
  });

  it('is not given to whom it is too old, or not good for long enough', async () => {
    const ask = createGateway();
    await ask();
    clock.advance(60_000);
    const control = async (value: string) => (await ask('a lighthouse', { headers: { 'cache-control': value } })).cache;
    expect(await control('max-age=61, min-fresh=3000')).toBe('hit');
    expect(await control('min-fresh=3541')).toBe('miss');
    clock.advance(60_000);
    expect(await control('max-age=60')).toBe('miss');
    expect(await control('max-age=60')).toBe('hit');
    expect(await control('max-age=0')).toBe('miss');
  });

  it('is given no longer than the file says by now, whatever it said when it was made', async () => {
    await createGateway()('shortened');
    clock.advance(60_000);
    expect(await createGateway({ config: { ttl: 61_000 } })('shortened')).toMatchObject({ cache: 'hit' });
    expect(await createGateway({ config: { ttl: 60_000 } })('shortened')).toMatchObject({ cache: 'miss' });
  });

  it('is given no longer than its links are good', async () => {
    const link = { form: 'url' } as const;
    for (const given of [{ route: { imagesExpireAfterMs: 60_000 } }, { signedForMs: 60_000 }]) {
      const ask = createGateway(given);
      const name = JSON.stringify(given);
      await ask(name, link);
      clock.advance(50_000);
      expect(await ask(name)).toMatchObject({ cache: 'hit' });
      expect(await ask(name, { headers: { 'cache-control': 'min-fresh=20' } })).toMatchObject({ cache: 'miss' });
      await ask(`${name} as bytes`);
      clock.advance(60_000);
      expect(await ask(`${name} as bytes`)).toMatchObject({ cache: 'hit' });
    }
    const linksOnly = createGateway({ signedForMs: 60_000 });
    await linksOnly('signed', link);
    clock.advance(61_000);
    expect(await linksOnly('signed', link)).toMatchObject({ cache: 'miss' });
  });

  it('is none where it has links of a provider’s, of which nobody knows how long they are good', async () => {
    const ask = createGateway();
    const payload = { kind: 'link', url: 'https://provider.test/1.png', trust: 'response' } as const;
    for (const form of ['url', undefined] as const) {
      expect(await ask('linked', { form, payload })).toMatchObject({ cache: 'miss' });
      expect(await ask('linked', { form, payload })).toMatchObject({ cache: 'miss' });
    }
    expect(await blobs()).toBe(0);
  });

  it('takes its bytes with it when it makes room, or another takes its place', async () => {
    const ask = createGateway({ config: { max_size: 10 } });
    for (const prompt of ['a', 'b', 'c']) {
      await ask(prompt);
      clock.advance(1);
    }
    expect(await blobs()).toBe(2);
    await ask('c', { headers: { 'cache-control': 'no-cache' } });
    expect(await blobs()).toBe(2);
    await ask('large', { text: 'more than there is room for' });
    expect(await blobs()).toBe(2);
    expect((await ask('large')).cache).toBe('miss');
  });

  it('is made anew when its bytes are gone', async () => {
    const ask = createGateway();
    await ask();
    for (const { name } of await answers.list({ limit: 10 })) await answers.remove(name);
    expect(await ask('a lighthouse', { text: 'made anew' })).toMatchObject({ cache: 'miss' });
    expect(await ask()).toMatchObject({ cache: 'hit', body: 'made anew' });
  });
});

describe('a cache that fails', () => {
  it('is passed over, which the log tells', async () => {
    const reading = createGateway({ store: { findAnswer: down } });
    expect(await reading()).toMatchObject({ cache: 'miss', body: 'made' });
    expect(await createGateway()()).toMatchObject({ cache: 'hit' });
    expect(await createGateway({ answers: { open: down } })()).toMatchObject({ cache: 'miss' });
    expect(log.lines.filter(({ level }) => level === 'error')).toHaveLength(2);
  });

  it('keeps nothing, neither bytes without an entry nor an entry without bytes', async () => {
    for (const given of [{ store: { indexAnswer: down } }, { answers: { put: down } }]) {
      const ask = createGateway(given);
      expect([(await ask()).cache, (await ask()).cache]).toEqual(['miss', 'miss']);
      expect(await blobs()).toBe(0);
    }
    expect(log.lines.filter(({ level }) => level === 'warn')).toHaveLength(4);
  });
});
