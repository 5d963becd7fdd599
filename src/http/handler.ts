/** One request, from its head to its last byte: route, pipeline, answer, what comes afterwards, and the log line. */
import type { IncomingMessage } from 'node:http';
import { recordCall } from '../budget/record.ts';
import { GatewayError, toGatewayError } from '../errors.ts';
import { readToEnd, resumable, type ByteSource } from '../body/byte-source.ts';
import type { Logger } from '../log.ts';
import type { ExchangeEnd, LiveConnection } from '../pipeline/exchange.ts';
import type { BodyResponse } from '../pipeline/response.ts';
import { runStages, type RunningExchange } from '../pipeline/run.ts';
import type { Clock } from '../pipeline/stage.ts';
import type { CompiledRoute, Snapshot } from '../runtime/compile.ts';
import type { SnapshotHolder } from '../runtime/snapshot.ts';
import { remoteAddress } from './addresses.ts';
import { createAdmission, type Admission } from './admission.ts';
import { answerHeaders, headerText } from './answer-headers.ts';
import { bodyOf } from './answer-body.ts';
import { accessFields, errorOf, failedEnd } from './exchange-end.ts';
import { breakOff, followConnection, isGone, type ExchangeAbort } from './follow-connection.ts';
import { corsHeaders, isPreflight, preflightHeaders } from './cors.ts';
import { createPinger, errorEvents, isEvents, type Pinger } from './event-output.ts';
import { withGrace } from './events-response.ts';
import { keepBody, type KeptBody } from './kept-body.ts';
import { openExchange, requestId, splitTarget, type OpenExchange } from './exchange.ts';
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
    const body =
      response.kind === 'body'
        ? response
        : await bodyOf(exchange, { ...surroundings, startedAtMs: surroundings.reception.startedAtMs });
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

function startDeadline(abort: ExchangeAbort, { server }: Snapshot, clock: Clock): { cancel(): void } {
  const timeoutMs = server.timeouts.request;
  return clock.timer(timeoutMs, () =>
    abort.abort(new GatewayError('upstream_timeout', `The request took longer than ${timeoutMs / 1000} seconds.`)),
  );
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
