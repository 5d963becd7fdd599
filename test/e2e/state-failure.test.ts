import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { gatewayConfig, openAiEntity, sandboxEntity } from '../fixtures/gateway-config.ts';
import { runGateway, type Gateway } from '../fixtures/gateway.ts';
import { apiError } from '../fixtures/openai-client.ts';
import { postgresPassword, startPostgres, type PostgresServer } from '../fixtures/postgres.ts';
import { startSetting } from '../fixtures/setting.ts';
import { ledgerRows } from '../fixtures/usage.ts';

const patience = { timeout: 20_000 };

const readiness = async (gateway: Gateway): Promise<unknown> => {
  const response = await fetch(`${gateway.adminUrl}/readyz`);
  return [response.status, await response.json()];
};

const ready = [200, { status: 'ready' }];
const failing = [503, { status: 'not ready', state: 'failing' }];

describe('a full disk', () => {
  it('is answered with 503 before anything is sent, and is over when there is room again [R13]', async () => {
    const setting = await startSetting({
      config: (fake) => gatewayConfig([openAiEntity(fake)], { state: 'sqlite:./data/pinhole.db' }),
    });
    const { gateway, fake, client } = setting;
    const generate = (n: number) => client.images.generate({ prompt: 'a', n });
    await generate(1);
    await limitFiles(gateway, (await stat(join(gateway.dir, 'data/pinhole.db-wal'))).size);
    for (let call = 0; call < 20; call += 1) {
      expect(await apiError(generate(2))).toMatchObject({ status: 503, code: 'overloaded' });
    }
    expect(fake.billed).toBe(1);
    expect(await readiness(gateway)).toEqual(failing);
    await expect
      .poll(() => gateway.output.lines().map(({ message }) => message), patience)
      .toContain('the state cannot be written to');
    await limitFiles(gateway, 'unlimited');
    await expect.poll(() => readiness(gateway), { timeout: 5_000 }).toEqual(ready);
    await generate(3);
    await expect
      .poll(() => ledgerRows(gateway, 'state=settled'), patience)
      .toMatchObject([{ images: 1 }, { images: 3 }]);
    expect(await ledgerRows(gateway)).toHaveLength(2);
    await setting.stop();
  });

  it('that comes while a call is under way delays its row, and loses nothing', async () => {
    const setting = await startSetting({
      config: (fake) => gatewayConfig([openAiEntity(fake)], { state: 'sqlite:./data/pinhole.db' }),
    });
    const { gateway, fake, client } = setting;
    const { promise: hold, resolve: release } = Promise.withResolvers<void>();
    fake.next({ hold });
    const call = client.images.generate({ prompt: 'a', n: 2 });
    await fake.until(() => fake.requests.length === 1);
    await limitFiles(gateway, (await stat(join(gateway.dir, 'data/pinhole.db-wal'))).size);
    release();
    await call;
    await gateway.output.line(({ message }) => message === 'a reservation could not be settled, trying again', 10_000);
    await limitFiles(gateway, 'unlimited');
    await gateway.output.line(({ message }) => message === 'a reservation was settled late', 20_000);
    expect(await ledgerRows(gateway)).toMatchObject([{ state: 'settled', images: 2, status: 200 }]);
    await setting.stop();
  });
});

describe('a database', () => {
  let server: PostgresServer;

  beforeAll(async () => {
    server = await startPostgres();
  }, 60_000);
  afterAll(() => server.stop());

  const secrets = [postgresPassword];

  it('that goes away is answered with 503 before anything is sent, and is over when it is back', async () => {
    const state = server.newState();
    const setting = await startSetting({
      config: (fake) => gatewayConfig([openAiEntity(fake)], { state, admin: { listen: '127.0.0.1:0' } }),
      secrets,
    });
    const { gateway, fake, client } = setting;
    await client.images.generate({ prompt: 'a' });
    await server.interrupt();
    try {
      for (let call = 0; call < 5; call += 1) {
        expect(await apiError(client.images.generate({ prompt: 'a' }))).toMatchObject({
          status: 503,
          code: 'overloaded',
        });
      }
      expect(fake.billed).toBe(1);
      expect(await readiness(gateway)).toEqual(failing);
      expect((await fetch(`${gateway.adminUrl}/api/usage`)).status).toBe(503);
    } finally {
      await server.resume();
    }
    await expect.poll(() => readiness(gateway), patience).toEqual(ready);
    await client.images.generate({ prompt: 'a' });
    await expect.poll(() => ledgerRows(gateway, 'state=settled'), patience).toHaveLength(2);
    await setting.stop();
  });

  it('that goes away lets calls go on uncounted where the file says so, also of a gateway that starts meanwhile', async () => {
    await server.interrupt();
    const state = server.newState();
    let setting;
    try {
      setting = await startSetting({
        config: (fake) =>
          gatewayConfig([openAiEntity(fake)], {
            state,
            on_state_failure: 'allow',
            budgets: [{ id: 'all', limit: { images: 3 }, window: 'lifetime' }],
          }),
        secrets,
      });
      const { gateway, fake, client } = setting;
      for (let call = 0; call < 5; call += 1) await client.images.generate({ prompt: 'a' });
      expect(fake.billed).toBe(5);
      expect(await readiness(gateway)).toEqual([200, { status: 'ready', state: 'failing' }]);
      const uncounted = () =>
        gateway.output
          .lines()
          .filter(({ message }) => message === 'a call goes on uncounted, since the state cannot be written to');
      await expect.poll(uncounted, patience).toHaveLength(5);
      expect(uncounted()[0]).toMatchObject({ level: 'error', reason: expect.stringContaining('ECONNREFUSED') });
    } finally {
      await server.resume();
    }
    const { gateway, client } = setting;
    await expect.poll(() => readiness(gateway), patience).toEqual(ready);
    // What the outage has kept out of the ledger is written afterwards; the budget begins to count now.
    await expect.poll(() => ledgerRows(gateway, 'state=recorded'), patience).toHaveLength(5);
    await client.images.generate({ prompt: 'a', n: 3 });
    expect(await apiError(client.images.generate({ prompt: 'a' }))).toMatchObject({ code: 'budget_exceeded' });
    await setting.stop();
  });

  it('that is not there is a reason not to start, told in one line without the password', async () => {
    await server.interrupt();
    try {
      const config = gatewayConfig([sandboxEntity()], { state: server.newState() });
      const { code, stderr } = await runGateway({ config, secrets });
      expect(code).toBe(1);
      expect(stderr).toMatch(/^The state in PostgreSQL cannot be opened: connect ECONNREFUSED 127\.0\.0\.1:\d+\.\n/);
    } finally {
      await server.resume();
    }
  });

  it('becomes the state with a save, and its password is shown nowhere', async () => {
    const setting = await startSetting({
      config: (fake) => gatewayConfig([openAiEntity(fake)], { state: 'memory:' }),
      secrets,
    });
    const { gateway, fake, client } = setting;
    await client.images.generate({ prompt: 'a' });
    const config = (state: string) => gatewayConfig([openAiEntity(fake)], { state });
    const status = await gateway.apply(config(server.newState()));
    await client.images.generate({ prompt: 'a' });
    await expect.poll(() => ledgerRows(gateway, 'state=settled'), patience).toHaveLength(1);
    const refused = await gateway.refuse(config(`postgress:${server.newState().slice(9)}`));
    const wrong = await gateway.refuse(config(server.newState().replace('/postgres?', '/no-such-database?')));
    expect(JSON.stringify(status)).toContain('~ state: replaced by a secret');
    expect(JSON.stringify(refused)).toContain('`state` must be sqlite:PATH');
    expect(JSON.stringify(wrong)).toContain('no-such-database');
    for (const shown of [status, refused, wrong]) expect(JSON.stringify(shown)).not.toContain(postgresPassword);
    await gateway.apply(config('memory:'));
    await setting.stop();
  });
});

/** Lets no file of the gateway's grow beyond so many bytes. */
async function limitFiles({ pid }: Gateway, bytes: number | 'unlimited'): Promise<void> {
  if (!existsSync('/usr/bin/prlimit')) throw new Error('this test needs /usr/bin/prlimit, from the package util-linux');
  const [code]: unknown[] = await once(
    spawn('/usr/bin/prlimit', [`--fsize=${bytes}:unlimited`, `--pid=${pid}`], { stdio: 'inherit' }),
    'close',
  );
  expect(code).toBe(0);
}
