import schema from '../../schemas/stages/cache.schema.json' with { type: 'json' };
import { reasonOf } from '../budget/persist.ts';
import { GatewayError } from '../errors.ts';
import type { CacheConfig } from '../generated/stages/cache.ts';
import type { ImageCall } from '../pipeline/call.ts';
import type { Exchange, ExchangeEnd, ExchangeView } from '../pipeline/exchange.ts';
import type { Target } from '../pipeline/settings.ts';
import { defineStage, Halt, type StageEnv } from '../pipeline/stage.ts';
import { unlessAborted } from '../unless-aborted.ts';
import { answerKey, isFirstChoice, tellsOfItself, usable, whyUnlike } from './answer-key.ts';
import { createAnswerRecording, type AnswerRecording } from './answer-recording.ts';
import { readCacheControl, type CacheWishes } from './cache-control.ts';
import { keepForOthers, openKept, originOf } from './cached-answer.ts';
import { linksGoodUntil } from './link-lifetime.ts';

/**
 * Gives the answer to an equal call once more, which is not sent and costs nothing. Calls are equal when everything is that
 * the picture depends on; the caller's `cache-control` has the last word. Kept is what is whole, and was made by the first
 * choice: what a second one has made would otherwise be given long after the first is back.
 */
export const cache = defineStage({
  name: 'cache',
  schema,
  reads: ['caller', 'call', 'candidates'],
  writes: [],
  // Looked at when the answer goes out: filled by then, or there is nothing to keep.
  optional: ['result', 'response'],
  before: ['reply'],
  create(config: CacheConfig, env) {
    const underWay: KeepingUnderWay = env.share('cache/keeping', () => new Map());
    const known = new WeakSet<Exchange>();

    return async function cache(exchange) {
      // Within a `fallback` the stage runs for each candidate; the first run has looked for all of them.
      if (known.has(exchange)) return undefined;
      known.add(exchange);
      const { request, responseHeaders } = exchange;
      const wishes = readCacheControl(request.headers['cache-control']);
      const [first] = usable(exchange);
      if (wishes.noStore || first === undefined || !canBeKept(exchange.call, config)) {
        if (wishes.onlyIfCached) throw notCached();
        responseHeaders.set('x-pinhole-cache', 'bypass');
        return undefined;
      }
      const key = await answerKey(exchange, env, config);
      if (!wishes.noCache) {
        await whileKept(underWay.get(key), exchange, env);
        const found = await find(key, exchange, { ...wishes, maxAge: Math.min(wishes.maxAge, config.ttl / 1000) }, env);
        if (found !== undefined) return found;
      }
      if (wishes.onlyIfCached) throw notCached();
      responseHeaders.set('x-pinhole-cache', wishes.noCache ? 'bypass' : 'miss');
      keepWhatComes({ key, first, config }, exchange, underWay, env);
      return undefined;
    };
  },
});

type View = ExchangeView<'caller' | 'call' | 'candidates', 'result' | 'response'>;

/** Answers of this process that go out and will be kept, by their key. */
type KeepingUnderWay = Map<string, Promise<void>>;

/** What lies behind a caller's link may be another picture the next time. */
function canBeKept(call: ImageCall, { operations }: CacheConfig): boolean {
  const pictures = call.mask === undefined ? call.images : [...call.images, call.mask];
  const hasLinks = pictures.some((image) => image.kind === 'image' && image.payload.kind === 'link');
  return whyUnlike(call) === undefined && operations.includes(call.operation) && !hasLinks && !holdsLink(call.unknown);
}

/** Vendors take links to pictures under many names. */
function holdsLink(value: unknown): boolean {
  if (typeof value === 'string') return /^https?:/i.test(value);
  return typeof value === 'object' && value !== null && Object.values(value).some(holdsLink);
}

function notCached(): GatewayError {
  return new GatewayError('not_cached', 'No answer is kept for this call, and `only-if-cached` asks for no other.');
}

async function find(
  key: string,
  exchange: View,
  { maxAge, minFresh }: CacheWishes,
  env: StageEnv,
): Promise<Halt | undefined> {
  const { store, clock } = env;
  try {
    const found = await store.findAnswer(key);
    if (found === undefined) return undefined;
    const nowMs = clock.now();
    const ageMs = Math.max(0, nowMs - found.madeAtMs);
    if (ageMs >= maxAge * 1000 || found.expiresAtMs - nowMs < minFresh * 1000) return undefined;
    const kept = await openKept(found, exchange, env);
    if (kept === undefined) {
      await store.forgetAnswer(key, found.blob);
      return undefined;
    }
    exchange.reuse({ kind: 'hit', ...kept.origin });
    exchange.responseHeaders.set('x-pinhole-cache', 'hit');
    exchange.responseHeaders.set('age', String(Math.floor(ageMs / 1000)));
    return new Halt(kept.response);
  } catch (error) {
    exchange.signal.throwIfAborted();
    exchange.log.error('a call goes on without the cache, which cannot be read', reasonOf(error));
    return undefined;
  }
}

interface Place {
  readonly key: string;
  readonly first: Target;
  readonly config: CacheConfig;
}

/** Writes the answer down as it goes out, and keeps it when it turns out to be one for others. */
function keepWhatComes({ key, first, config }: Place, exchange: View, underWay: KeepingUnderWay, env: StageEnv): void {
  const { max_answer_bytes: maxBytes, max_size: spaceBytes, ttl } = config;
  const { promise: keeping, resolve: kept } = Promise.withResolvers<void>();
  let begun: { readonly recording: AnswerRecording; readonly madeAtMs: number } | undefined;
  exchange.record({
    error: (error) => error,
    answer(response, headers) {
      if (response.status !== 200 || exchange.attempts.length === 0 || begun !== undefined) return response;
      if (tellsOfItself(exchange)) {
        return { ...response, headers: { ...response.headers, 'x-pinhole-cache': 'bypass' } };
      }
      const recording = createAnswerRecording({ ...env.spool, maxBytes, error: (error) => error });
      begun = { recording, madeAtMs: env.clock.now() };
      underWay.set(key, keeping);
      return recording.answer(response, headers);
    },
  });
  exchange.defer(async (end) => {
    try {
      if (begun === undefined || !isWhole(exchange, end) || !isFirstChoice(exchange, first)) return;
      const { recording, madeAtMs } = begun;
      const answer = await recording.finish();
      const expiresAtMs = Math.min(madeAtMs + ttl, await linksGoodUntil(exchange, env));
      if (answer.kind !== 'answer' || expiresAtMs <= env.clock.now()) return;
      const terms = { key, space: exchange.route.id, spaceBytes, madeAtMs, expiresAtMs };
      await keepForOthers(answer, originOf(exchange), terms, exchange, env);
    } finally {
      await begun?.recording.discard();
      if (underWay.get(key) === keeping) underWay.delete(key);
      kept();
    }
  });
}

function isWhole({ responseHeaders }: View, end: ExchangeEnd): boolean {
  return end.kind === 'answered' && end.status === 200 && !responseHeaders.has('x-pinhole-partial');
}

/** Milliseconds that a call waits for an equal one whose answer is about to be kept. */
const keepingMs = 2_000;

async function whileKept(keeping: Promise<void> | undefined, { signal }: View, { clock }: StageEnv): Promise<void> {
  if (keeping === undefined) return;
  const { promise: tooLong, resolve } = Promise.withResolvers<void>();
  const timer = clock.timer(keepingMs, resolve);
  try {
    await unlessAborted(Promise.race([keeping, tooLong]), signal);
  } finally {
    timer.cancel();
  }
}
