import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity, sandboxEntity } from '../fixtures/gateway-config.ts';
import { startGateway, startGatewayIn } from '../fixtures/gateway.ts';
import { apiError, openAiClient, picturesOf } from '../fixtures/openai-client.ts';
import { postJson, startSetting, type Setting } from '../fixtures/setting.ts';
import { ledgerRows, printedRows, runUsage } from '../fixtures/usage.ts';

/** The first look into a ledger starts a thread, and the machine may be busy. */
const patience = { timeout: 20_000 };

const sqlite = { state: 'sqlite:./data/pinhole.db' };

describe('the ledger of a gateway [A13, A14]', () => {
  let setting: Setting;
  let unreserved: Setting;

  beforeAll(async () => {
    setting = await startSetting({
      config: (fake) =>
        gatewayConfig([openAiEntity(fake)], {
          ...sqlite,
          consumers: [{ id: 'web-app', key: 'sk-caller-5d0e93ab', user: 'alice', team: 'growth' }],
          users: [{ id: 'alice' }],
          aliases: { best: { targets: ['openai-main/gpt-image-1'] } },
          budgets: [{ id: 'all', limit: { images: 13 }, window: 'month' }],
        }),
    });
    unreserved = await startSetting({
      config: (fake) =>
        gatewayConfig([openAiEntity(fake)], {
          ...sqlite,
          pipelines: { images: ['parse', 'route-resolve', 'provider-transform', 'dispatch', 'response-normalise'] },
        }),
    });
  });
  afterAll(async () => {
    await setting.stop();
    await unreserved.stop();
  });

  const rowOf = async (requestId: string, { gateway }: Setting = setting) =>
    (await ledgerRows(gateway, `request_id=${requestId}`))[0];
  const generate = (requestId: string, more: object = {}, headers: Readonly<Record<string, string>> = {}) =>
    setting.client.images.generate(
      { prompt: 'a lighthouse', ...more },
      { headers: { 'x-request-id': requestId, ...headers } },
    );

  it('has a row for a call, with who asked for what, and what came of it', async () => {
    await generate('whole', { model: 'best', n: 2, size: '1024x1024', quality: 'high', user: 'end-user-7' });
    await expect.poll(async () => (await rowOf('whole'))?.state, patience).toBe('settled');
    expect(await rowOf('whole')).toMatchObject({
      consumer: 'web-app',
      user: 'alice',
      team: 'growth',
      end_user: 'end-user-7',
      route: 'generate',
      alias: 'best',
      entity: 'openai-main',
      provider: 'openai',
      model: 'gpt-image-1',
      operation: 'generation',
      images: 2,
      size: '1024x1024',
      quality: 'high',
      input_tokens: expect.any(Number),
      output_tokens: expect.any(Number),
      // 50 tokens of text at $5, and two pictures as the provider counts them at $40, for a million.
      cost_usd: '0.04249',
      status: 200,
      attempts: 1,
    });
  });

  it('has the end user and the session that the headers name', async () => {
    const headers = { 'x-pinhole-user-id': 'end-user-8', 'x-opengateway-session-id': 'session-9' };
    await generate('labelled', { user: 'end-user-7' }, headers);
    await expect.poll(async () => (await rowOf('labelled'))?.state, patience).toBe('settled');
    expect(await rowOf('labelled')).toMatchObject({ end_user: 'end-user-8', session: 'session-9' });
    const { stdout } = await runUsage(setting.gateway, ['--by=session', '--where=session=session-9', '--format=json']);
    expect(JSON.parse(stdout)).toMatchObject([{ session: 'session-9', requests: 1, images: 1 }]);
  });

  it('has the row before the provider sees the call', async () => {
    const { promise: hold, resolve: release } = Promise.withResolvers<void>();
    const before = setting.fake.requests.length;
    setting.fake.next({ hold });
    const call = generate('open', { n: 3 });
    await setting.fake.until(() => setting.fake.requests.length > before);
    expect(await rowOf('open')).toMatchObject({ state: 'reserved', images: 3, status: null, latency_ms: null });
    release();
    await call;
    await expect.poll(async () => (await rowOf('open'))?.state, patience).toBe('settled');
  });

  it('says what became of calls that failed', async () => {
    setting.fake.next({ status: 500, body: {} });
    await apiError(generate('refused'));
    setting.fake.next({ cut: 'before_headers' });
    await apiError(generate('lost', { n: 2 }));
    await expect.poll(async () => (await rowOf('lost'))?.state, patience).toBe('estimated');
    expect(await rowOf('refused')).toMatchObject({ state: 'settled', images: 0, cost_usd: '0', status: 502 });
    expect(await rowOf('lost')).toMatchObject({ state: 'estimated', images: 2, cost_usd: '0.42212', status: 502 });
  });

  it('has no row for what was answered before anything was tried', async () => {
    const { gateway } = setting;
    const headers = { authorization: 'Bearer sk-caller-5d0e93ab', 'x-request-id': 'early' };
    const url = `${gateway.url}/v1/images/generations`;
    expect((await postJson(url, { prompt: 1 }, headers)).status).toBe(400);
    expect((await postJson(url, { prompt: 'a' }, { ...headers, authorization: 'Bearer sk-no-such' })).status).toBe(401);
    expect((await postJson(url, { prompt: 'a', n: 10 }, headers)).status).toBe(429);
    expect(await rowOf('early')).toBeUndefined();
  });

  it('has a row, written at the end, where the pipeline has no budget', async () => {
    const { client, fake } = unreserved;
    await client.images.generate({ prompt: 'a' }, { headers: { 'x-request-id': 'plain' } });
    await expect
      .poll(() => rowOf('plain', unreserved), patience)
      .toMatchObject({ state: 'recorded', images: 1, status: 200 });
    fake.next({ cut: 'before_headers' });
    await apiError(client.images.generate({ prompt: 'a' }, { headers: { 'x-request-id': 'gone' } }));
    await expect.poll(() => rowOf('gone', unreserved), patience).toMatchObject({ state: 'estimated', images: 1 });
  });

  it('counts pictures of an answer that passed through unread', async () => {
    const large = setting.fake;
    large.draw(Buffer.concat([await firstPicture(), Buffer.alloc(300_000, 7)]));
    await generate('passed', { n: 1, model: 'gpt-image-2' });
    large.draw(undefined);
    await expect.poll(() => rowOf('passed'), patience).toMatchObject({ state: 'settled', images: 1 });
  });

  async function firstPicture(): Promise<Buffer> {
    const [picture] = picturesOf(await unreserved.client.images.generate({ prompt: 'a' }));
    if (picture === undefined) throw new Error('no picture');
    return picture;
  }

  it('is added up over the admin API and on the command line, to the same', async () => {
    const answer = await fetch(`${setting.gateway.adminUrl}/api/usage?by=consumer,model,state`);
    const { usage } = (await answer.json()) as { usage: unknown };
    const { code, stdout, stderr } = await runUsage(setting.gateway, ['--by', 'consumer,model,state', '--format=json']);
    expect([code, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toEqual(usage);
    expect(usage).toContainEqual(expect.objectContaining({ model: 'gpt-image-1', state: 'settled', images: 2 }));
  });

  it('is printed as a table and as CSV as well', async () => {
    const table = await runUsage(setting.gateway, ['--by=model', '--since', '30d']);
    expect(table.stdout).toMatch(/^model +requests +images +cost_usd .*\n(gpt-image-\d .*\n)+$/);
    const csv = await runUsage(setting.gateway, ['--rows', '--format=csv', '--where', 'request_id=whole']);
    expect(csv.stdout.split('\r\n')).toHaveLength(3);
    expect(csv.stdout).toContain(
      ',whole,web-app,alice,growth,,end-user-7,generate,best,openai-main,openai,gpt-image-1,',
    );
  });

  it.each([
    [['--by', 'colour'], /`colour` is not among consumer/],
    [['--since', 'yesterday'], /`since` is not understood/],
    [['--format', 'xml'], /no format `xml`/],
    [['--where', 'model=gpt-image-1', '--where', 'model'], /not of the form NAME=VALUE/],
    [['--rows', '--by', 'model'], /--rows/],
    [['--colour'], /--colour/],
  ])('is not asked for like this: %j', async (args, reason) => {
    const { code, stdout, stderr } = await runUsage(setting.gateway, args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(reason);
  });
});

describe('the ledger in a file', () => {
  it('shows what was under way when the gateway was killed, and what the next one makes of it', async () => {
    const setting = await startSetting({ config: (fake) => gatewayConfig([openAiEntity(fake)], sqlite) });
    const { fake, gateway, client } = setting;
    await client.images.generate({ prompt: 'done' });
    fake.always({ hold: new Promise(() => {}) });
    void client.images.generate({ prompt: 'open', n: 3 }).catch(() => undefined);
    await fake.until(() => fake.requests.length === 2);
    await gateway.kill();
    for (let looks = 0; looks < 2; looks += 1) {
      const rows = await printedRows(gateway);
      expect(rows.map(({ state, images }) => [state, images])).toEqual([
        ['settled', 1],
        ['reserved', 3],
      ]);
    }
    const next = await startGatewayIn(gateway.dir, { config: gatewayConfig([openAiEntity(fake)], sqlite) });
    const recovered = await ledgerRows(next);
    expect(recovered.map(({ state, images }) => [state, images])).toEqual([
      ['settled', 1],
      ['estimated', 3],
    ]);
    await next.stop();
    await fake.close();
  });

  it('is kept for as long as the file says', async () => {
    const gateway = await startGateway({ config: gatewayConfig([sandboxEntity()], sqlite) });
    await openAiClient(gateway).images.generate({ prompt: 'a' });
    await expect.poll(() => ledgerRows(gateway), patience).toHaveLength(1);
    await gateway.apply(gatewayConfig([sandboxEntity()], { ...sqlite, ledger: { keep: '1s' } }));
    await expect.poll(() => ledgerRows(gateway), patience).toEqual([]);
    expect(await gateway.stop()).toBe(0);
  });

  it('cannot be read where there is none', async () => {
    const gateway = await startGateway({ config: gatewayConfig([sandboxEntity()]) });
    const { code, stderr } = await runUsage(gateway, []);
    expect([code, stderr]).toEqual([1, 'The state is in the memory of the gateway, where nobody else can read it.\n']);
    await gateway.write(gatewayConfig([sandboxEntity()], { state: 'sqlite:./nowhere.db' }), 'other.yaml');
    const other = await runUsage({ configPath: `${gateway.dir}/other.yaml` }, []);
    expect([other.code, other.stderr]).toEqual([1, `There is no state file ${gateway.dir}/nowhere.db.\n`]);
    await gateway.stop();
  });
});
