import type { NamedDemand } from './limit-rules.ts';
import type { LimiterDefinition } from './limiter.ts';
import {
  placesKey,
  probeKey,
  readVerdict,
  renewScript,
  takeCall,
  takeScript,
  type Script,
  type ScriptCall,
} from './redis-scripts.ts';
import { createSharedLimiter, type BackendContext, type LimitBackend } from './shared-limiter.ts';

/** Milliseconds for a connection. */
const connectMs = 3_000;

/** Commands that wait for an answer: what comes beyond them would wait too long anyway. */
const mostCommands = 20_000;

/** Places whose leases one script renews, so that others do not wait for it. */
const renewStep = 500;

/** Counts in Redis, or what speaks its language, on its clock. */
export const redisLimiter: LimiterDefinition = {
  scheme: 'redis',
  create: (location, settings) =>
    createSharedLimiter((context) => createBackend(`redis:${location}`, context), settings),
};

/** The same over TLS. */
export const redissLimiter: LimiterDefinition = {
  scheme: 'rediss',
  create: (location, settings) =>
    createSharedLimiter((context) => createBackend(`rediss:${location}`, context), settings),
};

type Client = Awaited<ReturnType<typeof createConnection>>;

function createBackend(address: string, { leaseMs, lost }: BackendContext): LimitBackend {
  const leaseUs = leaseMs * 1000;
  let client: Client | undefined;
  let isProbing = false;
  let isClosed = false;

  function ready(): Client {
    if (client?.isReady === true) return client;
    throw new Error('There is no connection to Redis.');
  }

  /** Scripts are sent once, and then called by their digest. */
  async function run({ text, digest }: Script, call: ScriptCall): Promise<unknown> {
    const connection = ready();
    try {
      return await connection.evalSha(digest, call);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return connection.eval(text, call);
    }
  }

  function drop(): void {
    if (client?.isOpen === true) client.destroy();
    client = undefined;
  }

  /** A connection that breaks is not mended here: the next probe makes another. */
  async function connect(): Promise<Client> {
    const connection = await createConnection(address);
    if (isClosed) throw new Error('The limiter is closed.');
    client = connection;
    let isConnected = false;
    connection.on('error', (error) => {
      if (isConnected && client === connection) lost(error);
    });
    await connection.connect();
    isConnected = true;
    return connection;
  }

  return {
    async probe() {
      // An earlier probe that never ended has waited on a connection with nobody at the other end.
      if (isProbing || client?.isReady !== true) drop();
      isProbing = true;
      const connection = client ?? (await connect());
      // Something that a server refuses which takes nothing: a replica, or one that is out of memory.
      await connection.set(probeKey, '', { expiration: { type: 'PX', value: 1000 } });
      isProbing = false;
    },
    async take(demand: NamedDemand) {
      return readVerdict(await run(takeScript, takeCall(demand, leaseUs)), demand);
    },
    async leave(holder, names) {
      const connection = ready();
      await Promise.all(names.map((name) => connection.zRem(placesKey(name), holder)));
    },
    async renew(places) {
      for (let from = 0; from < places.length; from += renewStep) {
        const step = places.slice(from, from + renewStep);
        const call = {
          keys: step.map(({ name }) => placesKey(name)),
          arguments: [String(leaseUs), ...step.map(({ holder }) => holder)],
        };
        await run(renewScript, call);
      }
    },
    async close() {
      isClosed = true;
      drop();
    },
  };
}

async function createConnection(address: string) {
  // Large, and needed by few.
  const { createClient } = await import('@redis/client');
  return createClient({
    url: address,
    // What every version and every relative of Redis speaks.
    RESP: 2,
    disableClientInfo: true,
    disableOfflineQueue: true,
    commandsQueueMaxLength: mostCommands,
    socket: { connectTimeout: connectMs, reconnectStrategy: false },
  });
}
