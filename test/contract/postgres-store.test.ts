import { once } from 'node:events';
import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { postgresStore } from '../../src/stores/postgres.ts';
import type { Store, StoreSettings } from '../../src/stores/store.ts';
import { openRow, rowOutcome } from '../fixtures/ledger.ts';
import { postgresPassword, startPostgres, type PostgresServer } from '../fixtures/postgres.ts';
import { allRows } from './crash.ts';
import { claimMany, heldKeys } from './keys-contract.ts';
import { hold, many, terms, type SharedPlace } from './places.ts';
import { sharedContract } from './shared-contract.ts';
import { storeContract } from './store-contract.ts';

let server: PostgresServer;

/** The server rests between tries to reach it, and the machine may be busy. */
const patience = { timeout: 20_000 };

beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(() => server.stop());

function newPlace(): SharedPlace {
  const address = server.newState();
  const location = address.replace(/^postgres:/, '');
  return {
    address,
    open: (settings: Partial<StoreSettings> = {}): Promise<Store> =>
      postgresStore.open(location, { now: Date.now, ...settings }),
    read: () => postgresStore.read(location),
  };
}

storeContract('postgres', newPlace);
sharedContract('postgres', newPlace);

describe('postgres store', () => {
  it('makes its tables under a lock, and leaves them alone when they are there', async () => {
    const place = newPlace();
    await (await place.open()).close();
    const tables = await server.query(place.address, 'SELECT count(*)::int AS count FROM pinhole_schema');
    expect(tables).toEqual([{ count: 1 }]);
    await (await place.open()).close();
  });

  it('refuses tables that a newer version made', async () => {
    const place = newPlace();
    await (await place.open()).close();
    await server.query(place.address, 'UPDATE pinhole_schema SET version = 99');
    await expect(place.open()).rejects.toThrow(/version 99/);
    await expect(place.open({ patient: true })).rejects.toThrow(/version 99/);
    await expect(place.read()).rejects.toThrow(/version 99/);
  });

  it('says in one line what is wrong with the server, without the password', async () => {
    const wrong = newPlace()
      .address.replace(postgresPassword, 'pw-wrong-0815')
      .replace(/^postgres:/, '');
    const refused = await reasonFor(wrong);
    expect(refused).toMatch(/^OperatorError: The state in PostgreSQL cannot be opened: password authentication failed/);
    const nobody = '//pinhole:pw-wrong-0815@127.0.0.1:1/postgres';
    const unreachable = await reasonFor(nobody);
    expect(unreachable).toMatch(/cannot be opened: connect ECONNREFUSED 127.0.0.1:1/);
    expect(refused + unreachable).not.toContain('pw-wrong-0815');
  });

  it('refuses while the server is away, says so, and goes on by itself when it is back', async () => {
    const store = await newPlace().open();
    await store.reserve('before', [hold('images', 1)], terms({ row: openRow() }));
    await server.interrupt();
    try {
      const refusals = await Promise.allSettled([
        store.reserve('while', [hold('images', 1)], terms()),
        store.settle('before', [1]),
        store.read('images'),
        store.maintain({ ledgerKeptMs: undefined }),
      ]);
      for (const refusal of refusals) {
        expect(refusal).toMatchObject({ status: 'rejected', reason: { code: 'overloaded', status: 503 } });
      }
      expect(store.healthy()).toBe(false);
    } finally {
      await server.resume();
    }
    await expect
      .poll(() => store.maintain({ ledgerKeptMs: undefined }).then(() => 'kept', String), patience)
      .toBe('kept');
    expect(store.healthy()).toBe(true);
    await store.settle('before', [1], rowOutcome());
    expect(await store.read('images')).toEqual({ settled: 1, held: 0 });
    expect(await allRows(store)).toMatchObject([{ state: 'settled' }]);
    await store.close();
  });

  it('holds nothing of what it refused when the server went away in the middle of it', async () => {
    const store = await newPlace().open();
    const outcomes: PromiseSettledResult<unknown>[] = [];
    let ids = 0;
    const reserve = async (): Promise<void> => {
      ids += 1;
      outcomes.push(...(await Promise.allSettled([store.reserve(`r${ids}`, [hold('images', 1)], terms())])));
    };
    const interrupted = new AbortController();
    const load = Promise.all(
      many(20, async () => {
        while (!interrupted.signal.aborted) await reserve();
      }),
    );
    await expect.poll(() => outcomes.length, patience).toBeGreaterThan(100);
    await server.interrupt();
    interrupted.abort();
    await load;
    await server.resume();
    await expect.poll(() => reserve().then(() => outcomes.at(-1)?.status), patience).toBe('fulfilled');
    const held = outcomes.filter(({ status }) => status === 'fulfilled').length;
    expect(held).toBeLessThan(outcomes.length);
    expect(await store.read('images')).toEqual({ settled: 0, held });
    await store.close();
  });

  it('gives no key to those that it refused when the server went away', async () => {
    const store = await newPlace().open();
    const claiming = Promise.all(many(20, () => claimMany(store, 1)));
    await server.interrupt();
    const outcomes = (await claiming).flat();
    await server.resume();
    const taken = outcomes.filter((each) => each.status === 'fulfilled' && each.value.kind === 'claimed').length;
    await expect.poll(() => heldKeys(store, 1).catch(() => undefined), patience).toBe(taken);
    await store.close();
  });

  it('is waited for in the background where that is wanted', async () => {
    const place = newPlace();
    await server.interrupt();
    let store: Store;
    try {
      await expect(place.open()).rejects.toThrow(/cannot be opened/);
      store = await place.open({ patient: true });
      expect(store.healthy()).toBe(false);
    } finally {
      await server.resume();
    }
    await expect
      .poll(() => store.reserve('a', [hold('images', 1)], terms()).then(({ kind }) => kind, String), patience)
      .toBe('held');
    expect(store.healthy()).toBe(true);
    await store.close();
  });

  it('does not take the reservations of others for abandoned because of an outage', async () => {
    const place = newPlace();
    const leaseMs = 300;
    const [one, other] = await Promise.all([place.open({ leaseMs }), place.open({ leaseMs })]);
    await one.reserve('a', [hold('images', 1)], terms());
    await server.interrupt();
    await expect(other.maintain({ ledgerKeptMs: undefined })).rejects.toMatchObject({ code: 'overloaded' });
    const silentSinceMs = performance.now();
    await expect.poll(() => performance.now() - silentSinceMs, patience).toBeGreaterThan(leaseMs);
    await server.resume();
    await expect
      .poll(() => other.maintain({ ledgerKeptMs: undefined }).catch(() => undefined), patience)
      .toEqual({ estimated: 0 });
    await one.maintain({ ledgerKeptMs: undefined });
    await one.settle('a', [5]);
    expect(await other.read('images')).toEqual({ settled: 5, held: 0 });
    await Promise.all([one.close(), other.close()]);
  });

  it('gives up on a server that takes a connection and says nothing', async () => {
    const mute = createServer().listen(0, '127.0.0.1');
    await once(mute, 'listening');
    const address = mute.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const opening = postgresStore.open(`//pinhole:x@127.0.0.1:${String(port)}/postgres`, { now: Date.now });
    await expect(opening).rejects.toThrow(/cannot be opened.*timeout/);
    mute.close();
  });
});

/** Why a state cannot be opened. */
async function reasonFor(location: string): Promise<string> {
  return postgresStore.open(location, { now: Date.now }).then(() => 'opened', String);
}
