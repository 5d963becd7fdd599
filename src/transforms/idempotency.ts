import { hash, randomUUID } from 'node:crypto';
import schema from '../../schemas/stages/idempotency.schema.json' with { type: 'json' };
import { persist, persistMs, reasonOf } from '../budget/persist.ts';
import { GatewayError, toGatewayError } from '../errors.ts';
import type { IdempotencyConfig } from '../generated/stages/idempotency.ts';
import type { Attempt, Exchange, ExchangeEnd, ExchangeView } from '../pipeline/exchange.ts';
import { defineStage, Halt, type StageEnv } from '../pipeline/stage.ts';
import type { KeyState } from '../stores/key-store.ts';
import { createAnswerRecording, type AnswerRecording } from './answer-recording.ts';
import { callFingerprint } from './call-fingerprint.ts';
import { isFinal } from './final-error.ts';
import { errorAnswer, keepAnswer, noAnswer, openAnswer, withDeadline, type KeptAnswer } from './kept-answer.ts';

/**
 * Makes a call once, however often it is sent under the same `Idempotency-Key`: the first goes on, and goes on to its end
 * when its client leaves; whoever comes while it is under way waits for it; all later ones get its answer again.
 * Failures that have cost nothing and may pass free the key, so that the same call can be tried again under it.
 */
export const idempotency = defineStage({
  name: 'idempotency',
  schema,
  reads: ['caller', 'call'],
  writes: [],
  before: ['reply'],
  create({ keep, max_answer_bytes: maxBytes }: IdempotencyConfig, env) {
    const flights: Flights = env.share('idempotency/flights', () => new Map());
    const known = new WeakSet<Exchange>();

    return async function idempotency(exchange) {
      const given = exchange.request.headers['idempotency-key'];
      // Within a `fallback` the stage runs for each candidate; the first run has taken the key for all of them.
      if (given === undefined || known.has(exchange)) return undefined;
      known.add(exchange);
      const mine: OwnClaim = {
        key: scopedKey(keyOf(given), exchange),
        holder: randomUUID(),
        fingerprint: await callFingerprint(exchange.request, exchange.call),
        keepMs: keep,
      };
      const state = await claim(env, exchange, mine, flights);
      switch (state.kind) {
        case 'claimed':
          hold(env, exchange, mine, flights, maxBytes);
          return undefined;
        case 'unknown':
          return undefined;
        case 'lost':
          throw noAnswer('the gateway that made it was cut off');
        case 'done':
          return new Halt(await openAnswer(state.answer, env.answers, exchange));
      }
    };
  },
});

type View = ExchangeView<'caller' | 'call'>;

/** Requests under way in this process that hold a key, each until it is over: for those who wait for it. */
type Flights = Map<string, Promise<void>>;

interface OwnClaim {
  readonly key: string;
  readonly holder: string;
  readonly fingerprint: string;
  readonly keepMs: number;
}

/**
 * One to 255 visible characters of ASCII. The quotes of a structured field are no part of the key:
 * https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header
 * @throws GatewayError invalid_value
 */
function keyOf(header: string | string[]): string {
  const text = Array.isArray(header) ? header.join(', ') : header;
  const [, quoted, bare] =
    /^(?:"([\x21\x23-\x5b\x5d-\x7e]{1,255})"|([\x21\x23-\x7e][\x21-\x7e]{0,254}))$/.exec(text) ?? [];
  const key = quoted ?? bare;
  if (key !== undefined) return key;
  const message = 'The header "Idempotency-Key" must have 1 to 255 visible characters of ASCII.';
  throw new GatewayError('invalid_value', message, { param: 'idempotency-key' });
}

/** What one consumer sends never meets what another one has sent. */
function scopedKey(key: string, { caller, call }: View): string {
  return hash('sha256', JSON.stringify([caller.consumer?.id ?? null, call.operation, key]));
}

type Standing = Exclude<KeyState, { kind: 'running' }> | { readonly kind: 'unknown' };

const firstPauseMs = 50;
const longestPauseMs = 2_000;

/**
 * Takes the key, or waits until it is known what has become of it. `unknown`: the state cannot be written to, and the file
 * says to go on all the same.
 * @throws GatewayError idempotency_key_reused, overloaded; the signal's reason
 */
async function claim(env: StageEnv, exchange: View, mine: OwnClaim, flights: Flights): Promise<Standing> {
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    const nowMs = env.clock.now();
    let state: KeyState;
    try {
      state = await env.store.claimKey(mine.key, {
        holder: mine.holder,
        fingerprint: mine.fingerprint,
        heldUntilMs: nowMs + exchange.route.timeoutMs + persistMs,
        keptUntilMs: nowMs + mine.keepMs,
      });
    } catch (error) {
      // Of a call that is known to be under way a second one is not made.
      if (pauseMs > firstPauseMs || !mayGoOn(env, error)) throw error;
      exchange.log.error('a call goes on without its key, since the state cannot be written to', reasonOf(error));
      return { kind: 'unknown' };
    }
    if (state.kind === 'claimed') return state;
    if (state.fingerprint !== mine.fingerprint) {
      throw new GatewayError(
        'idempotency_key_reused',
        'This `Idempotency-Key` was sent before with another request. A new request needs a new key.',
        { param: 'idempotency-key' },
      );
    }
    if (state.kind !== 'running') return state;
    await pause(pauseMs, flights.get(mine.key), exchange.signal, env);
  }
}

/** Waits for so long, or until the request is over that holds the key. */
async function pause(
  milliseconds: number,
  flight: Promise<void> | undefined,
  signal: AbortSignal,
  { clock }: StageEnv,
): Promise<void> {
  signal.throwIfAborted();
  const over = new AbortController();
  const slept = clock.sleep(milliseconds, AbortSignal.any([signal, over.signal])).catch(() => undefined);
  await Promise.race(flight === undefined ? [slept] : [slept, flight]);
  over.abort();
  signal.throwIfAborted();
}

function mayGoOn({ catalogue }: StageEnv, error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'overloaded' && catalogue.onStateFailure === 'allow';
}

/** Sees to it that the key, which is this exchange's now, has an answer at the end, or is free again. */
function hold(env: StageEnv, exchange: View, mine: OwnClaim, flights: Flights, maxBytes: number): void {
  const { promise: flight, resolve: land } = Promise.withResolvers<void>();
  // Nothing is kept of what the caller has asked not to keep, so there would be nobody left to make it for.
  const recording =
    exchange.call.responseFormat === 'b64_ephemeral'
      ? undefined
      : createAnswerRecording({ ...env.spool, maxBytes, error: (error) => finalError(error, exchange.attempts) });
  flights.set(mine.key, flight);
  exchange.defer(async (end) => {
    try {
      await conclude(env, exchange, mine, recording, end);
    } finally {
      if (flights.get(mine.key) === flight) flights.delete(mine.key);
      land();
      await recording?.discard();
    }
  });
  exchange.beforeSending(() => markSent(env, exchange, mine));
  // The client may have left while the key was being taken.
  exchange.signal.throwIfAborted();
  if (recording === undefined) return;
  exchange.record(recording);
  if (exchange.route.onDisconnect !== 'cancel') exchange.outliveClient();
}

/** @throws GatewayError overloaded when a picture could be made of which nobody would know */
async function markSent(env: StageEnv, exchange: Exchange, { key, holder }: OwnClaim): Promise<void> {
  let isHeld: boolean;
  try {
    isHeld = await env.store.sendKey(key, holder);
  } catch (error) {
    if (!mayGoOn(env, error)) throw error;
    exchange.log.error(
      'a call is sent without a word to its key, since the state cannot be written to',
      reasonOf(error),
    );
    return;
  }
  if (!isHeld) throw new GatewayError('overloaded', 'The gateway has lost hold of the `Idempotency-Key`.');
}

/** Under the same key another try would only get the same answer. */
function finalError(error: GatewayError, attempts: readonly Attempt[]): GatewayError {
  if (!error.retry || !isFinal(error, attempts)) return error;
  const { code, param, status, publicCode, headers, cause } = error;
  const message = `${error.message} The call may have been billed; to make it anew, send another \`Idempotency-Key\`.`;
  return new GatewayError(code, message, { param, status, publicCode, headers, cause, retry: false });
}

/** Keeps the answer under the key, or frees the key. Never rejects. */
async function conclude(
  env: StageEnv,
  exchange: View,
  { key, holder, keepMs: keptForMs }: OwnClaim,
  recording: AnswerRecording | undefined,
  end: ExchangeEnd,
): Promise<void> {
  const keptUntilMs = env.clock.now() + keptForMs;
  const kept = await keptAnswer(env, exchange, recording, end, keptUntilMs);
  const write =
    kept === undefined
      ? () => env.store.releaseKey(key, holder)
      : () => env.store.completeKey(key, holder, { answer: JSON.stringify(kept), keptUntilMs });
  await persist(write, {
    clock: env.clock,
    log: exchange.log,
    failure: 'what has become of an idempotency key could not be written down',
    success: 'what has become of an idempotency key was written down late',
    fields: { key, outcome: kept === undefined ? 'free' : kept.status },
  });
}

/** What everybody gets from now on; undefined: the key is free again. */
async function keptAnswer(
  env: StageEnv,
  { attempts, log }: View,
  recording: AnswerRecording | undefined,
  end: ExchangeEnd,
  keptUntilMs: number,
): Promise<KeptAnswer | undefined> {
  const wasSent = attempts.some(({ sent }) => sent);
  if (end.kind === 'answered' ? !wasSent && end.status >= 400 : !isFinal(toGatewayError(end.error), attempts)) {
    return undefined;
  }
  if (recording === undefined) return errorAnswer(noAnswer('its answer was not kept, as `b64_ephemeral` asks'));
  const recorded = await recording.finish();
  if (recorded.kind === 'nothing') {
    return wasSent ? errorAnswer(noAnswer('its answer was not kept')) : undefined;
  }
  try {
    if (recorded.kind === 'unkept') throw recorded.cause;
    return await withDeadline(env, (signal) => keepAnswer(recorded, env.answers, { keptUntilMs, signal }));
  } catch (error) {
    log.error('an answer could not be kept for its idempotency key', reasonOf(error));
    return errorAnswer(noAnswer('its answer could not be kept'));
  }
}
