/** From a valid file to a snapshot: everything that requests need, prepared. */
import type { GatewayFile, RouteFile, StageFile } from '../generated/gateway.ts';
import type { TrustedProxies } from '../http/addresses.ts';
import type { JsonValue } from '../json.ts';
import type { CompiledStage } from '../pipeline/run.ts';
import type { Catalogue, ForwardSettings, Route } from '../pipeline/settings.ts';
import type { StageEnv } from '../pipeline/stage.ts';
import { Secret } from '../secret.ts';
import { compileCatalogue, compileFilter, type CatalogueSources } from './catalogue.ts';
import { checkPipeline, compilePipeline } from './pipelines.ts';
import { createRouter, type Router } from './routing.ts';

/** What one revision of the file means. Never changes; requests hold it from their first line to their last byte. */
export interface Snapshot {
  readonly revision: number;
  readonly digest: string;
  readonly server: GatewayFile['server'];
  /** Networks whose `x-forwarded-for` is believed. */
  readonly trustedProxies: TrustedProxies;
  readonly catalogue: Catalogue;
  readonly router: Router<CompiledRoute>;
  /** In the order of the file. */
  readonly routes: readonly CompiledRoute[];
  readonly env: StageServices;
  retire(): Promise<void>;
}

export interface CompiledRoute {
  readonly route: Route;
  readonly stages: readonly CompiledStage[];
}

/** What stages get from the gateway itself, whichever route they stand in. */
export type StageServices = Omit<StageEnv, 'route' | 'catalogue' | 'share' | 'below'>;

export interface CompileSources extends Pick<CatalogueSources, 'config' | 'registry' | 'share' | 'createClient'> {
  readonly services: StageServices;
}

export interface PointedProblem {
  readonly pointer: string;
  readonly message: string;
}

export type Compiled =
  | ({ readonly kind: 'compiled' } & Pick<Snapshot, 'catalogue' | 'router' | 'routes'>)
  | { readonly kind: 'invalid'; readonly problems: readonly PointedProblem[] };

/** Compiles the whole file, and tells all that is wrong with it. */
export function compile(sources: CompileSources): Compiled {
  const { config, registry, share, services } = sources;
  const problems: PointedProblem[] = [];
  const report = (pointer: string, message: string): void => void problems.push({ pointer, message });

  const catalogue = compileCatalogue({ ...sources, clock: services.clock, log: services.log, report });
  for (const [name, stages] of Object.entries(config.pipelines)) {
    checkPipeline(stages, `/pipelines/${escapePointer(name)}`, { registry, report });
  }
  const routes = config.routes.map((file, index) => {
    const route = compileRoute(file, config.server);
    const { stages, pointer } = pipelineOf(file, index, config);
    if (typeof file.pipeline !== 'string') checkPipeline(stages, pointer, { registry, report });
    const env: StageEnv = { ...services, route, catalogue, share, below: '' };
    const compiled = compilePipeline(stages, pointer, env, { registry, report });
    return { pattern: patternOf(file), route: { route, stages: compiled } };
  });
  if (problems.length > 0) return { kind: 'invalid', problems };
  return { kind: 'compiled', catalogue, router: createRouter(routes), routes: routes.map(({ route }) => route) };
}

function compileRoute(file: RouteFile, { timeouts }: GatewayFile['server']): Route {
  return {
    id: file.id,
    operation: file.operation,
    refs: file.refs,
    decode: file.decode,
    maxUploadBytes: file.max_size_upload,
    imageUrls: file.image_urls,
    strict: file.strict,
    allowProviders: file.allow_providers === undefined ? undefined : new Set(file.allow_providers),
    unsupportedParams: file.unsupported_params,
    fanout: file.fanout,
    onDisconnect: file.on_disconnect,
    urlMode: file.url_mode,
    imagesExpireAfterMs: file.images_expire,
    // It came from YAML and fits the request's schema: there is nothing but JSON in it.
    defaults: file.defaults as Readonly<Record<string, JsonValue>>,
    models: compileFilter(file.models),
    upstream: file.upstream === undefined ? undefined : compileUpstream(file.upstream),
    timeoutMs: timeouts.request,
  };
}

function compileUpstream(file: NonNullable<RouteFile['upstream']>): ForwardSettings {
  const headers = Object.entries(file.headers).map(([name, value]) => [name.toLowerCase(), new Secret(value)] as const);
  return { url: new URL(file.url), headers: Object.fromEntries(headers), timeoutMs: file.timeout };
}

function pipelineOf(
  file: RouteFile,
  index: number,
  config: GatewayFile,
): { readonly stages: readonly StageFile[]; readonly pointer: string } {
  return typeof file.pipeline === 'string'
    ? { stages: config.pipelines[file.pipeline] ?? [], pointer: `/pipelines/${escapePointer(file.pipeline)}` }
    : { stages: file.pipeline, pointer: `/routes/${index}/pipeline` };
}

function patternOf(file: RouteFile): Parameters<typeof createRouter>[0][number]['pattern'] {
  const headers = Object.entries(file.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value] as const);
  return {
    path: file.path,
    methods: file.methods,
    hosts: file.hosts?.map((host) => host.toLowerCase()),
    headers: Object.fromEntries(headers),
  };
}

/** RFC 6901, section 3. */
function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1');
}
