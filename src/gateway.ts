/** The composition root: puts the parts together and runs them, from the first load to the last byte. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAdminHandler } from './admin/admin.ts';
import { describeCapabilities } from './admin/capabilities.ts';
import { blobStores } from './blobs/index.ts';
import { describeConfig } from './config/describe.ts';
import { readConfig, validateConfig, type LoadedConfig, type LoadResult, type ReadConfig } from './config/load.ts';
import { createReloader, type LoadOutcome, type ReloadResult, type ReloadTrigger } from './config/reload.ts';
import type { Problem } from './config/problems.ts';
import { createWatcher } from './config/watch.ts';
import type { GatewayFile } from './generated/gateway.ts';
import { createHttpClient } from './http/client.ts';
import { createForwarder } from './http/forward.ts';
import { createHandler } from './http/handler.ts';
import { createJobExchange } from './http/job-exchange.ts';
import { addressRanges } from './ip-address.ts';
import { parseListenAddress } from './listen-address.ts';
import { createListeners, type BoundAddress, type Listeners, type ListenerSettings } from './http/listeners.ts';
import { createPictureFetcher } from './http/picture-fetcher.ts';
import { createServiceConnector } from './http/service-client.ts';
import { stopPainter } from './images/painter.ts';
import { valueAt } from './json-pointer.ts';
import { silentLog, type RootLogger } from './log.ts';
import { createRegistry, type Registry } from './pipeline/registry.ts';
import type { Catalogue } from './pipeline/settings.ts';
import type { Clock, ServiceConnector } from './pipeline/stage.ts';
import { providers } from './providers/index.ts';
import { createAlertOutbox } from './runtime/alert-outbox.ts';
import { systemClock } from './runtime/clock.ts';
import { compile, type Snapshot } from './runtime/compile.ts';
import { explainRequest, readExplainRequest } from './runtime/explain.ts';
import { importExtensions } from './runtime/extensions.ts';
import { createJobNotices } from './runtime/job-notices.ts';
import { createJobRunner } from './runtime/job-runner.ts';
import { buildOnLease, createResources } from './runtime/resources.ts';
import { inertServices, openServices } from './runtime/services.ts';
import { retiredModels } from './runtime/retired-models.ts';
import { showExplanation, type ShownExplanation } from './runtime/show-explanation.ts';
import { createSnapshotHolder } from './runtime/snapshot.ts';
import { createUpkeep } from './runtime/upkeep.ts';
import { limiters, stores } from './stores/index.ts';
import { stages } from './transforms/index.ts';

export interface GatewayOptions {
  /** Path of the file. */
  readonly configPath: string;
  /** What `${env:…}` may refer to. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: RootLogger;
  readonly clock?: Clock;
}

/** A gateway that is made, and runs between `start` and `stop`. */
export interface Gateway {
  /** Loads the file and opens the listeners. Nothing is left open when it is refused. */
  start(): Promise<ReloadResult>;
  reload(trigger: ReloadTrigger): Promise<ReloadResult>;
  /** What runs, for people and for `/api/status`. @throws Error before the start */
  overview(): GatewayOverview;
  /** Takes no new requests, lets those under way finish for as long as the file says, and closes everything. */
  stop(): Promise<void>;
}

export interface GatewayOverview {
  readonly addresses: readonly string[];
  readonly admin: readonly string[];
  readonly entities: readonly { readonly id: string; readonly provider: string; readonly active: boolean }[];
  /** Whether callers need a key. */
  readonly open: boolean;
  /** The first path that makes pictures. */
  readonly generationPath: string | undefined;
}

/** Everything that comes with the gateway. */
export const builtIn = createRegistry({ stages, providers, stores, limiters, blobStores });

export function createGateway({ configPath, env, log, clock = systemClock }: GatewayOptions): Gateway {
  const resources = createResources(log);
  const snapshots = createSnapshotHolder<Snapshot>(log);
  const shutdown = new AbortController();
  const forward = createForwarder();
  const services = createServiceConnector();
  const alerts = createAlertOutbox({ clock, services, log, random: Math.random });
  const requests = createHandler({ snapshots, clock, log, shutdown: shutdown.signal });
  const notices = createJobNotices({ clock, log, services, snapshots, random: Math.random });
  const jobs = createJobRunner({
    clock,
    log,
    snapshots,
    run: createJobExchange({ clock, log }),
    shutdown: shutdown.signal,
    onEnd: notices.wake,
  });
  const listeners = createListeners({ onRequest: requests.handle, log });
  let inForce: GatewayFile | undefined;
  /** Texts of the file in force that are shown to nobody. */
  let secretTexts: readonly string[] = [];
  let stopping = false;

  const watcher = createWatcher({ onChange: () => void reloader.request('watch'), log });
  const reloader = createReloader({ load, watch: watcher.watch, log, clock });
  const adminHandler = createAdminHandler({
    readiness() {
      if (inForce === undefined || stopping) return { ready: false, stateWorks: true, limitsWork: true };
      const { store, limiter } = snapshots.current().env;
      const [stateWorks, limitsWork] = [store.healthy(), limiter.healthy()];
      return { ready: (stateWorks && limitsWork) || inForce.on_state_failure === 'allow', stateWorks, limitsWork };
    },
    books: () => snapshots.current().env.store,
    now: clock.now,
    async status() {
      const { addresses, admin, entities: all } = overview();
      const { catalogue } = snapshots.current();
      const entities = all.map((entity) => ({ ...entity, health: catalogue.entities.get(entity.id)?.health.report() }));
      // A state that is out of order, which `/readyz` says, is not waited for.
      const counts = await withSnapshot(async ({ env: { store } }) =>
        store.healthy() ? store.countJobs() : null,
      ).catch(() => null);
      return { ...reloader.status(), addresses, admin, entities, jobs: counts, history: reloader.history() };
    },
    capabilities: (model) => describeCapabilities(snapshots.current().catalogue, model),
    reload: reloader.request,
    explain: (given) =>
      withSnapshot(async ({ catalogue, router, routes }) => {
        const scope = { catalogue, router, routes, readsCounts: true, nowMs: clock.now() };
        // Those of the file that is explained, whatever is loaded meanwhile.
        const hidden = secretTexts;
        return showExplanation(await explainRequest(readExplainRequest(given), scope), hidden);
      }),
    withBudgets: (use) => withSnapshot(({ catalogue, env }) => use({ budgets: catalogue.budgets, store: env.store })),
    withImages: (use) => withSnapshot(({ env }) => use(env.blobs)),
    token: () => inForce?.admin.token ?? '',
    log,
  });
  const adminListeners = createListeners({ onRequest: adminHandler, log });

  const upkeep = createUpkeep({
    clock,
    log,
    store: () => snapshots.current().env.store,
    options: () => ({ ledgerKeptMs: inForce?.ledger.keep }),
  });

  async function withSnapshot<Value>(use: (snapshot: Snapshot) => Promise<Value>): Promise<Value> {
    const lease = snapshots.acquire();
    try {
      return await use(lease.value);
    } finally {
      lease.release();
    }
  }

  async function load(digestInForce: string | undefined): Promise<LoadOutcome> {
    const read = await readConfig({ path: configPath, env });
    const { digest, files } = read;
    if (digest === digestInForce) return { kind: 'unchanged', digest, files };
    const { registry, loaded } = await validateWithExtensions(read);
    if (loaded.kind === 'invalid') return loaded;
    const { config, tls } = loaded;

    const built = await buildOnLease(resources, async (lease) => {
      const env = await openServices({
        config,
        registry,
        lease,
        clock,
        log,
        alerts,
        jobs,
        ...network(forward, services),
      });
      const compiled = compile({ config, registry, share: lease.use, createClient, services: env });
      if (compiled.kind === 'invalid') await lease.release();
      else await env.limiter.prepared();
      return { compiled, env, lease };
    });
    const { compiled, lease } = built;
    if (compiled.kind === 'invalid') {
      return { kind: 'invalid', digest, files, problems: loaded.problemsFrom(compiled.problems) };
    }
    const { catalogue, router, routes } = compiled;
    const warnings = loaded.problemsFrom(retiredModels(config, registry, clock.now()));
    return {
      kind: 'loaded',
      digest,
      files,
      description: describeConfig(config, loaded.secrets),
      discard: () => lease.release(),
      async activate(revision) {
        const snapshot: Snapshot = {
          revision,
          digest,
          server: config.server,
          trustedProxies: addressRanges(config.server.trusted_proxies),
          catalogue,
          router,
          routes,
          env: built.env,
          retire: () => lease.release(),
        };
        await putInForce(snapshot, config, tls);
        secretTexts = secretsOf(loaded);
        for (const { file, line, column, message } of warnings) log.warn(message, { file, line, column });
      },
    };
  }

  /** New addresses are open before the snapshot changes, old ones closed after; if one cannot be opened, nothing changes. */
  async function putInForce(
    snapshot: Snapshot,
    config: GatewayFile,
    tls: { readonly cert: Buffer; readonly key: Buffer } | undefined,
  ): Promise<void> {
    const before = inForce;
    // Before the first snapshot there is nothing to answer with, and a failure now ends the process anyway.
    if (before === undefined) snapshots.swap(snapshot);
    await adminListeners.apply(adminSettings(config));
    try {
      await listeners.apply(publicSettings(config, tls));
    } catch (error) {
      if (before === undefined) await adminListeners.drain(0);
      else await adminListeners.apply(adminSettings(before));
      throw error;
    }
    log.configure(config.logging);
    if (before !== undefined) snapshots.swap(snapshot);
    inForce = config;
  }

  function overview(): GatewayOverview {
    const { catalogue } = snapshots.current();
    const routes = inForce?.routes ?? [];
    return {
      addresses: originsOf(listeners),
      admin: originsOf(adminListeners),
      entities: (inForce?.image_models ?? []).map(({ id, provider }) => ({
        id,
        provider,
        active: catalogue.entities.has(id),
      })),
      open: catalogue.consumersByKeyHash.size === 0,
      generationPath: routes.find((route) => route.operation === 'generation')?.path,
    };
  }

  return {
    async start() {
      const result = await reloader.request('start');
      if (result.kind === 'refused') await close();
      else {
        upkeep.start();
        jobs.start();
        notices.start();
      }
      return result;
    },
    reload: reloader.request,
    overview,
    async stop() {
      stopping = true;
      jobs.stop();
      await watcher.close();
      await reloader.close();
      const graceMs = inForce?.server.timeouts.drain ?? 0;
      const untilMs = clock.monotonic() + graceMs;
      const giveUp = clock.timer(graceMs, () => shutdown.abort());
      await Promise.all([listeners.drain(graceMs + lastWordsMs), requests.idle(), jobs.idle()]);
      giveUp.cancel();
      // What the last requests have raised gets a moment even when they took all of the time.
      const leftMs = Math.max(lastWordsMs, untilMs - clock.monotonic());
      await Promise.all([alerts.close(leftMs), notices.close(leftMs)]);
      await upkeep.stop();
      await adminListeners.drain(0);
      await close();
    },
  };

  async function close(): Promise<void> {
    await watcher.close();
    forward.close();
    await Promise.all([resources.close(), stopPainter()]);
  }
}

/** A file that was read, checked with the stages and providers of its own extensions. */
export async function validateWithExtensions(
  read: ReadConfig,
): Promise<{ readonly registry: Registry; readonly loaded: LoadResult }> {
  const { registry, problems } = await importExtensions(read.extensions, builtIn);
  return { registry, loaded: validateConfig(read, registry, problems) };
}

/** What there is to say about a file. */
export interface CheckedConfig {
  /** What keeps it from going live. */
  readonly problems: readonly Problem[];
  /** What does not, but should be looked at. */
  readonly warnings: readonly Problem[];
  /** What it means, if there are no problems. Nothing in it can send or keep anything. */
  readonly meaning:
    { readonly config: GatewayFile; readonly registry: Registry; readonly catalogue: Catalogue } | undefined;
}

/**
 * All that is wrong with a file: what a reload would check, without opening or starting anything.
 */
export async function checkConfig({
  configPath,
  env,
}: Pick<GatewayOptions, 'configPath' | 'env'>): Promise<CheckedConfig> {
  const { registry, loaded } = await validateWithExtensions(await readConfig({ path: configPath, env }));
  if (loaded.kind === 'invalid') return { problems: loaded.problems, warnings: [], meaning: undefined };
  const { config } = loaded;
  const resources = createResources(silentLog);
  const lease = resources.lease();
  const compiled = compile({ config, registry, share: lease.use, createClient, services: inertServices });
  await resources.close();
  const isValid = compiled.kind === 'compiled';
  return {
    problems: isValid ? [] : loaded.problemsFrom(compiled.problems),
    warnings: loaded.problemsFrom(retiredModels(config, registry, systemClock.now())),
    meaning: isValid ? { config, registry, catalogue: compiled.catalogue } : undefined,
  };
}

/**
 * What a request would do under a file, without a gateway that runs: so nothing is known of counts.
 * @throws GatewayError invalid_value for a question that is none
 */
export async function explainConfig(
  { configPath, env }: Pick<GatewayOptions, 'configPath' | 'env'>,
  given: unknown,
): Promise<
  | { readonly problems: readonly Problem[]; readonly explanation: undefined }
  | { readonly problems: undefined; readonly explanation: ShownExplanation }
> {
  const asked = readExplainRequest(given);
  const { registry, loaded } = await validateWithExtensions(await readConfig({ path: configPath, env }));
  if (loaded.kind === 'invalid') return { problems: loaded.problems, explanation: undefined };
  const { config } = loaded;
  const resources = createResources(silentLog);
  const lease = resources.lease();
  try {
    const compiled = compile({ config, registry, share: lease.use, createClient, services: inertServices });
    if (compiled.kind === 'invalid') {
      return { problems: loaded.problemsFrom(compiled.problems), explanation: undefined };
    }
    const scope = { ...compiled, readsCounts: false, nowMs: systemClock.now() };
    return { problems: undefined, explanation: showExplanation(await explainRequest(asked, scope), secretsOf(loaded)) };
  } finally {
    await resources.close();
  }
}

/** The texts of a file that are shown to nobody. */
function secretsOf({ config, secrets, secretTexts }: LoadedConfig): readonly string[] {
  const whole = [...secrets].flatMap((pointer) => {
    const value = valueAt(config, pointer);
    return typeof value === 'string' ? [value, ...value.split(',').map((part) => part.trim())] : [];
  });
  return [...secretTexts, ...whole];
}

/** Milliseconds that requests get to say that they were cut off, once waiting for them is over. */
const lastWordsMs = 1000;

/** Milliseconds within which a provider must take a connection. */
const connectTimeoutMs = 10_000;

function createClient(): ReturnType<typeof createHttpClient> {
  return createHttpClient({ connectTimeoutMs });
}

function network(forward: ReturnType<typeof createForwarder>, services: ServiceConnector) {
  return { forward, services, createPictureFetcher, spoolDirectory: join(tmpdir(), 'pinhole') };
}

function publicSettings(
  { server }: GatewayFile,
  tls: { readonly cert: Buffer; readonly key: Buffer } | undefined,
): ListenerSettings {
  return {
    addresses: server.listen.map((text) => ({ ...parseListenAddress(text), tls })),
    timeouts: { headersMs: server.timeouts.headers, keepAliveMs: server.timeouts.keep_alive },
  };
}

function adminSettings({ admin, server }: GatewayFile): ListenerSettings {
  return {
    addresses: [{ ...parseListenAddress(admin.listen), tls: undefined }],
    timeouts: { headersMs: server.timeouts.headers, keepAliveMs: server.timeouts.keep_alive },
  };
}

function originsOf(listeners: Listeners): readonly string[] {
  return listeners.addresses().map(originOf);
}

function originOf({ protocol, host, port }: BoundAddress): string {
  const name = host === '' ? 'localhost' : host;
  return `${protocol}://${name.includes(':') ? `[${name}]` : name}:${port}`;
}
