/** The admin listener: health, readiness, status, usage, budgets, reload and hosted images. It is never part of the public listener. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { BlobStore } from '../blobs/blob-store.ts';
import { collect, type ByteSource } from '../body/byte-source.ts';
import { GatewayError, toGatewayError } from '../errors.ts';
import type { ReloadResult, ReloadTrigger } from '../config/reload.ts';
import { splitTarget } from '../http/exchange.ts';
import { requestBody } from '../http/request-body.ts';
import type { RequestHandler } from '../http/server.ts';
import { errorResponse, sendResponse } from '../http/reply.ts';
import { isJsonObject } from '../json.ts';
import type { Logger } from '../log.ts';
import { jsonResponse, type BodyResponse } from '../pipeline/response.ts';
import type { BooksReader } from '../stores/ledger.ts';
import { answerBudgets, resetBudget, type BudgetBooks } from './budgets.ts';
import { deleteImage, listImages } from './images.ts';
import { answerRows, answerUsage } from './usage.ts';

/** What the admin listener tells and does. */
export interface AdminSources {
  readiness(): Readiness;
  status(): object | Promise<object>;
  /** The ledger. */
  books(): BooksReader;
  /** Milliseconds since 1970. */
  now(): number;
  /** @param model a model to ask about in place of those that are known */
  capabilities(model: string | null): object;
  reload(trigger: ReloadTrigger): Promise<ReloadResult>;
  /** What a request would do. @param given the question, as it came @throws GatewayError invalid_value */
  explain(given: unknown): Promise<object>;
  /** Does something with the budgets in force, and keeps their books open meanwhile. */
  withBudgets<Value>(use: (books: BudgetBooks) => Promise<Value>): Promise<Value>;
  /** Does something with the hosted images, and keeps their place open meanwhile. */
  withImages<Value>(use: (blobs: BlobStore) => Promise<Value>): Promise<Value>;
  /** Empty: none is asked for. */
  token(): string;
  readonly log: Logger;
}

export interface Readiness {
  /** Whether requests are being taken: a configuration is in force, the gateway is not stopping, and it can do its work. */
  readonly ready: boolean;
  /** Whether the state can be written to. Where calls go on without it, the gateway is ready all the same. */
  readonly stateWorks: boolean;
  /** The same of what requests are counted in against their rate limits. */
  readonly limitsWork: boolean;
}

/**
 * @param rest what stands in the place of the route's `*`, decoded; empty without one
 * @param body the request's, not yet read
 */
type Endpoint = (
  sources: AdminSources,
  query: URLSearchParams,
  rest: string,
  body: ByteSource,
) => BodyResponse | Promise<BodyResponse>;

interface AdminRoute {
  readonly methods: readonly string[];
  /** Probes carry no token, and learn nothing but whether the gateway is there. */
  readonly open: boolean;
  readonly answer: Endpoint;
}

/** By path; a `*` is one segment, whatever it says. */
const routes = new Map<string, AdminRoute>([
  ['/healthz', { methods: ['GET', 'HEAD'], open: true, answer: () => jsonResponse(200, { status: 'ok' }) }],
  ['/readyz', { methods: ['GET', 'HEAD'], open: true, answer: readiness }],
  ['/api/status', { methods: ['GET'], open: false, answer: status }],
  ['/api/capabilities', { methods: ['GET'], open: false, answer: capabilities }],
  ['/api/usage', { methods: ['GET'], open: false, answer: usage }],
  ['/api/usage/rows', { methods: ['GET'], open: false, answer: usageRows }],
  ['/api/budgets', { methods: ['GET'], open: false, answer: budgets }],
  ['/api/budgets/*/reset', { methods: ['POST'], open: false, answer: budgetReset }],
  ['/api/reload', { methods: ['POST'], open: false, answer: reload }],
  ['/api/explain', { methods: ['POST'], open: false, answer: explain }],
  ['/api/images', { methods: ['GET'], open: false, answer: images }],
  ['/api/images/*', { methods: ['DELETE'], open: false, answer: image }],
]);

function readiness(sources: AdminSources): BodyResponse {
  const { ready, stateWorks, limitsWork } = sources.readiness();
  const failing = {
    ...(stateWorks ? {} : { state: 'failing' }),
    ...(limitsWork ? {} : { rate_limits: 'failing' }),
  };
  return ready
    ? jsonResponse(200, { status: 'ready', ...failing })
    : jsonResponse(503, { status: 'not ready', ...failing });
}

function capabilities(sources: AdminSources, query: URLSearchParams): BodyResponse {
  return jsonResponse(200, sources.capabilities(query.get('model')));
}

async function status(sources: AdminSources): Promise<BodyResponse> {
  return jsonResponse(200, await sources.status());
}

async function usage(sources: AdminSources, query: URLSearchParams): Promise<BodyResponse> {
  return jsonResponse(200, await answerUsage(sources.books(), query, sources.now()));
}

async function usageRows(sources: AdminSources, query: URLSearchParams): Promise<BodyResponse> {
  return jsonResponse(200, await answerRows(sources.books(), query, sources.now()));
}

async function budgets({ withBudgets, now }: AdminSources, query: URLSearchParams): Promise<BodyResponse> {
  return jsonResponse(200, await withBudgets((books) => answerBudgets(books, query, now())));
}

async function budgetReset(
  { withBudgets, now }: AdminSources,
  query: URLSearchParams,
  id: string,
): Promise<BodyResponse> {
  return jsonResponse(200, await withBudgets((books) => resetBudget(books, id, query, now())));
}

async function reload(sources: AdminSources): Promise<BodyResponse> {
  const result = await sources.reload('api');
  return jsonResponse(result.kind === 'refused' ? 422 : 200, result);
}

/** The largest question, prompt included. */
const maxQuestionBytes = 128 * 1024;
/** Milliseconds that a question may take to arrive. */
const questionMs = 10_000;

async function explain(
  sources: AdminSources,
  _query: URLSearchParams,
  _rest: string,
  body: ByteSource,
): Promise<BodyResponse> {
  return jsonResponse(200, await sources.explain(parseQuestion(await collect(body))));
}

function parseQuestion(bytes: Uint8Array): object {
  let document: unknown;
  try {
    document = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    document = undefined;
  }
  if (!isJsonObject(document)) throw new GatewayError('invalid_json', 'The body must be a JSON object.');
  return document;
}

function images({ withImages }: AdminSources, query: URLSearchParams): Promise<BodyResponse> {
  return withImages((blobs) => listImages(blobs, query));
}

function image({ withImages }: AdminSources, _query: URLSearchParams, name: string): Promise<BodyResponse> {
  return withImages((blobs) => deleteImage(blobs, name));
}

/** Milliseconds that a client has to take an answer off our hands. */
const answerDeadlineMs = 10_000;

export function createAdminHandler(sources: AdminSources): RequestHandler {
  return function handle(live) {
    const { request } = live;
    const { path, query } = splitTarget(request.url ?? '/');
    const body = requestBody(request, { maxBytes: maxQuestionBytes, bodyMs: questionMs });
    respond({ path, query, method: request.method ?? 'GET', body }, request.headers.authorization, sources)
      .catch((error: unknown) => {
        const shown = toGatewayError(error);
        if (shown.code === 'internal_error') sources.log.error('the admin listener failed', { path, error });
        return errorResponse(shown);
      })
      .finally(() => body.cancel())
      .then((response) => sendResponse(live, response, new Map(), AbortSignal.timeout(answerDeadlineMs)))
      .catch((error: unknown) => sources.log.debug('an admin answer was not taken', { path, error }));
  };
}

interface AdminRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  readonly method: string;
  readonly body: ByteSource;
}

async function respond(
  { path, query, method, body }: AdminRequest,
  authorization: string | undefined,
  sources: AdminSources,
): Promise<BodyResponse> {
  const found = findRoute(path);
  if (found === undefined) throw new GatewayError('route_not_found', 'The admin listener has no such path.');
  const { route, rest } = found;
  if (!route.open) authorise(authorization, sources.token());
  if (!route.methods.includes(method)) {
    const allow = route.methods.join(', ');
    throw new GatewayError('method_not_allowed', `${method} is not allowed here; ${allow} is.`, { headers: { allow } });
  }
  return route.answer(sources, query, rest, body);
}

function findRoute(path: string): { readonly route: AdminRoute; readonly rest: string } | undefined {
  const segments = path.split('/');
  for (const [pattern, route] of routes) {
    const wanted = pattern.split('/');
    const at = wanted.indexOf('*');
    if (segments.length !== wanted.length || !wanted.every((name, index) => index === at || name === segments[index])) {
      continue;
    }
    const rest = decode(segments[at] ?? '');
    if (at < 0 || (rest !== undefined && rest !== '')) return { route, rest: rest ?? '' };
  }
  return undefined;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function authorise(authorization: string | undefined, token: string): void {
  if (token === '') return;
  const given = /^bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  if (given === undefined) throw new GatewayError('missing_api_key', 'The admin listener asks for its token.');
  if (!timingSafeEqual(digest(given), digest(token))) {
    throw new GatewayError('invalid_api_key', 'This is not the token of the admin listener.');
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
