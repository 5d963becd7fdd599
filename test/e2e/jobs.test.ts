import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startFakeJudge, type FakeJudge } from '../fixtures/fake-judge.ts';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { openAiEntity, sandboxEntity } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { ask, begin, jobsConfig, look, post, until } from '../fixtures/jobs.ts';
import { openAiClient, picturesOf } from '../fixtures/openai-client.ts';
import { randomPng, sha256 } from '../fixtures/pictures.ts';
import { formOf, jsonOf } from '../fixtures/setting.ts';
import { ledgerRows } from '../fixtures/usage.ts';

const secret = 'whsec_c2VjcmV0LW9mLWpvYnMtMDAwMDAwMDE=';
const keys = { alice: 'sk-job-alice', bob: 'sk-job-bob' };
const as = (id: keyof typeof keys) => ({ authorization: `Bearer ${keys[id]}` });
const alice = as('alice');
const hold = () => Promise.withResolvers<void>();
const overs = ['succeeded', 'failed', 'cancelled'];

describe('a call with Prefer: respond-async [X14]', () => {
  let fake: FakeOpenAi;
  let hook: FakeJudge;
  let gateway: Gateway;

  beforeAll(async () => {
    [fake, hook] = await Promise.all([startFakeOpenAi(), startFakeJudge()]);
    gateway = await startGateway({
      secrets: [secret],
      config: jobsConfig([openAiEntity(fake), sandboxEntity()], {
        consumers: Object.entries(keys).map(([id, key]) => ({ id, key })),
        aliases: {
          turns: { strategy: 'round_robin', targets: ['openai-main/gpt-image-1', 'openai-main/gpt-image-1.5'] },
        },
        budgets: [{ id: 'all', limit: { images: 100_000 }, window: 'lifetime' }],
        jobs: {
          concurrency: 2,
          queue: 2,
          timeout: '20s',
          max_answer_bytes: '12MiB',
          webhook: { url: `${hook.origin}/webhook`, secret },
        },
        server: { listen: '127.0.0.1:0', timeouts: { request: '1s', drain: '1s' } },
      }),
    });
  });
  afterAll(async () => {
    try {
      await gateway[Symbol.asyncDispose]();
    } finally {
      await Promise.all([fake.close(), hook.close()]);
    }
  });

  const done = (id: string) => until(gateway, id, overs, alice);

  it('is answered at once, asked after while it runs, and has the result that waiting would have had', async () => {
    const { promise, resolve } = hold();
    fake.next({ hold: promise });
    const before = fake.requests.length;
    const answer = await post(gateway, { n: 2, size: '1024x1024' }, { ...alice, 'x-request-id': 'job-request-1' });
    expect(answer.status).toBe(202);
    expect(answer.headers.get('preference-applied')).toBe('respond-async');
    expect(answer.headers.get('retry-after')).toBe('1');
    const { id, ...job } = await jsonOf(answer);
    expect(answer.headers.get('location')).toBe(`/v1/images/jobs/${String(id)}`);
    expect(job).toEqual({
      object: 'image.job',
      status: 'queued',
      created_at: expect.any(Number),
      started_at: null,
      finished_at: null,
    });
    await fake.until(() => fake.requests.length === before + 1);
    const asked = await ask(gateway, String(id), alice);
    expect([asked.status, asked.headers.get('retry-after')]).toEqual([200, '1']);
    expect(await jsonOf(asked)).toMatchObject({ id, status: 'running', started_at: expect.any(Number) });
    resolve();
    const over = await done(String(id));
    expect(over).toMatchObject({ status: 'succeeded', finished_at: expect.any(Number) });
    expect(over.result).toMatchObject({ created: expect.any(Number), size: '1024x1024', usage: expect.any(Object) });
    expect((over.result as { data: unknown[] }).data).toHaveLength(2);
    const told = await ask(gateway, String(id), alice);
    expect(told.headers.get('x-pinhole-entity')).toBe('openai-main');
    expect(told.headers.get('content-length')).toBe(String((await told.arrayBuffer()).byteLength));
    expect(told.headers.get('retry-after')).toBeNull();
    const rows = (await ledgerRows(gateway)).filter(({ request_id: request }) => request === 'job-request-1');
    expect(rows).toMatchObject([{ consumer: 'alice', state: 'settled', status: 200, images: 2, attempts: 1 }]);
  });

  it('runs for longer than a request may take, and sends the provider what was sent here', async () => {
    const { promise, resolve } = hold();
    fake.next({ hold: promise });
    const large = randomPng(3_000_000);
    const before = fake.requests.length;
    const answer = await fetch(`${gateway.url}/v1/images/edits`, {
      method: 'POST',
      headers: { prefer: 'wait=5, Respond-Async; x=1', ...alice },
      body: formOf({ prompt: 'in a form', image: large }),
    });
    const { id } = await jsonOf(answer);
    expect(answer.status).toBe(202);
    await fake.until(() => fake.requests.length === before + 1);
    const sent = performance.now();
    // Longer than `server.timeouts.request`.
    await expect.poll(() => performance.now() - sent, { timeout: 5_000 }).toBeGreaterThan(1_300);
    resolve();
    expect(await done(String(id))).toMatchObject({ status: 'succeeded' });
    expect(fake.requests[before]?.members).toMatchObject({ prompt: 'in a form' });
    expect(fake.requests[before]?.pictures.map(({ sha256: digest }) => digest)).toContain(sha256(large));
  });

  it('is refused at once when something is wrong with it, and made as ever where nobody asks for a job', async () => {
    const code = async (body: object, headers = {}) => {
      const answer = await post(gateway, body, { ...alice, ...headers });
      const { error } = await jsonOf(answer);
      return [answer.status, (error as { code: string }).code, (error as { param: string }).param];
    };
    expect(await code({ prompt: 7 })).toEqual([400, 'invalid_value', 'prompt']);
    expect(await code({ model: 'nobody###x' })).toEqual([404, 'model_not_found', 'model']);
    expect(await code({ stream: true })).toEqual([400, 'invalid_value', 'stream']);
    expect(await code({ response_format: 'b64_ephemeral' })).toEqual([400, 'invalid_value', 'response_format']);
    expect((await post(gateway)).status).toBe(401);
    for (const prefer of ['respond-asynchronously', 'wait=10', 'handling="respond-async"']) {
      const answer = await post(gateway, {}, { ...alice, prefer });
      expect([answer.status, answer.headers.get('preference-applied')]).toEqual([200, null]);
      await answer.arrayBuffer();
    }
  });

  it('is its consumer’s: for others there is no such job', async () => {
    const id = await begin(gateway, {}, alice);
    await done(id);
    for (const [name, method] of [
      [id, 'GET'],
      [id, 'DELETE'],
      [`${id}x`, 'GET'],
      ['%00', 'GET'],
    ] as const) {
      const answer = await ask(gateway, name, as('bob'), method);
      expect([answer.status, await jsonOf(answer)]).toMatchObject([404, { error: { code: 'job_not_found' } }]);
    }
    expect((await ask(gateway, id)).status).toBe(401);
    expect((await ask(gateway, id, alice, 'POST')).status).toBe(405);
    expect((await look(gateway, id, alice)).status).toBe('succeeded');
  });

  it('tells of a failure as the answer would have', async () => {
    const error = { message: 'Not that.', type: 'invalid_request_error', code: 'moderation_blocked', param: null };
    fake.next({ status: 400, body: { error } });
    const job = await done(await begin(gateway, {}, alice));
    expect(job).toMatchObject({
      status: 'failed',
      error: { message: 'Not that.', code: 'content_policy_violation', status: 400, retry: false },
    });
    expect(job).not.toHaveProperty('result');
    fake.next({ cut: 'mid_body' });
    const cut = await done(await begin(gateway, {}, alice));
    expect(cut.error).toMatchObject({ type: 'upstream_error', status: 502, retry: false });
  });

  it('has a raw picture as a data URI, and links under the name by which the gateway was called', async () => {
    const raw = await done(await begin(gateway, { model: 'sandbox/sandbox-1' }, { ...alice, accept: 'image/png' }));
    expect(String(raw.result).slice(0, 30)).toBe('data:image/png;base64,iVBORw0K');
    const linked = await done(await begin(gateway, { response_format: 'url' }, alice));
    const { data } = linked.result as { data: { url: string }[] };
    expect(data[0]?.url.startsWith(`${gateway.url}/v1/images/files/`)).toBe(true);
    expect((await fetch(String(data[0]?.url))).status).toBe(200);
  });

  it('fails when its result is larger than may be kept', async () => {
    fake.draw(randomPng(10_000_000));
    try {
      const job = await done(await begin(gateway, {}, alice));
      expect(job).toMatchObject({ status: 'failed', error: { code: 'overloaded', retry: false } });
    } finally {
      fake.draw(undefined);
    }
  });

  it('takes one turn of an alias, as a call does', async () => {
    const before = fake.requests.length;
    for (let count = 0; count < 4; count += 1) await done(await begin(gateway, { model: 'turns' }, alice));
    const models = fake.requests.slice(before).map(({ members }) => members['model']);
    expect(models).toEqual(['gpt-image-1', 'gpt-image-1.5', 'gpt-image-1', 'gpt-image-1.5']);
  });

  it('is one job however often it is sent under one Idempotency-Key', async () => {
    const billed = fake.billed;
    const headers = { ...alice, 'idempotency-key': 'order-4711' };
    const id = await begin(gateway, {}, headers);
    const again = await post(gateway, {}, headers);
    expect([again.status, again.headers.get('location'), again.headers.get('preference-applied')]).toEqual([
      202,
      `/v1/images/jobs/${id}`,
      'respond-async',
    ]);
    expect(await jsonOf(again)).toMatchObject({ id });
    await done(id);
    expect(await begin(gateway, {}, headers)).toBe(id);
    expect(fake.billed - billed).toBe(1);
  });

  it('waits in a queue that is bounded, and is cancelled while it waits and while it runs', async () => {
    const { promise, resolve } = hold();
    fake.always({ hold: promise });
    const before = fake.requests.length;
    try {
      const running = [await begin(gateway, {}, alice), await begin(gateway, {}, alice)];
      await fake.until(() => fake.requests.length === before + 2);
      const waiting = [await begin(gateway, {}, alice), await begin(gateway, {}, alice)];
      expect(await (await fetch(`${gateway.adminUrl}/api/status`)).json()).toMatchObject({
        jobs: { queued: 2, running: 2 },
      });
      const full = await post(gateway, {}, alice);
      expect([full.status, full.headers.get('retry-after'), full.headers.get('x-should-retry')]).toEqual([
        429,
        '10',
        'true',
      ]);
      for (const id of [waiting[0], running[0]]) {
        const answer = await ask(gateway, String(id), alice, 'DELETE');
        expect([answer.status, await jsonOf(answer)]).toMatchObject([
          200,
          { id, status: 'cancelled', finished_at: expect.any(Number) },
        ]);
      }
      await fake.until(() => fake.requests[before]?.fate === 'aborted');
      // Its place is the next one's.
      await fake.until(() => fake.requests.length === before + 3);
      resolve();
      const left = [String(running[1]), String(waiting[1])];
      for (const id of left) expect((await done(id)).status).toBe('succeeded');
      expect(fake.requests).toHaveLength(before + 3);
      expect((await look(gateway, String(running[0]), alice)).status).toBe('cancelled');
      const over = await ask(gateway, String(left[0]), alice, 'DELETE');
      expect(await jsonOf(over)).toMatchObject({ status: 'succeeded' });
      await expect.poll(() => ledgerRows(gateway, 'state=reserved')).toEqual([]);
    } finally {
      fake.always(undefined);
      resolve();
    }
  });

  it('tells a webhook of its end, signed, without the picture, and again until it is heard', async () => {
    const about = (id: string) => hook.requests.filter(({ headers }) => headers['webhook-id'] === `msg_${id}`);
    hook.always({ status: 503 });
    const id = await begin(gateway, {}, alice);
    await hook.until(() => about(id)[0]?.fate === 'answered', 20_000);
    hook.always(undefined);
    await hook.until(() => about(id)[1]?.fate === 'answered', 20_000);
    const [first, second] = about(id);
    const heard = performance.now();
    expect(second?.document).toEqual({
      id: `msg_${id}`,
      object: 'event',
      type: 'image.job.succeeded',
      created_at: expect.any(Number),
      data: {
        id,
        object: 'image.job',
        status: 'succeeded',
        created_at: expect.any(Number),
        started_at: expect.any(Number),
        finished_at: expect.any(Number),
      },
    });
    expect(second?.document).toEqual(first?.document);
    expect(second?.headers['webhook-id']).toBe(`msg_${id}`);
    const { headers, body = Buffer.alloc(0) } = second ?? {};
    const signed = createHmac('sha256', Buffer.from(secret.slice(6), 'base64'))
      .update(`msg_${id}.${String(headers?.['webhook-timestamp'])}.`)
      .update(body)
      .digest('base64');
    expect(headers?.['webhook-signature']).toBe(`v1,${signed}`);

    fake.next({ status: 400, body: { error: { message: 'No.', code: 'bad' } } });
    const failing = await begin(gateway, {}, alice);
    await hook.until(() => about(failing)[0]?.fate === 'answered', 20_000);
    expect(about(failing)[0]?.document['type']).toBe('image.job.failed');
    // Longer than the look at what is to be told takes to come round.
    await expect.poll(() => performance.now() - heard, { timeout: 5_000 }).toBeGreaterThan(2_200);
    expect([about(id).length, about(failing).length]).toEqual([2, 1]);
  });

  it('leaves the SDK of OpenAI as it is for calls that wait', async () => {
    const client = openAiClient(gateway, { apiKey: keys.alice });
    expect(picturesOf(await client.images.generate({ prompt: 'now' }))).toHaveLength(1);
  });
});
