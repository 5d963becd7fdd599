import schema from '../../schemas/stages/single-flight.schema.json' with { type: 'json' };
import type { ByteSource } from '../body/byte-source.ts';
import type { SingleFlightConfig } from '../generated/stages/single-flight.ts';
import { payloadByteLength, payloadBytes } from '../images/convert-payload.ts';
import type { Exchange, ExchangeView } from '../pipeline/exchange.ts';
import { defineStage, Halt } from '../pipeline/stage.ts';
import { answerKey, usable, whyUnlike } from './answer-key.ts';
import type { Answer, Origin } from './cached-answer.ts';
import { headersOfReuse } from './cached-answer.ts';
import { readCacheControl } from './cache-control.ts';
import { beginFlight, type Flight, type Landing } from './flight.ts';

/**
 * Makes equal calls that come at the same time once: the first is made, the others wait for its answer, which costs them
 * nothing. Equal is what is equal for the cache. Where the first one fails, so do they if it may have been billed or would
 * fail again; otherwise the next one tries.
 */
export const singleFlight = defineStage({
  name: 'single-flight',
  schema,
  reads: ['caller', 'call', 'candidates'],
  writes: [],
  // Looked at when the answer goes out.
  optional: ['response'],
  before: ['reply'],
  create({ scope, max_answer_bytes: maxBytes }: SingleFlightConfig, env) {
    const flights = env.share('single-flight/flights', () => new Map<string, Flight>());
    const known = new WeakSet<Exchange>();
    const closed = (key: string) => (flight: Flight) => void (flights.get(key) === flight && flights.delete(key));

    return async function singleFlight(exchange) {
      // Within a `fallback` the stage runs for each candidate; the first run is for all of them.
      if (known.has(exchange)) return undefined;
      known.add(exchange);
      const { noCache, noStore } = readCacheControl(exchange.request.headers['cache-control']);
      if (noCache || noStore || whyUnlike(exchange.call) !== undefined || usable(exchange).length === 0)
        return undefined;
      const key = await answerKey(exchange, env, { scope, version: '' });
      let failures = 0;
      for (let waits = 0; ; waits += 1) {
        const seat = flights.get(key)?.join();
        if (seat === undefined) {
          exchange.signal.throwIfAborted();
          flights.set(key, beginFlight(exchange, maxBytes, env, closed(key)));
          return undefined;
        }
        // It is let go of when this answer has gone out as well, whatever becomes of it.
        exchange.defer(() => seat.leave());
        if (waits === 0) exchange.log.debug('waits for an equal call');
        const landing = await seat.wait(exchange.signal);
        if (landing.kind === 'answer') return given(landing.answer, landing.origin, exchange);
        if (landing.kind === 'alone') return undefined;
        if (landing.kind === 'failed' && landing.sent) failures += 1;
        if (landing.kind === 'late') continue;
        if (landing.kind === 'error' || failures === mostFailures) throw failureOf(landing, exchange);
      }
    };
  },
});

/** Calls of others, seen and failed at a provider, after which nobody goes on waiting for the next. */
const mostFailures = 2;

function given({ headers, body }: Answer, origin: Origin, exchange: Exchange): Halt {
  exchange.reuse({ kind: 'shared', ...origin });
  exchange.responseHeaders.set('x-pinhole-cache', 'shared');
  const source: ByteSource = {
    length: payloadByteLength(body),
    cancel() {},
    [Symbol.asyncIterator]: () => payloadBytes(body)[Symbol.asyncIterator](),
  };
  return new Halt({ kind: 'body', status: 200, headers: headersOfReuse(headers, origin), body: source });
}

function failureOf(landing: Landing & { kind: 'error' | 'failed' }, { responseHeaders }: ExchangeView<never>): Error {
  responseHeaders.set('x-pinhole-cache', 'shared');
  return landing.error;
}
