/** The pictures of an exchange, written out as its answer wants them. */
import { GatewayError } from '../errors.ts';
import { hostedLink, originOf } from '../pipeline/hosted-link.ts';
import type { BodyResponse } from '../pipeline/response.ts';
import type { RunningExchange } from '../pipeline/run.ts';
import type { Clock } from '../pipeline/stage.ts';
import type { Snapshot } from '../runtime/compile.ts';
import type { Pinger } from './event-output.ts';
import { eventsOfResult, renderEvents } from './events-response.ts';
import { renderImages, type RenderContext } from './images-response.ts';

/** What the pictures of an exchange are written out with. */
interface Writing {
  readonly snapshot: Snapshot;
  /** When the request came, by the clock that only goes forward. */
  readonly startedAtMs: number;
  readonly pinger: Pick<Pinger, 'everyMs' | 'hasBegun'>;
  readonly clock: Clock;
}

/** @throws GatewayError internal_error when the pipeline has given no answer that could be sent */
export async function bodyOf(
  exchange: RunningExchange,
  { snapshot, startedAtMs, pinger, clock }: Writing,
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
    elapsedMs: clock.monotonic() - startedAtMs,
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
