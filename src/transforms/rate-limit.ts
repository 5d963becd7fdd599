import schema from '../../schemas/stages/rate-limit.schema.json' with { type: 'json' };
import { GatewayError } from '../errors.ts';
import type { Standing } from '../gcra.ts';
import type { RateLimitConfig } from '../generated/stages/rate-limit.ts';
import type { Exchange } from '../pipeline/exchange.ts';
import { defineStage } from '../pipeline/stage.ts';
import { goDuration } from './go-duration.ts';
import { compileLimits, slotsNeeded, valueOf, type CompiledRate } from './rate-limits.ts';

/**
 * Refuses what comes too fast: requests and pictures by an exact rate, and requests under way by their number. What is
 * refused counts on none of the limits. The counts are this process's own, and survive reloads for as long as the limit reads the same.
 */
export const rateLimit = defineStage({
  name: 'rate-limit',
  schema,
  reads: [],
  writes: [],
  optional: ['caller', 'call', 'target'],
  needs: slotsNeeded,
  before: ['reply'],
  create(config: RateLimitConfig, env) {
    const { rates, ceilings } = compileLimits(config, env);

    return function rateLimit(exchange) {
      const nowUs = Math.floor(env.clock.monotonic() * 1000);
      // Within a `fallback` the stage runs for each candidate: an entity's limit counts anew, a caller's does not.
      const due = rates.filter(({ per, counted }) => per === 'entity' || !counted.has(exchange));
      const shares = due.map((rate) => ({ rate, key: valueOf(rate.per, exchange), cost: rate.costOf(exchange) }));
      refuseUnlessRoom(shares, nowUs, exchange);
      for (const ceiling of ceilings) ceiling.enter(exchange);
      for (const { rate, key, cost } of shares) {
        tell(exchange, rate, rate.limiter.take(key, cost, nowUs));
        rate.counted.add(exchange);
      }
    };
  },
});

/** What an exchange takes from a limit. */
interface Share {
  readonly rate: CompiledRate;
  readonly key: string;
  readonly cost: number;
}

/** @throws GatewayError rate_limit_exceeded, for the limit that will have room last */
function refuseUnlessRoom(shares: readonly Share[], nowUs: number, exchange: Exchange): void {
  const outlooks = shares.map((share) => ({
    ...share,
    outlook: share.rate.limiter.look(share.key, share.cost, nowUs),
  }));
  const last = outlooks.reduce<(typeof outlooks)[number] | undefined>(
    (latest, each) => (each.outlook.waitUs > (latest?.outlook.waitUs ?? 0) ? each : latest),
    undefined,
  );
  if (last === undefined) return;
  const { rate, cost, outlook } = last;
  tell(exchange, rate, outlook);
  if (outlook.waitUs === Infinity) {
    const { burst } = rate.limiter.rate;
    const message = `This call asks for ${cost} ${rate.kind}; the limit of ${rate.text} lets through ${burst} at once.`;
    throw new GatewayError('rate_limit_exceeded', message, { retry: false });
  }
  const waitMs = Math.ceil(outlook.waitUs / 1000);
  throw new GatewayError('rate_limit_exceeded', `The limit of ${rate.text} has no room for this call yet.`, {
    retryAfterMs: waitMs,
    // In whole seconds alone a caller would wait too long; OpenAI's clients know this one as well.
    headers: { 'retry-after-ms': String(waitMs) },
  });
}

/** The headers that OpenAI has for limits, of the limit of each kind that has least left. Which entity has what left is no caller's business. */
function tell({ responseHeaders }: Exchange, { kind, per, limiter }: CompiledRate, standing: Standing): void {
  if (per === 'entity') return;
  const known = responseHeaders.get(`x-ratelimit-remaining-${kind}`);
  if (known !== undefined && Number(known) <= standing.remaining) return;
  responseHeaders.set(`x-ratelimit-limit-${kind}`, String(limiter.rate.burst));
  responseHeaders.set(`x-ratelimit-remaining-${kind}`, String(standing.remaining));
  responseHeaders.set(`x-ratelimit-reset-${kind}`, goDuration(Math.ceil(standing.fullAfterUs / 1000)));
}
