import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startFakeJudge, type FakeJudge } from '../fixtures/fake-judge.ts';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { openAiEntity, openAiRoutes } from '../fixtures/gateway-config.ts';
import { startGateway, startGatewayIn, type Gateway } from '../fixtures/gateway.ts';
import { ask, begin, jobRoute, jobsConfig, look, until } from '../fixtures/jobs.ts';
import { ledgerRows } from '../fixtures/usage.ts';
import { startFakeLuma } from '../fixtures/vendors/fake-luma.ts';
import { upstreamKey, type FakeVendor } from '../fixtures/vendors/fake-vendor.ts';

const secret = 'a-secret-of-webhooks-0815';
const keys = { alice: 'sk-job-alice', bob: 'sk-job-bob' };
const as = (id: keyof typeof keys) => ({ authorization: `Bearer ${keys[id]}` });
const alice = as('alice');
const overs = ['succeeded', 'failed', 'cancelled'];
const hold = () => Promise.withResolvers<void>();

let fake: FakeOpenAi;
let hook: FakeJudge;

beforeEach(async () => {
  [fake, hook] = await Promise.all([startFakeOpenAi(), startFakeJudge()]);
});
afterEach(() => Promise.all([fake.close(), hook.close()]));

const config = (more: object = {}, drain = '10s') =>
  jobsConfig([openAiEntity(fake)], {
    state: 'sqlite:./data/pinhole.db',
    consumers: Object.entries(keys).map(([id, key]) => ({ id, key })),
    budgets: [{ id: 'all', limit: { images: 100 }, window: 'lifetime' }],
    jobs: { concurrency: 1, webhook: { url: `${hook.origin}/webhook`, secret } },
    server: { listen: '127.0.0.1:0', timeouts: { drain } },
    ...more,
  });

const told = (id: string): unknown[] =>
  hook.requests.filter(({ headers }) => headers['webhook-id'] === `msg_${id}`).map(({ document }) => document['type']);
const isTold = (id: string, type: string) => hook.until(() => told(id).includes(type), 20_000);

/** One job that the provider is at work on, and one that waits for its turn. */
async function beginTwo(gateway: Gateway): Promise<{ sent: string; waiting: string; release: () => void }> {
  const { promise, resolve } = hold();
  fake.next({ hold: promise });
  const sent = await begin(gateway, { prompt: 'first' }, alice);
  await fake.until(() => fake.requests.length === 1);
  const waiting = await begin(gateway, { prompt: 'second' }, alice);
  return { sent, waiting, release: resolve };
}

const prompts = () => fake.requests.map(({ members }) => members['prompt']);

describe('a job and the end of its gateway [X14]', () => {
  it('is finished while the gateway drains, or run after the next start, and billed once', async () => {
    const first = await startGateway({ config: config(), secrets: [secret] });
    const { sent, waiting, release } = await beginTwo(first);
    first.signal('SIGTERM');
    await first.output.line(({ message }) => message === 'stops listening', 10_000);
    release();
    expect(await first.output.exit(20_000)).toBe(0);
    expect(prompts()).toEqual(['first']);
    const kept = await Promise.all(
      (await readdir(first.dir, { recursive: true, withFileTypes: true }))
        .filter((entry) => entry.isFile() && entry.parentPath !== first.dir)
        .map((entry) => readFile(join(entry.parentPath, entry.name), 'latin1')),
    );
    expect(kept.some((text) => text.includes('second'))).toBe(true);
    expect(kept.some((text) => text.includes(keys.alice))).toBe(false);

    await using second = await startGatewayIn(first.dir, { config: config(), secrets: [secret] });
    expect((await until(second, waiting, overs, alice)).status).toBe('succeeded');
    const { status, result } = await look(second, sent, alice);
    expect([status, (result as { data: unknown[] }).data.length]).toEqual(['succeeded', 1]);
    expect([prompts(), fake.billed]).toEqual([['first', 'second'], 2]);
    const rows = await ledgerRows(second);
    expect(rows.map(({ state, images }) => [state, images])).toEqual([
      ['settled', 1],
      ['settled', 1],
    ]);
    for (const id of [sent, waiting]) await isTold(id, 'image.job.succeeded');
  });

  it('is not sent again when the gateway stops before its answer is there, nor is what waits lost', async () => {
    const first = await startGateway({ config: config({}, '300ms'), secrets: [secret] });
    const { sent, waiting, release } = await beginTwo(first);
    first.signal('SIGTERM');
    expect(await first.output.exit(20_000)).toBe(0);
    release();

    await using second = await startGatewayIn(first.dir, { config: config(), secrets: [secret] });
    expect(await look(second, sent, alice)).toMatchObject({
      status: 'failed',
      error: { status: 503, retry: false, message: expect.stringContaining('may have made') },
    });
    expect((await until(second, waiting, overs, alice)).status).toBe('succeeded');
    expect(prompts()).toEqual(['first', 'second']);
    const rows = await ledgerRows(second);
    expect(rows.map(({ images, state }) => [images, state])).toEqual([
      [1, 'estimated'],
      [1, 'settled'],
    ]);
    await isTold(sent, 'image.job.failed');
    expect(told(sent)).toEqual(['image.job.failed']);
  });

  it('is never sent twice over a kill: what was sent has failed, what was not is run', async () => {
    const first = await startGateway({ config: config(), secrets: [secret] });
    const { sent, waiting, release } = await beginTwo(first);
    const gone = await begin(first, { prompt: 'third' }, as('bob'));
    await first.kill();
    release();

    const consumers = [
      { id: 'alice', key: keys.alice },
      { id: 'bob', key: keys.bob, enabled: false },
    ];
    await using second = await startGatewayIn(first.dir, { config: config({ consumers }), secrets: [secret] });
    expect((await until(second, waiting, overs, alice)).status).toBe('succeeded');
    expect(await look(second, sent, alice)).toMatchObject({
      status: 'failed',
      started_at: expect.any(Number),
      finished_at: expect.any(Number),
      error: { code: 'upstream_error', status: 502, retry: false, message: expect.stringContaining('cut off') },
    });
    for (const id of [sent, gone]) await isTold(id, 'image.job.failed');
    // Its consumer may not call any more.
    const notice = hook.requests.find(({ headers }) => headers['webhook-id'] === `msg_${gone}`);
    expect(notice?.document).toMatchObject({ data: { error: { code: 'invalid_api_key', status: 401 } } });
    expect(prompts()).toEqual(['first', 'second']);
    expect((await ledgerRows(second)).map(({ state }) => state)).toEqual(['estimated', 'settled']);
    expect(await (await fetch(`${second.adminUrl}/api/status`)).json()).toMatchObject({
      jobs: { queued: 0, running: 0 },
    });
  });

  it('is shared by the gateways of one state: cancelled through any, and taken over by one', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'pinhole-jobs-'));
    try {
      const shared = config({ state: `sqlite:${join(folder, 'state.db')}`, images: `file:${join(folder, 'images')}` });
      const first = await startGateway({ config: shared, secrets: [secret] });
      const { sent, waiting, release } = await beginTwo(first);
      await using second = await startGateway({ config: shared, secrets: [secret] });
      // There is room for one more in the other one.
      expect((await until(second, waiting, overs, alice)).status).toBe('succeeded');
      expect((await look(second, sent, alice)).status).toBe('running');
      expect((await ask(second, sent, alice, 'DELETE')).status).toBe(200);
      await fake.until(() => fake.requests[0]?.fate === 'aborted', 20_000);
      expect((await look(first, sent, alice)).status).toBe('cancelled');
      release();
      expect(prompts()).toEqual(['first', 'second']);
      await first.stop();
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  describe('at a provider that can be asked after it', () => {
    let luma: FakeVendor;

    beforeEach(async () => {
      luma = await startFakeLuma();
    });
    afterEach(() => luma.close());

    const stages = [
      'provider-transform',
      { plugin: 'dispatch', config: { poll_interval: '700ms', poll_interval_max: '700ms' } },
      'response-normalise',
    ];
    const images = ['authenticate', 'parse', 'route-resolve', 'constrain', 'respond-async', 'budget'];
    const polled = (drain = '200ms') => {
      const connection = { base_url: `${luma.origin}/dream-machine/v1`, token: upstreamKey };
      const options = { generation: { model: 'photon-1' } };
      return {
        ...config({}, drain),
        image_models: [{ id: 'luma', provider: 'luma', config: { connection, options } }],
        pipelines: { images: [...images, { plugin: 'fallback', config: { stages } }] },
        routes: [...openAiRoutes(['luma']), jobRoute],
        image_urls: { allow: [luma.origin] },
      };
    };
    const submissions = () => luma.to(/\/generations\/image$/);
    const isAsked = (times: number) =>
      luma.until(
        () => luma.requests.filter(({ method, fate }) => method === 'GET' && fate === 'answered').length >= times,
      );

    it.each(['SIGTERM', 'SIGKILL'] as const)('is gone on with after %s, made once and billed once', async (signal) => {
      const first = await startGateway({ config: polled(), secrets: [secret] });
      const id = await begin(first, { prompt: 'a lighthouse' }, alice);
      await isAsked(1);
      if (signal === 'SIGKILL') await first.kill();
      else {
        first.signal(signal);
        expect(await first.output.exit(20_000)).toBe(0);
      }

      await using second = await startGatewayIn(first.dir, { config: polled('5s'), secrets: [secret] });
      const job = await until(second, id, overs, alice);
      expect(job).toMatchObject({ status: 'succeeded', result: { data: [expect.any(Object)] } });
      expect(submissions()).toHaveLength(1);
      expect(luma.requests.filter(({ method }) => method === 'DELETE')).toEqual([]);
      const rows = await ledgerRows(second);
      expect(rows.map(({ state, images: count }) => [state, count])).toEqual([
        ['released', 0],
        ['settled', 1],
      ]);
      const { budgets } = (await (await fetch(`${second.adminUrl}/api/budgets`)).json()) as { budgets: unknown[] };
      expect(JSON.stringify(budgets)).toMatch(/"used":1\b/);
      await isTold(id, 'image.job.succeeded');
    });

    it('is called off there when it is cancelled', async () => {
      await using gateway = await startGateway({ config: polled('5s'), secrets: [secret] });
      const id = await begin(gateway, { prompt: 'an endless sea' }, alice);
      await isAsked(1);
      expect((await ask(gateway, id, alice, 'DELETE')).status).toBe(200);
      await luma.until(() => luma.requests.some(({ method, fate }) => method === 'DELETE' && fate === 'answered'));
      expect((await look(gateway, id, alice)).status).toBe('cancelled');
      await expect.poll(async () => (await ledgerRows(gateway)).map(({ state }) => state)).toEqual(['estimated']);
    });
  });
});
