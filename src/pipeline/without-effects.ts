/** Surroundings for a stage that only thinks: nothing leaves, nothing is kept, and nothing that requests share is changed. */
import { silentLog } from '../log.ts';
import type { PictureFetcher, StageEnv } from './stage.ts';

/** What an upload is called that would be hosted. */
const placeholderName = 'NAME';

/** A store of blobs that takes what is put, and has nothing. */
const inert: StageEnv['blobs'] = {
  put: () => Promise.resolve(placeholderName),
  remove: () => Promise.resolve(),
  open: never,
  list: never,
  sweep: never,
  close: never,
};

/** What stands for a picture that nobody has: one pixel, as a PNG. */
export const placeholderPicture = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==',
  'base64',
);

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
      claimKey: never,
      sendKey: never,
      completeKey: never,
      releaseKey: never,
      findAnswer: never,
      indexAnswer: never,
      forgetAnswer: never,
      createJob: never,
      claimJob: never,
      sendJob: never,
      returnJob: never,
      placeJob: never,
      carryReservation: never,
      noteJobProgress: never,
      heldJobs: never,
      finishJob: never,
      cancelJob: never,
      readJob: never,
      countJobs: never,
      claimJobNotice: never,
      settleJobNotice: never,
      close: never,
      read: store.read,
      usage: store.usage,
      rows: store.rows,
      counters: store.counters,
      healthy: store.healthy,
    },
    limiter: {
      prepare: () => undefined,
      prepared: () => Promise.resolve(),
      take: never,
      leave: never,
      healthy: env.limiter.healthy,
      close: never,
    },
    blobs: inert,
    answers: inert,
    forward: { forward: never },
    pictures: unfetched(pictures),
    services: { connect: () => ({ ask: never, tell: never, close: () => Promise.resolve() }) },
    alerts: { post: () => undefined },
    jobs: { wake: () => undefined, end: () => undefined },
  };
}

/** Links are judged by themselves, and no name is looked up. */
function unfetched({ check }: PictureFetcher): PictureFetcher {
  return {
    check,
    vouch: ({ url }) => Promise.resolve(url),
    fetchAll: (links) =>
      Promise.resolve(
        links.map((link) => {
          link.see?.(placeholderPicture);
          return { payload: { kind: 'bytes' as const, bytes: placeholderPicture }, mediaType: 'image/png' };
        }),
      ),
    fetch: never,
  };
}

function never(): never {
  throw new TypeError('a stage that only explains has tried to do something');
}
