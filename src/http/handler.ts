/** One request, from its head to its last byte: route, pipeline, answer, what comes afterwards, and the log line. */
import type { IncomingMessage } from 'node:http';
import { recordCall } from '../budget/record.ts';
import { knownCost } from '../budget/usage.ts';
import { GatewayError, toGatewayError } from '../errors.ts';
import { resumable, type ByteSource } from '../body/byte-source.ts';
import { formatUsd } from '../money.ts';
import type { LogFields, Logger } from '../log.ts';
import type { ExchangeEnd, LiveConnection } from '../pipeline/exchange.ts';
import { hostedLink, originOf } from '../pipeline/hosted-link.ts';
import type { BodyResponse } from '../pipeline/response.ts';
import { runStages, type RunningExchange } from '../pipeline/run.ts';
import type { Clock } from '../pipeline/stage.ts';
import type { CompiledRoute, Snapshot } from '../runtime/compile.ts';
import type { SnapshotHolder } from '../runtime/snapshot.ts';
import { remoteAddress } from './addresses.ts';
import { createAdmission, type Admission } from './admission.ts';
import { corsHeaders, isPreflight, preflightHeaders } from './cors.ts';
import { createPinger, errorEvents, isEvents, type Pinger } from './event-output.ts';
import { eventsOfResult, renderEvents, withGrace } from './events-response.ts';
import { keepBody, type KeptBody } from './kept-body.ts';
import { openExchange, requestId, splitTarget, type OpenExchange } from './exchange.ts';
import { renderImages, type RenderContext } from './images-response.ts';
import { errorResponse, hasBegun, sendResponse } from './reply.ts';
import { requestBody } from './request-body.ts';
import type { RequestHandler } from './server.ts';

export interface HandlerOptions {
  readonly snapshots: SnapshotHolder<Snapshot>;
  readonly clock: Clock;
  readonly log: Logger;
  /** Aborted when the gateway has waited long enough for requests under way. */
  readonly shutdown: AbortSignal;
}

export interface Handler {
  /** Takes a request and answers it. Never throws: whatever goes wrong becomes an answer, a log line, or both. */
  readonly handle: RequestHandler;
  /** Resolves when no request is under way, what was deferred included. */
  idle(): Promise<void>;
}

export function createHandler(options: HandlerOptions): Handler {
  const underWay = new Set<Promise<void>>();
  const admission = createAdmission(options);
  return {
    handle(live) {
      const lease = options.snapshots.acquire();
      const served = serve(live, lease.value, { ...options, admission })
        .catch((error: unknown) => options.log.error('a request could not be served', { error }))
        .finally(() => {
          lease.release();
          underWay.delete(served);
        });
      underWay.add(served);
    },
    async idle() {
      while (underWay.size > 0) await Promise.all(underWay);
    },
  };
}

/** What is known of a request before it has a route. */
interface Reception {
  readonly id: string;
  readonly startedAtMs: number;
  readonly path: string;
  readonly headers: Map<string, string>;
  readonly remote: string;
}

interface ServeOptions extends HandlerOptions {
  readonly admission: Admission;
}

async function serve(live: LiveConnection, snapshot: Snapshot, options: ServeOptions): Promise<void> {
  const { request } = live;
  const { path, query } = splitTarget(request.url ?? '/');
  const id = requestId(request);
  const reception: Reception = {
    id,
    startedAtMs: options.clock.monotonic(),
    path,
    headers: new Map([
      ['x-request-id', id],
      ...Object.entries(corsHeaders(request.headers.origin, snapshot.server.cors)),
    ]),
    remote: remoteAddress(request, snapshot.trustedProxies),
  };
  if (isPreflight(request) && snapshot.server.cors !== undefined) {
    const headers = preflightHeaders(request, snapshot.server.cors);
    return answerWithoutRoute(live, reception, { kind: 'body', status: 204, headers, body: new Uint8Array() }, options);
  }
  const match = snapshot.router.match(request.method ?? 'GET', path, request.headers);
  if (match.kind !== 'found') {
    return answerWithoutRoute(live, reception, errorResponse(noRoute(request, path, match)), options);
  }
  const admitted = options.admission.enter(snapshot.server.max_requests);
  if (admitted.kind === 'refused') return answerWithoutRoute(live, reception, errorResponse(admitted.error), options);
  try {
    await serveRoute(live, { snapshot, reception, match, query }, options);
  } finally {
    admitted.leave();
  }
}

/** A request that has a route. */
interface Arrival {
  readonly snapshot: Snapshot;
  readonly reception: Reception;
  readonly match: Extract<ReturnType<Snapshot['router']['match']>, { kind: 'found' }>;
  readonly query: URLSearchParams;
}

async function serveRoute(
  live: LiveConnection,
  { snapshot, reception, match, query }: Arrival,
  options: HandlerOptions,
): Promise<void> {
  const { request } = live;
  const { id } = reception;
  const { route } = match.route;
  const abort = followConnection(live, options.shutdown);
  const pinger = createPinger(live, () => answerHeaders(opened.exchange), options.clock);
  const body = requestBody(request, { maxBytes: route.maxUploadBytes, bodyMs: snapshot.server.timeouts.body });
  const kept = keptBodyFor(request, match.route, body, snapshot);
  const opened = openExchange({
    id,
    startedAtMs: options.clock.now(),
    route,
    live,
    signal: abort.signal,
    log: options.log.child({ request_id: id, route: route.id }),
    keepAlive: pinger.every,
    outliveClient: abort.outliveClient,
    body: kept?.body ?? body,
    ...(kept === undefined ? {} : { keptBody: kept.kept }),
    request: {
      method: request.method ?? 'GET',
      path: request.url ?? '/',
      query,
      parameters: match.parameters,
      headers: request.headers,
      remoteAddress: reception.remote,
    },
  });
  const { exchange, finish } = opened;
  for (const [name, value] of reception.headers) exchange.responseHeaders.set(name, value);
  if (route.onDisconnect === 'finish') abort.outliveClient();
  if (kept !== undefined) exchange.defer(kept.discard);
  // Registered first, so that it runs when all stages are done.
  exchange.defer((end) => recordCall(exchange, end, snapshot.env));
  // A forwarded stream or WebSocket may last as long as its two ends like.
  const deadline = route.upstream === undefined ? startDeadline(abort, snapshot, options.clock) : undefined;
  const { end, clientGone } = await answer(opened, match.route, {
    connected: abort.connected,
    snapshot,
    reception,
    pinger,
    clock: options.clock,
  }).catch((error: unknown): Outcome => {
    // Whatever went wrong even with the error, what was deferred has to run.
    exchange.log.error('a request could not be answered', { error });
    breakOff(live);
    return { end: { kind: 'failed', status: 500, error: toGatewayError(error) }, clientGone: false };
  });
  deadline?.cancel();
  exchange.body.cancel();
  await finish(end);
  abort.release();
  logAccess(exchange, reception, { end, clientGone }, options.clock);
}

/** The body as it is read for a request of which a stage wants to have the bytes afterwards. */
function keptBodyFor(
  request: IncomingMessage,
  { route, stages }: CompiledRoute,
  body: ByteSource,
  { env }: Snapshot,
): KeptBody | undefined {
  if (!stages.some(({ keepsBody }) => keepsBody?.(request) === true)) return undefined;
  const overflow = (): Error => new GatewayError('payload_too_large', 'The body is larger than this route takes.');
  return keepBody(body, { ...env.spool, maxBytes: route.maxUploadBytes, overflow });
}

interface Outcome {
  readonly end: ExchangeEnd;
  /** Whether the client had left by then. */
  readonly clientGone: boolean;
}

/** What surrounds the answering of one request. */
interface Surroundings {
  /** Aborted when the client leaves, or the gateway stops waiting. */
  readonly connected: AbortSignal;
  readonly snapshot: Snapshot;
  readonly reception: Reception;
  readonly pinger: Pinger;
  readonly clock: Clock;
}

/** Runs the pipeline and sends what it gave, or the error that it ended with. */
async function answer(opened: OpenExchange, { stages }: CompiledRoute, surroundings: Surroundings): Promise<Outcome> {
  const { exchange } = opened;
  const { connected, pinger, clock } = surroundings;
  try {
    // Whatever comes next writes by itself.
    await runStages(stages, exchange, clock.monotonic).finally(pinger.stop);
    const { response } = exchange;
    if (response === undefined) throw new GatewayError('internal_error', 'The pipeline gave no answer.');
    if (response.kind === 'taken') return answered(response.status, connected);
    const body = response.kind === 'body' ? response : await bodyOf(exchange, surroundings);
    if (pinger.hasBegun && !isEvents(body)) {
      throw new GatewayError(
        'internal_error',
        'The pipeline gave no events, although the answer had begun with pings.',
      );
    }
    await deliver(opened, body, surroundings);
    const failure = body.failure?.();
    if (failure === undefined) return answered(body.status, connected);
    return { end: failedEnd(exchange, errorOf(exchange, failure), failure), clientGone: isGone(connected) };
  } catch (thrown) {
    const fault = errorOf(exchange, thrown);
    const error = opened.recorder()?.error(fault) ?? fault;
    const clientGone = isGone(connected);
    const end = failedEnd(exchange, error, thrown);
    if (end.kind !== 'aborted') await sendError(opened, error, surroundings);
    // What has no answer must not be waited for, whoever it was that left.
    else if (!clientGone) breakOff(exchange.live);
    return { end, clientGone };
  }
}

function answered(status: number, connected: AbortSignal): Outcome {
  return { end: { kind: 'answered', status, error: undefined }, clientGone: isGone(connected) };
}

export function errorOf({ signal }: RunningExchange, thrown: unknown): GatewayError {
  return toGatewayError(signal.aborted ? signal.reason : thrown);
}

export function failedEnd({ log }: RunningExchange, error: GatewayError, thrown: unknown): ExchangeEnd {
  if (error.code === 'client_closed_request') return { kind: 'aborted', status: error.status, error };
  if (error.code === 'internal_error') log.error('internal error', { error: thrown });
  return { kind: 'failed', status: error.status, error };
}

/** Sends an answer, and where the client's leaving is outlived reads on to its end. */
async function deliver(
  { exchange, recorder }: OpenExchange,
  response: BodyResponse,
  { connected, clock }: Surroundings,
): Promise<void> {
  const headers = answerHeaders(exchange);
  const answer = recorder()?.answer(response, headers) ?? response;
  const body = answer.body instanceof Uint8Array ? undefined : resumable(answer.body);
  // Whoever takes events is told in the end why there are no more.
  const grace = isEvents(response) ? withGrace(connected, errorDeadlineMs, clock) : undefined;
  try {
    connected.throwIfAborted();
    const sent = body === undefined ? answer : { ...answer, body: body.source };
    await sendResponse(exchange.live, sent, headers, grace?.signal ?? connected);
  } catch (error) {
    // Without the client there is an exchange only where its leaving is outlived.
    if (!connected.aborted || exchange.signal.aborted) throw error;
    if (body !== undefined) await readToEnd(body.source);
  } finally {
    body?.end();
    grace?.release();
  }
}

export async function readToEnd(body: ByteSource): Promise<void> {
  const chunks = body[Symbol.asyncIterator]();
  while ((await chunks.next()).done !== true);
}

/** Never throws: what was deferred has to run, whether or not anybody takes the error off our hands. */
async function sendError(
  { exchange, recorder }: OpenExchange,
  error: GatewayError,
  { connected, pinger }: Surroundings,
): Promise<void> {
  const { live } = exchange;
  const headers = answerHeaders(exchange);
  const response = errorResponse(error);
  const answer = recorder()?.answer(response, headers) ?? response;
  const awaitsEvents = pinger.hasBegun && live.answer.kind === 'response' && !live.answer.response.destroyed;
  if (hasBegun(live) && !awaitsEvents) {
    breakOff(live);
    return;
  }
  if (isGone(connected)) return;
  try {
    const sent = awaitsEvents ? errorEvents(error) : answer;
    await sendResponse(live, sent, headers, AbortSignal.timeout(errorDeadlineMs));
  } catch (unsent) {
    exchange.log.debug('an error was not taken', { error: unsent });
    breakOff(exchange.live);
  }
}

/** Milliseconds that a caller has to take an error off our hands. */
const errorDeadlineMs = 10_000;

/** What the pictures of an exchange are written out with. */
interface Writing {
  readonly snapshot: Snapshot;
  readonly reception: Pick<Reception, 'startedAtMs'>;
  readonly pinger: Pick<Pinger, 'everyMs' | 'hasBegun'>;
  readonly clock: Clock;
}

/** @throws GatewayError internal_error when the pipeline has given no answer that could be sent */
export async function bodyOf(
  exchange: RunningExchange,
  { snapshot, reception, pinger, clock }: Writing,
): Promise<BodyResponse> {
  const { response, result, call, signal } = exchange;
  if (response?.kind !== 'images' || result === undefined || call === undefined) {
    throw new GatewayError('internal_error', 'The pipeline gave an answer without pictures.');
  }
  if (result.passThrough !== undefined && response.passThrough) {
    return { kind: 'body', status: 200, headers: { 'content-type': 'application/json' }, body: result.passThrough() };
  }
  const nowSeconds = Math.floor(clock.now() / 1000);
  const host = hostFor(exchange, snapshot, clock);
  if (response.framing === 'events') {
    const { everyMs: pingEveryMs, hasBegun } = pinger;
    const context = { call, nowSeconds, host, clock, pingEveryMs, hasBegun, signal };
    return renderEvents(eventsOfResult(result), response, context);
  }
  return renderImages(await result.read(), response, {
    call,
    attempts: exchange.attempts,
    budgets: exchange.budgets,
    log: exchange.log,
    elapsedMs: clock.monotonic() - reception.startedAtMs,
    nowSeconds,
    host,
  });
}

/** Keeps the pictures of an answer and makes links to them; undefined when no route serves them. */
function hostFor(
  { route, signal, live }: RunningExchange,
  { catalogue, env }: Snapshot,
  clock: Clock,
): RenderContext['host'] {
  const { path, publicUrl, signer } = catalogue.hosting;
  if (path === undefined) return undefined;
  const { imagesExpireAfterMs: keptForMs } = route;
  return async function host(content, mediaType, mostMs = Infinity) {
    const now = clock.now();
    const keptMs = Math.min(keptForMs ?? Infinity, mostMs);
    const expiresAtMs = keptMs === Infinity ? undefined : now + keptMs;
    const name = await madeAlready(env.blobs.put(content, mediaType, { expiresAtMs, signal }));
    const untilMs = now + Math.min(keptMs, signer?.lifetimeMs ?? 0);
    return hostedLink((publicUrl ?? originOf(live)) + path, { name, untilMs }, signer);
  };
}

/** A picture that cannot be kept has been paid for: the same call again would be paid for again. */
async function madeAlready<Value>(work: Promise<Value>): Promise<Value> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof GatewayError) || !error.retry) throw error;
    throw new GatewayError(error.code, error.message, { retry: false, cause: error.cause });
  }
}

/** The headers that every answer of a route carries. */
export function answerHeaders(exchange: RunningExchange): ReadonlyMap<string, string> {
  const headers = new Map(exchange.responseHeaders);
  const { target, attempts, timings } = exchange;
  if (attempts.length > 0) {
    const last = attempts.at(-1);
    headers.set('x-pinhole-attempts', String(attempts.length));
    headers.set('x-pinhole-entity', last?.entity ?? target?.entity.id ?? '');
    headers.set('x-pinhole-provider', last?.provider ?? '');
    headers.set('x-pinhole-model', headerText(last?.model ?? ''));
    const cost = knownCost(attempts);
    if (cost !== undefined) headers.set('x-pinhole-cost-usd', formatUsd(cost));
  }
  const stages = Array.from(timings, ([name, elapsedMs]) => `${name};dur=${elapsedMs.toFixed(2)}`);
  headers.set('server-timing', stages.join(', '));
  return headers;
}

/** Model names come from callers; a header carries printable ASCII only. */
function headerText(text: string): string {
  return text.toWellFormed().replace(/[^\x20-\x7e]/gu, (character) => encodeURIComponent(character));
}

function noRoute(
  request: IncomingMessage,
  path: string,
  match: { kind: 'none' } | { kind: 'other-methods'; methods: readonly string[] },
): GatewayError {
  if (match.kind === 'none') return new GatewayError('route_not_found', `There is no route for ${headerText(path)}.`);
  const allow = match.methods.join(', ');
  return new GatewayError('method_not_allowed', `${request.method} is not allowed here; ${allow} is.`, {
    headers: { allow },
  });
}

async function answerWithoutRoute(
  live: LiveConnection,
  reception: Reception,
  response: BodyResponse,
  { log, clock }: HandlerOptions,
): Promise<void> {
  await sendResponse(live, response, reception.headers, AbortSignal.timeout(errorDeadlineMs));
  log.info('request', {
    request_id: reception.id,
    method: live.request.method,
    path: reception.path,
    status: response.status,
    duration_ms: Math.round(clock.monotonic() - reception.startedAtMs),
    remote: reception.remote,
  });
}

interface ExchangeAbort {
  /** Aborted when the client leaves, unless that is outlived, and when the gateway stops waiting. */
  readonly signal: AbortSignal;
  /** Aborted when `signal` is, and when the client leaves in any case. */
  readonly connected: AbortSignal;
  abort(reason: GatewayError): void;
  /** From here on the client's leaving does not abort `signal`. */
  outliveClient(): void;
  release(): void;
}

function followConnection({ request, answer }: LiveConnection, shutdown: AbortSignal): ExchangeAbort {
  const controller = new AbortController();
  const connected = new AbortController();
  let outlived = false;
  const abort = (reason: GatewayError): void => {
    controller.abort(reason);
    connected.abort(reason);
  };
  const left = (): void => {
    const complete = answer.kind === 'response' && answer.response.writableFinished;
    if (complete) return;
    const reason = new GatewayError('client_closed_request', 'The client went away.');
    if (outlived) connected.abort(reason);
    else abort(reason);
  };
  const stop = (): void => abort(new GatewayError('overloaded', 'The gateway is shutting down.'));
  const connection = answer.kind === 'response' ? answer.response : answer.socket;
  connection.once('close', left);
  shutdown.addEventListener('abort', stop, { once: true });
  if (request.socket.destroyed) left();
  return {
    signal: controller.signal,
    connected: connected.signal,
    abort,
    outliveClient() {
      outlived = true;
    },
    release() {
      connection.off('close', left);
      shutdown.removeEventListener('abort', stop);
    },
  };
}

/** Whether it was the client that ended the connection. */
function isGone({ reason }: AbortSignal): boolean {
  return reason instanceof GatewayError && reason.code === 'client_closed_request';
}

function startDeadline(abort: ExchangeAbort, { server }: Snapshot, clock: Clock): { cancel(): void } {
  const timeoutMs = server.timeouts.request;
  return clock.timer(timeoutMs, () =>
    abort.abort(new GatewayError('upstream_timeout', `The request took longer than ${timeoutMs / 1000} seconds.`)),
  );
}

function breakOff({ answer }: LiveConnection): void {
  (answer.kind === 'response' ? answer.response : answer.socket).destroy();
}

function logAccess(exchange: RunningExchange, reception: Reception, { end, clientGone }: Outcome, clock: Clock): void {
  exchange.log.info('request', {
    method: exchange.request.method,
    path: reception.path,
    status: end.status,
    duration_ms: Math.round(clock.monotonic() - reception.startedAtMs),
    remote: reception.remote,
    ...accessFields(exchange, end),
    // Its answer was made and kept all the same.
    ...(clientGone && end.kind !== 'aborted' ? { client_gone: true } : {}),
  });
}

/** What the log says of an exchange that is over. */
export function accessFields(exchange: RunningExchange, end: ExchangeEnd): LogFields {
  const { caller, target, call, attempts } = exchange;
  const last = attempts.at(-1);
  const error = end.error instanceof GatewayError ? end.error : undefined;
  return {
    consumer: caller?.consumer?.id,
    user: caller?.consumer?.user,
    end_user: caller?.endUser,
    session: caller?.session,
    operation: call?.operation,
    alias: target?.alias,
    entity: last?.entity,
    model: last?.model,
    attempts: attempts.length,
    reused: exchange.reused?.kind,
    images: attempts.reduce((sum, attempt) => sum + (attempt.images ?? 0), 0),
    ...(error === undefined ? {} : { code: error.code, error: error.cause ?? error.message }),
  };
}
