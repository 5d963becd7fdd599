import { createBatches } from './limit-batches.ts';
import {
  perform,
  toleranceUs,
  type LimitAnswer,
  type LimitOrder,
  type LimitTables,
  type Moment,
} from './limit-rules.ts';
import type { LimiterDefinition } from './limiter.ts';
import { createLink, sqlState, type Session } from './postgres-link.ts';
import { migrate } from './postgres-schema.ts';
import { createSharedLimiter, type BackendContext, type HeldPlace, type LimitBackend } from './shared-limiter.ts';

/** Demands in one transaction. */
const maxBatch = 500;

/** Milliseconds for a statement. */
const statementMs = 1_000;

/** Rows that are forgotten at once, for which others wait some milliseconds. */
const mostForgotten = 2_000;

/** A transaction that was in the way of another one is run again so many times in all. */
const mostTries = 3;
const races: ReadonlySet<string | undefined> = new Set(['40001', '40P01']);

/** Counts in the database of the state, on that database's clock. */
export const postgresLimiter: LimiterDefinition = {
  scheme: 'postgres',
  create: (location, settings) => createSharedLimiter((context) => createBackend(location, context), settings),
};

/** The other spelling of the scheme. */
export const postgresqlLimiter: LimiterDefinition = { ...postgresLimiter, scheme: 'postgresql' };

function createBackend(location: string, { leaseMs }: BackendContext): LimitBackend {
  // One connection: what this process writes by turns cannot be in its own way.
  const link = createLink({ address: `postgres:${location}`, connections: 1, statementMs });
  const leaseUs = leaseMs * 1000;

  async function run(orders: readonly LimitOrder[]): Promise<readonly LimitAnswer[]> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await link.transaction((session) => runBatch(session, orders, leaseUs));
      } catch (error) {
        if (tries === mostTries || !races.has(sqlState(error))) throw error;
      }
    }
  }

  const batches = createBatches<LimitOrder, LimitAnswer>(run, maxBatch);

  return {
    async probe() {
      await migrate(link);
      await link.query({
        text: `INSERT INTO pinhole_limits VALUES ('', 0, 0) ON CONFLICT (name) DO UPDATE SET us = 0`,
      });
    },
    async take(demand, signal) {
      const answer = await batches.ask({ kind: 'take', demand }, signal);
      if (answer.kind === 'left') throw new Error('The database gave an answer to another question.');
      return answer;
    },
    async leave(holder, names, signal) {
      await batches.ask({ kind: 'leave', holder, names }, signal);
    },
    async renew(places) {
      await link.query({
        text: `INSERT INTO pinhole_places
               SELECT name, holder, ${nowText} + $3 FROM unnest($1::text[], $2::text[]) AS held (name, holder)
                   ON CONFLICT (name, holder) DO UPDATE SET expires_at_us = excluded.expires_at_us`,
        values: [places.map(({ name }) => name), places.map(({ holder }) => holder), leaseUs],
      });
    },
    async prune(signal) {
      while (!signal.aborted && (await forget('pinhole_limits', 'us')));
      while (!signal.aborted && (await forget('pinhole_places', 'expires_at_us')));
    },
    async close() {
      await batches.idle();
      await link.close();
    },
  };

  /** Several processes may do it at once; each takes what the others have not locked. Whether there may be more. */
  async function forget(table: string, column: string): Promise<boolean> {
    const [gone] = await link.query({
      text: `WITH gone AS (
               DELETE FROM ${table} WHERE ctid = ANY (ARRAY (
                 SELECT ctid FROM ${table} WHERE ${column} < ${nowText} - $1 LIMIT $2 FOR UPDATE SKIP LOCKED))
               RETURNING 1)
             SELECT count(*) AS count FROM gone`,
      values: [toleranceUs, mostForgotten],
    });
    return Number(gone?.['count']) === mostForgotten;
  }
}

/** Microseconds since 1970 on the server's clock, which goes on during a transaction. */
const nowText = `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`;

// An upsert that changes nothing locks a row and reads its latest version, whether or not it was there before.
const lockText = `
  WITH locked AS (
    INSERT INTO pinhole_limits
    SELECT name, 0, 0 FROM unnest($1::text[]) AS name ORDER BY name COLLATE "C"
        ON CONFLICT (name) DO UPDATE SET us = pinhole_limits.us
    RETURNING name, us, fraction
  )
  SELECT name, us::text, fraction::text FROM locked`;

// A statement of its own: it sees what others did before they let go of the locks. A lease that is longer than any can be was
// given before the clock was set back.
const placesText = `
  WITH clock AS (SELECT ${nowText} AS now),
  shortened AS (
    UPDATE pinhole_places SET expires_at_us = clock.now + $2::bigint FROM clock
     WHERE name = ANY ($1::text[]) AND expires_at_us > clock.now + $2::bigint + $3::bigint
    RETURNING name, holder
  )
  SELECT clock.now::text AS now, '' AS name, '' AS holder FROM clock
  UNION ALL
  SELECT '', name, holder FROM pinhole_places, clock
   WHERE name = ANY ($1::text[]) AND expires_at_us > clock.now`;

const writeText = `
  WITH moments AS (
    UPDATE pinhole_limits AS kept SET us = changed.us, fraction = changed.fraction
      FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS changed (name, us, fraction) WHERE kept.name = changed.name
  ), added AS (
    INSERT INTO pinhole_places
    SELECT name, holder, $6::bigint FROM unnest($4::text[], $5::text[]) AS place (name, holder)
        ON CONFLICT (name, holder) DO UPDATE SET expires_at_us = excluded.expires_at_us
  )
  DELETE FROM pinhole_places USING unnest($7::text[], $8::text[]) AS gone (name, holder)
   WHERE pinhole_places.name = gone.name AND pinhole_places.holder = gone.holder`;

/**
 * Runs orders in one transaction: locks the names in their order, reads, lets the rules work on a copy, and writes what has
 * changed.
 */
async function runBatch(
  session: Session,
  orders: readonly LimitOrder[],
  leaseUs: number,
): Promise<readonly LimitAnswer[]> {
  const takes = orders.flatMap((order) => (order.kind === 'take' ? [order.demand] : []));
  const rates = takes.flatMap((demand) => demand.rates.map(({ name }) => name));
  const places = takes.flatMap((demand) => demand.places.map(({ name }) => name));
  const left = orders.flatMap((order) => (order.kind === 'leave' ? order.names : []));
  const locked = await session.query({
    name: 'pinhole-limits-lock',
    text: lockText,
    values: [[...new Set([...rates, ...places, ...left])]],
  });
  const found = await session.query({
    name: 'pinhole-limits-places',
    text: placesText,
    values: [[...new Set(places)], leaseUs, toleranceUs],
  });
  const nowUs = Number(found.find(({ now }) => now !== '')?.['now']);
  const copy = createCopy(
    locked.map(({ name, us, fraction }) => [String(name), { us: Number(us), fraction: Number(fraction) }]),
    found.filter(({ now }) => now === '').map(({ name, holder }) => ({ name: String(name), holder: String(holder) })),
  );
  const answers = orders.map((order) => perform(copy.tables, order, nowUs));
  const { moments, added, removed } = copy.changes();
  if (moments.length + added.length + removed.length > 0) {
    await session.query({
      name: 'pinhole-limits-write',
      text: writeText,
      values: [
        moments.map(([name]) => name),
        moments.map(([, { us }]) => us),
        moments.map(([, { fraction }]) => fraction),
        added.map(({ name }) => name),
        added.map(({ holder }) => holder),
        nowUs + leaseUs,
        removed.map(({ name }) => name),
        removed.map(({ holder }) => holder),
      ],
    });
  }
  return answers;
}

/** The tables in memory, and what has changed in them. */
function createCopy(locked: readonly (readonly [string, Moment])[], places: readonly HeldPlace[]) {
  const moments = new Map(locked);
  const changed = new Map<string, Moment>();
  const holders = new Map<string, Set<string>>();
  /** By name and holder: what was last done with the place. */
  const done = new Map<string, HeldPlace & { readonly isHeld: boolean }>();
  const holdersOf = (name: string): Set<string> => {
    const known = holders.get(name) ?? new Set<string>();
    holders.set(name, known);
    return known;
  };
  for (const { name, holder } of places) holdersOf(name).add(holder);

  const tables: LimitTables = {
    moment: (name) => moments.get(name),
    setMoment(name, moment) {
      moments.set(name, moment);
      changed.set(name, moment);
    },
    occupants: (name) => holdersOf(name).size,
    holds: (name, holder) => holdersOf(name).has(holder),
    occupy(name, holder) {
      holdersOf(name).add(holder);
      done.set(`${name} ${holder}`, { name, holder, isHeld: true });
    },
    vacate(name, holder) {
      holdersOf(name).delete(holder);
      done.set(`${name} ${holder}`, { name, holder, isHeld: false });
    },
  };

  return {
    tables,
    changes: () => ({
      moments: [...changed],
      added: [...done.values()].filter(({ isHeld }) => isHeld),
      removed: [...done.values()].filter(({ isHeld }) => !isHeld),
    }),
  };
}
