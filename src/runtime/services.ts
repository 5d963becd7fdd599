/** Opens what a file says about state and hosted images, and gathers what stages may use. */
import { hash } from 'node:crypto';
import type { BlobCredentials, BlobStore } from '../blobs/blob-store.ts';
import { OperatorError } from '../errors.ts';
import type { GatewayFile } from '../generated/gateway.ts';
import { silentLog, type Logger } from '../log.ts';
import type { JobDesk } from '../pipeline/job.ts';
import type { Registry } from '../pipeline/registry.ts';
import type {
  AlertOutbox,
  Clock,
  Forwarder,
  PictureFetcher,
  ServiceConnector,
  SpoolSettings,
} from '../pipeline/stage.ts';
import { Secret } from '../secret.ts';
import type { BooksReader } from '../stores/ledger.ts';
import type { Limiter } from '../stores/limiter.ts';
import type { Store, StoreDefinition } from '../stores/store.ts';
import type { StageServices } from './compile.ts';
import { startImageSweeper } from './image-sweeper.ts';
import type { ResourceLease } from './resources.ts';

export interface ServiceSources {
  readonly config: GatewayFile;
  readonly registry: Registry;
  readonly lease: ResourceLease;
  readonly clock: Clock;
  readonly log: Logger;
  readonly forward: Forwarder;
  readonly services: ServiceConnector;
  readonly alerts: AlertOutbox;
  readonly jobs: JobDesk;
  createPictureFetcher(options: {
    readonly spool: SpoolSettings;
    readonly log: Logger;
    readonly imageUrls: GatewayFile['image_urls'];
  }): PictureFetcher;
  /** Where uploads go that are too large for memory. */
  readonly spoolDirectory: string;
}

/** Bytes of one picture that are kept in memory. */
const spoolMemoryBytes = 1024 * 1024;

/** @throws GatewayError when the state or the images cannot be opened */
export async function openServices(sources: ServiceSources): Promise<StageServices> {
  const { clock, log } = sources;
  const spool = { directory: sources.spoolDirectory, memoryBytes: spoolMemoryBytes };
  return {
    log,
    clock,
    spool,
    random: Math.random,
    store: await openStore(sources),
    limiter: createLimiter(sources),
    blobs: await openBlobs(sources, 'images'),
    answers: await openBlobs(sources, 'answers'),
    forward: sources.forward,
    services: sources.services,
    alerts: sources.alerts,
    jobs: sources.jobs,
    pictures: openPictures(sources, spool),
  };
}

function openPictures(
  { config, lease, log, createPictureFetcher }: ServiceSources,
  spool: SpoolSettings,
): PictureFetcher {
  const { image_urls: imageUrls } = config;
  return lease.use(`pictures:${JSON.stringify(imageUrls)}`, () => createPictureFetcher({ spool, log, imageUrls }));
}

const neverCalled = (): never => {
  throw new TypeError('a file that is only checked serves no request');
};

const inertBlobs: BlobStore = {
  put: neverCalled,
  open: neverCalled,
  remove: neverCalled,
  list: neverCalled,
  sweep: neverCalled,
  close: neverCalled,
};

/** For a file that is only checked: stages can be created with these, but not run. */
export const inertServices: StageServices = {
  log: silentLog,
  clock: { now: Date.now, monotonic: () => performance.now(), sleep: neverCalled, timer: neverCalled },
  spool: { directory: '', memoryBytes: spoolMemoryBytes },
  random: Math.random,
  store: {
    reserve: neverCalled,
    settle: neverCalled,
    release: neverCalled,
    record: neverCalled,
    claimKey: neverCalled,
    sendKey: neverCalled,
    completeKey: neverCalled,
    releaseKey: neverCalled,
    findAnswer: neverCalled,
    indexAnswer: neverCalled,
    forgetAnswer: neverCalled,
    createJob: neverCalled,
    claimJob: neverCalled,
    sendJob: neverCalled,
    returnJob: neverCalled,
    placeJob: neverCalled,
    carryReservation: neverCalled,
    noteJobProgress: neverCalled,
    heldJobs: neverCalled,
    finishJob: neverCalled,
    cancelJob: neverCalled,
    readJob: neverCalled,
    countJobs: neverCalled,
    claimJobNotice: neverCalled,
    settleJobNotice: neverCalled,
    read: neverCalled,
    reset: neverCalled,
    usage: neverCalled,
    rows: neverCalled,
    counters: neverCalled,
    maintain: neverCalled,
    healthy: neverCalled,
    close: neverCalled,
  },
  limiter: {
    prepare() {},
    prepared: neverCalled,
    take: neverCalled,
    leave: neverCalled,
    healthy: neverCalled,
    close: neverCalled,
  },
  blobs: inertBlobs,
  answers: inertBlobs,
  forward: { forward: neverCalled },
  pictures: { check: neverCalled, vouch: neverCalled, fetchAll: neverCalled, fetch: neverCalled },
  services: { connect: () => ({ ask: neverCalled, tell: neverCalled, close: () => Promise.resolve() }) },
  alerts: { post: neverCalled },
  jobs: { wake: neverCalled, end: neverCalled },
};

function openStore({ config, registry, lease, clock }: ServiceSources): Promise<Store> {
  const { definition, location } = storeOf(config, registry);
  return lease.use(
    // The address may hold a password, and keys are shown in the log.
    `state:${definition.scheme}:${hash('sha256', location)}`,
    // Calls that go on without the books need none at the start either.
    () => definition.open(location, { now: clock.now, patient: config.on_state_failure === 'allow' }),
    closeWhenOpen,
  );
}

/** Whatever it counts in is opened when a stage has limits; one that cannot be reached keeps no file from going live. */
function createLimiter({ config, registry, lease, clock, log }: ServiceSources): Limiter {
  const { scheme, location } = split(limitsAddress(config));
  return lease.use(
    `limits:${scheme}:${hash('sha256', location)}`,
    () => {
      const definition = registry.limiters.get(scheme);
      if (definition === undefined) throw unknownScheme('rate_limits', scheme, registry.limiters);
      return definition.create(location, { clock, log });
    },
    (limiter) => limiter.close(),
  );
}

/** Who shares a state shares its limits, unless the file says otherwise. */
function limitsAddress({ state, rate_limits: place = 'state' }: GatewayFile): string {
  if (place === 'state') return state;
  return place === 'process' ? 'process:' : place;
}

/** Opens the books of a file for reading, as another process keeps them. @throws OperatorError when there are none */
export function openReader(config: GatewayFile, registry: Registry): Promise<BooksReader> {
  const { definition, location } = storeOf(config, registry);
  return definition.read(location);
}

function storeOf(
  { state }: GatewayFile,
  { stores }: Registry,
): { readonly definition: StoreDefinition; readonly location: string } {
  const { scheme, location } = split(state);
  const definition = stores.get(scheme);
  if (definition === undefined) throw unknownScheme('state', scheme, stores);
  return { definition, location };
}

async function openBlobs(
  { config, registry, lease, clock, log }: ServiceSources,
  what: 'images' | 'answers',
): Promise<BlobStore> {
  const { images: address, images_credentials: keys } = config;
  const { scheme, location } = split(address);
  // With other keys it is another store, since requests under way go on with those that they began with.
  const place = `${address}#${hash('sha256', JSON.stringify(keys ?? null))}`;
  const blobs = await lease.use(
    `${what}:${place}`,
    async () => {
      const definition = registry.blobStores.get(scheme);
      if (definition === undefined) throw unknownScheme('images', scheme, registry.blobStores);
      const part = what === 'answers' ? what : undefined;
      return definition.open(location, { clock, log, credentials: credentialsOf(keys), part });
    },
    closeWhenOpen,
  );
  lease.use(
    `sweeper of ${what}:${place}`,
    () => startImageSweeper({ blobs, what, clock, log }),
    (sweeper) => sweeper.close(),
  );
  return blobs;
}

function credentialsOf(keys: GatewayFile['images_credentials']): BlobCredentials | undefined {
  if (keys === undefined) return undefined;
  const { access_key_id, secret_access_key, session_token = '' } = keys;
  return {
    accessKeyId: new Secret(access_key_id),
    secretAccessKey: new Secret(secret_access_key),
    sessionToken: session_token === '' ? undefined : new Secret(session_token),
  };
}

/** What could not be opened was reported by whoever waited for it, and there is nothing to close. */
async function closeWhenOpen(opening: Promise<{ close(): Promise<void> }>): Promise<void> {
  const [result] = await Promise.allSettled([opening]);
  if (result.status === 'fulfilled') await result.value.close();
}

function split(address: string): { readonly scheme: string; readonly location: string } {
  const at = address.indexOf(':');
  return { scheme: address.slice(0, at), location: address.slice(at + 1) };
}

function unknownScheme(member: string, scheme: string, known: ReadonlyMap<string, unknown>): Error {
  return new OperatorError(`\`${member}\` cannot be ${scheme}: here; it can be ${[...known.keys()].join(': or ')}:`);
}
