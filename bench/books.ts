/**
 * How much the books add to a request: reserve and settle at 200 requests a second, on SQLite and on PostgreSQL, the latter
 * on a server of its own that syncs each commit to the disk. `npx node bench/books.ts [SECONDS]`, on a machine with nothing
 * else to do.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { stores } from '../src/stores/index.ts';
import type { Store } from '../src/stores/store.ts';
import { openRow, rowOutcome } from '../test/fixtures/ledger.ts';
import { startPostgres } from '../test/fixtures/postgres.ts';
import { summary } from '../test/fixtures/traffic.ts';

const perSecond = 200;
const seconds = Number(process.argv[2] ?? 10);

async function measure(name: string, address: string): Promise<void> {
  const [, scheme, location = ''] = /^(\w+):(.*)$/.exec(address) ?? [];
  const definition = stores.find((each) => each.scheme === scheme);
  if (definition === undefined) throw new Error(`there is no store ${scheme}`);
  const store = await definition.open(location, { now: Date.now });
  // The first statements of a process are compiled while they run.
  await run(store, 'warm-up', 2);
  const times = await run(store, 'measured', seconds);
  await store.close();
  for (const [what, values] of Object.entries(times)) {
    const { p50Ms, p99Ms, maxMs } = summary(values);
    console.log(`${name.padEnd(10)} ${what.padEnd(8)} median ${p50Ms} ms, p99 ${p99Ms} ms, max ${maxMs} ms`);
  }
}

/** Requests that come at a steady rate, whatever becomes of those before them. */
async function run(store: Store, prefix: string, seconds: number) {
  const times = { reserve: [] as number[], settle: [] as number[], both: [] as number[] };
  const startedAtMs = performance.now();
  const requests: Promise<void>[] = [];
  for (let index = 0; index < perSecond * seconds; index += 1) {
    const waitMs = startedAtMs + (index * 1000) / perSecond - performance.now();
    if (waitMs > 0) await pause(waitMs);
    requests.push(request(store, `${prefix}/${index}`, times));
  }
  await Promise.all(requests);
  return times;
}

async function request(store: Store, id: string, times: Awaited<ReturnType<typeof run>>): Promise<void> {
  const counters = ['budget/all/images/month', `budget/team/images/month/${id.length % 10}`];
  const holds = counters.map((counter) => ({ counter, amount: 1, limit: 1_000_000_000, expiresAtMs: undefined }));
  const beganAtMs = performance.now();
  await store.reserve(id, holds, { heldUntilMs: Date.now() + 900_000, row: openRow({ requestId: id }) });
  const reservedAtMs = performance.now();
  await store.settle(id, [1, 1], rowOutcome());
  const settledAtMs = performance.now();
  times.reserve.push(reservedAtMs - beganAtMs);
  times.settle.push(settledAtMs - reservedAtMs);
  times.both.push(settledAtMs - beganAtMs);
}

const folder = await mkdtemp(join(tmpdir(), 'pinhole-bench-'));
await measure('sqlite', `sqlite:${join(folder, 'state.db')}`);
await rm(folder, { recursive: true });

const server = await startPostgres({ sync: true });
await measure('postgres', server.newState());
await server.stop();
