import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { gatewayConfig, openAiEntity, sandboxEntity } from '../fixtures/gateway-config.ts';
import { startGateway, startGatewayIn, type Gateway } from '../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../fixtures/openai-client.ts';
import { png, randomPng, sha256 } from '../fixtures/pictures.ts';
import { postgresPassword, startPostgres, type PostgresServer } from '../fixtures/postgres.ts';
import { s3Keys, startS3 } from '../fixtures/s3.ts';
import { formOf, jsonOf, postJson, startSetting, type Setting } from '../fixtures/setting.ts';
import { ledgerRows } from '../fixtures/usage.ts';

const patience = { timeout: 20_000 };
const replayHeader = 'x-pinhole-idempotent-replay';

const newKey = (): string => randomUUID();
const withKey = (key: string) => ({ headers: { 'Idempotency-Key': key } });
/** A pause of the provider that the test ends. */
const hold = () => Promise.withResolvers<void>();

async function generate(
  { url }: Pick<Gateway, 'url'>,
  key: string,
  body: object = {},
  headers: Readonly<Record<string, string>> = {},
  init: RequestInit = {},
): Promise<{ status: number; headers: Headers; text: string; code: unknown }> {
  const document = { prompt: 'a lighthouse', ...body };
  const answer = await postJson(`${url}/v1/images/generations`, document, { 'idempotency-key': key, ...headers }, init);
  const text = await answer.text();
  const code: unknown = /"code":"(\w+)"/.exec(text)?.[1];
  return { status: answer.status, headers: answer.headers, text, code };
}

/** A call whose client leaves as soon as the provider is at work. */
async function leave(setting: Pick<Setting, 'gateway' | 'fake'>, key: string, body: object = {}): Promise<void> {
  const { gateway, fake } = setting;
  const before = fake.requests.length;
  const leaving = new AbortController();
  const call = generate(gateway, key, body, {}, { signal: leaving.signal }).catch(() => 'left');
  await fake.until(() => fake.requests.length === before + 1);
  leaving.abort();
  expect(await call).toBe('left');
}

const gone = ({ output }: Gateway) => output.lines().filter((line) => line['client_gone'] === true);

describe('a call under a key', () => {
  let setting: Setting;

  beforeAll(async () => {
    setting = await startSetting({
      config: (fake) =>
        gatewayConfig([openAiEntity(fake), sandboxEntity()], {
          consumers: ['alice', 'bob'].map((id) => ({ id, key: `sk-idem-${id}` })),
          budgets: [{ id: 'all', limit: { images: 100_000 }, window: 'lifetime' }],
        }),
    });
  });
  afterAll(() => setting.stop());

  const as = (id: string) => ({ authorization: `Bearer sk-idem-${id}` });
  const alice = (key: string, body: object = {}, headers = {}) =>
    generate(setting.gateway, key, body, { ...as('alice'), ...headers });
  const billedBy = async (work: () => Promise<unknown>): Promise<number> => {
    const before = setting.fake.billed;
    await work();
    return setting.fake.billed - before;
  };

  it('is billed once when the client of OpenAI’s SDK times out and tries again by itself [X03]', async () => {
    const { gateway, fake } = setting;
    const client = openAiClient(gateway, { apiKey: 'sk-idem-alice', maxRetries: 2 });
    const { promise, resolve } = hold();
    fake.next({ hold: promise });
    const before = fake.requests.length;
    const billed = await billedBy(async () => {
      let tries = 0;
      const counting: typeof fetch = (...given) => {
        tries += 1;
        return fetch(...given);
      };
      const patientClient = client.withOptions({ fetch: counting });
      const call = patientClient.images.generate({ prompt: 'slow' }, { ...withKey(newKey()), timeout: 3_000 });
      // The first try has timed out by then, and the second one waits for it.
      await expect.poll(() => tries, patience).toBe(2);
      resolve();
      expect(picturesOf(await call)).toHaveLength(1);
    });
    expect(billed).toBe(1);
    expect(fake.requests.length - before).toBe(1);
    await expect.poll(() => gone(gateway), patience).toMatchObject([{ status: 200, images: 1 }]);
  });

  it('has the same answer again, byte for byte, for a day, at no cost and with an id of its own', async () => {
    const key = newKey();
    const body = { prompt: 'a lighthouse', n: 2, size: '1024x1024' };
    const rows = (await ledgerRows(setting.gateway)).length;
    const billed = await billedBy(async () => {
      const first = await alice(key, body);
      expect([first.status, first.headers.get(replayHeader)]).toEqual([200, null]);
      // Of the members the order does not matter.
      const again = await alice(`"${key}"`, { size: '1024x1024', n: 2, prompt: 'a lighthouse' });
      expect([again.status, again.headers.get(replayHeader)]).toEqual([200, 'true']);
      expect(again.text).toBe(first.text);
      for (const name of ['content-type', 'x-pinhole-entity', 'x-pinhole-model', 'x-pinhole-attempts']) {
        expect(again.headers.get(name)).toBe(first.headers.get(name));
      }
      expect(again.headers.get('x-request-id')).not.toBe(first.headers.get('x-request-id'));
      expect(again.headers.get('content-length')).toBe(String(Buffer.byteLength(first.text)));
    });
    expect(billed).toBe(2);
    await expect.poll(() => ledgerRows(setting.gateway)).toHaveLength(rows + 1);
  });

  it('is made once for many who send it at the same time', async () => {
    const { fake } = setting;
    const { promise, resolve } = hold();
    fake.next({ hold: promise });
    const key = newKey();
    const before = fake.requests.length;
    const billed = await billedBy(async () => {
      const calls = Promise.all(Array.from({ length: 20 }, () => alice(key)));
      await fake.until(() => fake.requests.length > before);
      resolve();
      const answers = await calls;
      expect(new Set(answers.map(({ status, text }) => `${status} ${sha256(Buffer.from(text))}`)).size).toBe(1);
      expect(answers.filter(({ headers }) => headers.get(replayHeader) === 'true')).toHaveLength(19);
    });
    expect(billed).toBe(1);
  });

  it('is refused when the key has come with another request, also while that is under way', async () => {
    const key = newKey();
    const { promise, resolve } = hold();
    setting.fake.next({ hold: promise });
    const before = setting.fake.requests.length;
    const first = alice(key, { prompt: 'one' });
    await setting.fake.until(() => setting.fake.requests.length > before);
    const other = await alice(key, { prompt: 'two' });
    expect([other.status, other.code, other.headers.get('x-should-retry')]).toEqual([
      422,
      'idempotency_key_reused',
      'false',
    ]);
    expect(JSON.parse(other.text)).toMatchObject({ error: { param: 'idempotency-key' } });
    resolve();
    expect((await first).status).toBe(200);
    const variants = [
      [{ prompt: 'two' }, {}],
      [{ prompt: 'one', n: 2 }, {}],
      [{ prompt: 'one', own_member: { a: 1 } }, {}],
      [{ prompt: 'one' }, { accept: 'image/png' }],
    ] as const;
    for (const [body, headers] of variants) {
      expect(await alice(key, body, headers)).toMatchObject({ status: 422, code: 'idempotency_key_reused' });
    }
    expect(await alice(key, { prompt: 'one' })).toMatchObject({ status: 200 });
  });

  it('belongs to its consumer and its operation', async () => {
    const key = newKey();
    const billed = await billedBy(async () => {
      const ours = await alice(key, { prompt: 'ours' });
      const theirs = await generate(setting.gateway, key, { prompt: 'theirs' }, as('bob'));
      expect([ours.status, theirs.status, theirs.headers.get(replayHeader)]).toEqual([200, 200, null]);
      const edit = await fetch(`${setting.gateway.url}/v1/images/edits`, {
        method: 'POST',
        headers: { 'idempotency-key': key, ...as('alice') },
        body: formOf({ prompt: 'ours', image: png() }),
      });
      expect(edit.status).toBe(200);
      await edit.arrayBuffer();
    });
    expect(billed).toBe(3);
  });

  it('knows uploads by their bytes, whatever stands between them, small and spooled ones', async () => {
    const large = randomPng(3_000_000);
    const edit = async (key: string, image: Buffer) => {
      const answer = await fetch(`${setting.gateway.url}/v1/images/edits`, {
        method: 'POST',
        headers: { 'idempotency-key': key, ...as('alice') },
        body: formOf({ prompt: 'a', image }),
      });
      await answer.arrayBuffer();
      return [answer.status, answer.headers.get(replayHeader)];
    };
    for (const [image, other] of [
      [png(), png({ colour: [9, 8, 7, 255] })],
      [large, randomPng(3_000_000)],
    ] as const) {
      const key = newKey();
      expect(await edit(key, image)).toEqual([200, null]);
      expect(await edit(key, image)).toEqual([200, 'true']);
      expect(await edit(key, other)).toEqual([422, null]);
    }
  });

  it('goes on to its end when the client leaves, and its answer waits for the next one', async () => {
    const { gateway, fake } = setting;
    const key = newKey();
    const { promise, resolve } = hold();
    fake.next({ hold: promise });
    const before = fake.requests.length;
    const leaving = new AbortController();
    const billed = await billedBy(async () => {
      const call = generate(gateway, key, {}, as('alice'), { signal: leaving.signal }).catch(() => 'left');
      await fake.until(() => fake.requests.length > before);
      leaving.abort();
      expect(await call).toBe('left');
      const waiting = alice(key);
      resolve();
      expect(await waiting).toMatchObject({ status: 200 });
      expect((await alice(key)).headers.get(replayHeader)).toBe('true');
    });
    expect(billed).toBe(1);
    expect(fake.requests[before]?.fate).toBe('answered');
    const settled = await ledgerRows(gateway, 'state=settled');
    expect(settled.at(-1)).toMatchObject({ status: 200, images: 1, attempts: 1 });
  });

  it('goes on as well when the client leaves in the middle of a large answer', async () => {
    const { gateway, fake } = setting;
    const picture = randomPng(6_000_000);
    fake.draw(picture);
    try {
      const key = newKey();
      const leaving = new AbortController();
      const answer = await postJson(
        `${gateway.url}/v1/images/generations`,
        { prompt: 'large' },
        { 'idempotency-key': key, ...as('alice') },
        { signal: leaving.signal },
      );
      await answer.body?.getReader().read();
      leaving.abort();
      const again = await alice(key, { prompt: 'large' });
      expect(again.headers.get(replayHeader)).toBe('true');
      const { data } = JSON.parse(again.text) as { data: { b64_json: string }[] };
      expect(sha256(Buffer.from(data[0]?.b64_json ?? '', 'base64'))).toBe(sha256(picture));
    } finally {
      fake.draw(undefined);
    }
  });

  it('frees the key after a failure that has cost nothing and may pass, so that SDKs can try again', async () => {
    const { gateway, fake } = setting;
    const client = openAiClient(gateway, { apiKey: 'sk-idem-alice', maxRetries: 2 });
    fake.next({ status: 503, body: { error: { message: 'busy', type: 'server_error', code: null, param: null } } });
    fake.next({ status: 429, headers: { 'retry-after-ms': '10' }, body: { error: { message: 'slow down' } } });
    const billed = await billedBy(async () => {
      const answer = await client.images.generate({ prompt: 'again' }, withKey(newKey()));
      expect(picturesOf(answer)).toHaveLength(1);
    });
    expect(billed).toBe(1);
  });

  it('frees the key when nothing was sent', async () => {
    const key = newKey();
    const unknown = await alice(key, { model: 'nobody###model' });
    expect([unknown.status, unknown.code]).toEqual([404, 'model_not_found']);
    const right = await alice(key, { prompt: 'a right one' });
    expect([right.status, right.headers.get(replayHeader)]).toEqual([200, null]);
  });

  it('keeps the refusal of a provider, which is about the request, and says not to try again', async () => {
    const key = newKey();
    const error = { message: 'No such thing.', type: 'invalid_request_error', code: 'moderation_blocked', param: null };
    setting.fake.next({ status: 400, body: { error } });
    const before = setting.fake.requests.length;
    const first = await alice(key);
    const again = await alice(key);
    expect([again.status, again.text]).toEqual([first.status, first.text]);
    expect([again.status, again.headers.get('x-should-retry'), again.headers.get(replayHeader)]).toEqual([
      400,
      'false',
      'true',
    ]);
    expect(setting.fake.requests.length - before).toBe(1);
  });

  it('is not made again when its answer was lost, which may have been billed', async () => {
    const left = gone(setting.gateway).length;
    for (const cut of ['before_headers', 'mid_body'] as const) {
      const key = newKey();
      setting.fake.next({ cut });
      const before = setting.fake.requests.length;
      const client = openAiClient(setting.gateway, { apiKey: 'sk-idem-alice', maxRetries: 2 });
      const error = await apiError(client.images.generate({ prompt: 'lost' }, withKey(key)));
      expect(error.status).toBe(502);
      expect(error.headers?.get('x-should-retry')).toBe('false');
      const again = await alice(key, { prompt: 'lost' });
      expect([again.status, again.headers.get('x-should-retry'), again.headers.get(replayHeader)]).toEqual([
        502,
        'false',
        'true',
      ]);
      expect(setting.fake.requests.length - before).toBe(1);
    }
    expect(gone(setting.gateway)).toHaveLength(left);
  });

  it('has its stream again as it was sent', async () => {
    const key = newKey();
    const first = await alice(key, { stream: true });
    const again = await alice(key, { stream: true });
    expect(first.text).toContain('event: image_generation.completed');
    expect(again.text).toBe(first.text);
    expect(again.headers.get('content-type')).toMatch(/^text\/event-stream/);
    expect(again.headers.get(replayHeader)).toBe('true');
  });

  it('has its raw picture again, and its link', async () => {
    const key = newKey();
    const url = `${setting.gateway.url}/v1/images/generations`;
    const raw = async () => {
      const headers = { 'idempotency-key': key, accept: 'image/png', ...as('alice') };
      const answer = await postJson(url, { prompt: 'raw' }, headers);
      return [answer.headers.get('content-type'), sha256(Buffer.from(await answer.arrayBuffer()))];
    };
    const [first, second] = [await raw(), await raw()];
    expect(first[0]).toBe('image/png');
    expect(second).toEqual(first);
    const linked = newKey();
    const link = await alice(linked, { response_format: 'url' });
    expect(link.text).toContain('/v1/images/files/');
    expect((await alice(linked, { response_format: 'url' })).text).toBe(link.text);
  });

  it('is made once and kept nowhere when the caller asks for that', async () => {
    const key = newKey();
    const body = { prompt: 'secret', response_format: 'b64_ephemeral' };
    const kept = await answersOf(setting.gateway);
    const billed = await billedBy(async () => {
      expect((await alice(key, body)).status).toBe(200);
      const again = await alice(key, body);
      expect([again.status, again.code, again.headers.get('x-should-retry')]).toEqual([502, 'upstream_error', 'false']);
      expect(again.text).toContain('b64_ephemeral');
    });
    expect(billed).toBe(1);
    expect(await answersOf(setting.gateway)).toEqual(kept);
  });

  it('shows what it keeps neither as a picture nor in the list of pictures', async () => {
    await alice(newKey());
    const kept = await answersOf(setting.gateway);
    expect(kept.length).toBeGreaterThan(0);
    for (const name of kept.slice(0, 3)) {
      expect((await fetch(`${setting.gateway.url}/v1/images/files/${name}`)).status).toBe(404);
    }
    const list = await jsonOf(await fetch(`${setting.gateway.adminUrl}/api/images`));
    expect(kept.filter((name) => JSON.stringify(list).includes(name))).toEqual([]);
  });

  it.each(['', ' ', 'two words', 'é', 'x'.repeat(256), '""', '"half', '"a"b"'])(
    'is refused with a key that is none: %j',
    async (key) => {
      const before = setting.fake.requests.length;
      const refused = await alice(encodeURIComponent(key) === key ? key : Buffer.from(key).toString('latin1'));
      expect([refused.status, refused.code]).toEqual([400, 'invalid_value']);
      expect(JSON.parse(refused.text)).toMatchObject({ error: { param: 'idempotency-key' } });
      expect(setting.fake.requests.length).toBe(before);
    },
  );
});

describe('a kept answer', () => {
  it('is forgotten after the time that the file says, and its bytes with it', async () => {
    const setting = await startSetting({ config: (fake) => configWith(fake, { keep: '1s' }) });
    const { gateway, fake } = setting;
    const key = newKey();
    await generate(gateway, key);
    await expect.poll(async () => (await generate(gateway, key)).headers.get(replayHeader), patience).toBe(null);
    expect(fake.billed).toBe(2);
    await setting.stop();
  });

  it('that is too large goes out once', async () => {
    const setting = await startSetting({ config: (fake) => configWith(fake, { max_answer_bytes: 100 }) });
    const { gateway, fake } = setting;
    const key = newKey();
    expect((await generate(gateway, key)).status).toBe(200);
    expect(await generate(gateway, key)).toMatchObject({ status: 502, code: 'upstream_error' });
    expect(fake.billed).toBe(1);
    await setting.stop();
  });

  it('whose bytes were deleted says so, and the call is not made again', async () => {
    const setting = await startSetting();
    const { gateway, fake } = setting;
    const key = newKey();
    // Whoever comes second waits until the answer is kept.
    for (let call = 0; call < 2; call += 1) await generate(gateway, key);
    await rm(join(gateway.dir, 'images', 'answers'), { recursive: true });
    const again = await generate(gateway, key);
    expect(again).toMatchObject({ status: 502, code: 'upstream_error' });
    expect(again.headers.get('x-should-retry')).toBe('false');
    expect(fake.billed).toBe(1);
    await setting.stop();
  });
});

describe('a gateway that stops', () => {
  it('waits for a call whose client has left, and keeps its answer for the next gateway', async () => {
    const setting = await startSetting({
      config: (fake) => gatewayConfig([openAiEntity(fake)], { state: 'sqlite:./data/pinhole.db' }),
    });
    const { gateway, fake } = setting;
    const key = newKey();
    const { promise, resolve } = hold();
    fake.next({ hold: promise });
    await leave(setting, key);
    gateway.signal('SIGTERM');
    await expect
      .poll(() =>
        fetch(gateway.url).then(
          () => 'connected',
          () => 'refused',
        ),
      )
      .toBe('refused');
    resolve();
    expect(await gateway.output.exit(10_000)).toBe(0);
    const config = gatewayConfig([openAiEntity(fake)], { state: 'sqlite:./data/pinhole.db' });
    const next = await startGatewayIn(gateway.dir, { config });
    const again = await generate(next, key);
    expect([again.status, again.headers.get(replayHeader)]).toEqual([200, 'true']);
    expect(fake.billed).toBe(1);
    await next.stop();
    await setting.stop();
  });

  it('keeps that a call may have been billed on which it has given up', async () => {
    const config = (fake: FakeOpenAi) =>
      gatewayConfig([openAiEntity(fake)], {
        state: 'sqlite:./data/pinhole.db',
        server: { listen: '127.0.0.1:0', timeouts: { drain: '200ms' } },
      });
    const setting = await startSetting({ config });
    const { gateway, fake } = setting;
    const key = newKey();
    fake.next({ hold: new Promise(() => {}) });
    const call = generate(gateway, key);
    await fake.until(() => fake.requests.length === 1);
    gateway.signal('SIGTERM');
    const first = await call;
    expect([first.status, first.headers.get('x-should-retry')]).toEqual([503, 'false']);
    expect(await gateway.output.exit(10_000)).toBe(0);
    const next = await startGatewayIn(gateway.dir, { config: config(fake) });
    const again = await generate(next, key);
    expect([again.status, again.text, again.headers.get(replayHeader)]).toEqual([503, first.text, 'true']);
    expect(fake.requests).toHaveLength(1);
    await next.stop();
    await setting.stop();
  });
});

describe('with the state in', () => {
  let server: PostgresServer;
  let folder: string;
  let fake: FakeOpenAi;

  beforeAll(async () => {
    server = await startPostgres();
  }, 60_000);
  afterAll(() => server.stop());
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'pinhole-keys-'));
    fake = await startFakeOpenAi();
  });
  afterEach(async () => {
    await fake.close();
    await rm(folder, { recursive: true });
  });

  const secrets = [postgresPassword];
  const places = [
    ['SQLite', () => `sqlite:${join(folder, 'shared.db')}`],
    ['PostgreSQL', () => server.newState()],
  ] as const;

  describe.each(places)('%s, several gateways [X19]', (_name, newState) => {
    const config = (state: string) =>
      gatewayConfig([openAiEntity(fake)], { state, images: `file:${join(folder, 'images')}` });

    it('make a call once, whichever of them it is sent to, and all have its answer', async () => {
      const file = config(newState());
      const [one, other] = await Promise.all([file, file].map((each) => startGateway({ config: each, secrets })));
      if (one === undefined || other === undefined) throw new Error('not started');
      const { promise, resolve } = hold();
      fake.next({ hold: promise });
      const key = newKey();
      const calls = Promise.all(Array.from({ length: 10 }, (_, index) => generate(index % 2 === 0 ? one : other, key)));
      await fake.until(() => fake.requests.length === 1);
      resolve();
      const answers = await calls;
      expect(new Set(answers.map(({ status, text }) => `${status} ${text}`)).size).toBe(1);
      expect(answers.filter(({ headers }) => headers.get(replayHeader) === 'true')).toHaveLength(9);
      await leave({ gateway: one, fake }, 'left');
      expect((await generate(other, 'left')).headers.get(replayHeader)).toBe('true');
      expect(fake.billed).toBe(2);
      await Promise.all([one.stop(), other.stop()]);
    }, 60_000);

    it('say that a call is lost which one of them was making when it was killed, and do not make it again', async () => {
      const file = config(newState());
      const [killed, other] = await Promise.all([file, file].map((each) => startGateway({ config: each, secrets })));
      if (killed === undefined || other === undefined) throw new Error('not started');
      expect((await generate(killed, 'before')).status).toBe(200);
      fake.next({ hold: new Promise(() => {}) });
      const cut = generate(killed, 'cut').catch(() => 'cut off');
      await fake.until(() => fake.requests.length === 2);
      const waiting = generate(other, 'cut');
      await killed.kill();
      expect(await cut).toBe('cut off');
      const lost = await waiting;
      expect([lost.status, lost.code, lost.headers.get('x-should-retry')]).toEqual([502, 'upstream_error', 'false']);
      expect(lost.text).toContain('may have been billed');
      expect((await generate(other, 'before')).headers.get(replayHeader)).toBe('true');
      const next = await startGatewayIn(killed.dir, { config: file, secrets });
      expect(await generate(next, 'cut')).toMatchObject({ status: 502, code: 'upstream_error' });
      expect(fake.requests).toHaveLength(2);
      await Promise.all([next.stop(), other.stop()]);
    }, 90_000);
  });

  it.each([
    ['reject', 503, 0],
    ['allow', 200, 2],
  ])('a database that is away: `on_state_failure: %s` answers with %i', async (policy, status, billed) => {
    await server.interrupt();
    try {
      const gateway = await startAway(policy);
      if (gateway === undefined) return;
      for (let call = 0; call < 2; call += 1) expect((await generate(gateway, 'away')).status).toBe(status);
      expect(fake.billed).toBe(billed);
      await gateway.stop();
    } finally {
      await server.resume();
    }
  });

  /** A gateway whose database goes away, or was never there. */
  async function startAway(policy: string): Promise<Gateway | undefined> {
    const config = gatewayConfig([openAiEntity(fake)], { state: server.newState(), on_state_failure: policy });
    if (policy === 'allow') return startGateway({ config, secrets });
    await server.resume();
    const gateway = await startGateway({ config, secrets });
    await server.interrupt();
    return gateway;
  }

  it('a bucket for its answers, has them from every gateway', async () => {
    const s3 = await startS3();
    const file = gatewayConfig([openAiEntity(fake)], {
      state: `sqlite:${join(folder, 'shared.db')}`,
      images: s3.place('keyed'),
      images_credentials: s3Keys,
    });
    const [one, other] = await Promise.all(
      [file, file].map((each) => startGateway({ config: each, secrets: [s3Keys.secret_access_key] })),
    );
    if (one === undefined || other === undefined) throw new Error('not started');
    const first = await generate(one, 'bucket');
    const again = await generate(other, 'bucket');
    expect([again.text, again.headers.get(replayHeader)]).toEqual([first.text, 'true']);
    expect((await s3.keys()).filter((name) => name.startsWith('keyed/answers/expiring/'))).toHaveLength(1);
    expect(await jsonOf(await fetch(`${one.adminUrl}/api/images`))).toMatchObject({ images: [] });
    await Promise.all([one.stop(), other.stop()]);
    await s3.close();
  });
});

function configWith(fake: FakeOpenAi, config: object): object {
  const document = gatewayConfig([openAiEntity(fake)]);
  const images = document.pipelines['images']?.map((stage) =>
    stage === 'idempotency' ? { plugin: stage, config } : stage,
  );
  return { ...document, pipelines: { images } };
}

/** The names under which answers are kept. */
async function answersOf({ dir }: Gateway): Promise<readonly string[]> {
  const entries = await readdir(join(dir, 'images', 'answers'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
}
