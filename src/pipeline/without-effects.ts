/** Surroundings for a stage that only thinks: nothing leaves, nothing is kept, and nothing that requests share is changed. */
import { silentLog } from '../log.ts';
import type { PictureFetcher, StageEnv } from './stage.ts';

/** What an upload is called that would be hosted. */
const placeholderName = 'NAME';

export function withoutEffects(env: StageEnv): StageEnv {
  const { store, pictures } = env;
  return {
    ...env,
    log: silentLog,
    store: {
      reserve: never,
      settle: never,
      release: never,
      record: never,
      reset: never,
      maintain: never,
      close: never,
      read: store.read,
      usage: store.usage,
      rows: store.rows,
      counters: store.counters,
      healthy: store.healthy,
    },
    blobs: {
      put: () => Promise.resolve(placeholderName),
      remove: () => Promise.resolve(),
      open: never,
      list: never,
      sweep: never,
      close: never,
    },
    forward: { forward: never },
    pictures: unfetched(pictures),
    services: { connect: () => ({ ask: never, tell: never, close: () => Promise.resolve() }) },
    alerts: { post: () => undefined },
  };
}

/** Links are judged by themselves, and no name is looked up. */
function unfetched({ check }: PictureFetcher): PictureFetcher {
  return {
    check,
    vouch: ({ url }) => Promise.resolve(url),
    fetchAll: never,
    fetch: never,
  };
}

function never(): never {
  throw new TypeError('a stage that only explains has tried to do something');
}
