import { randomUUID } from 'node:crypto';
import schema from '../../schemas/stages/rate-limit.schema.json' with { type: 'json' };
import { reasonOf } from '../budget/persist.ts';
import { GatewayError } from '../errors.ts';
import type { Outlook, Standing } from '../gcra.ts';
import type { RateLimitConfig } from '../generated/stages/rate-limit.ts';
import type { Exchange } from '../pipeline/exchange.ts';
import { defineStage } from '../pipeline/stage.ts';
import type { Place, Verdict } from '../stores/limiter.ts';
import { goDuration } from './go-duration.ts';
import { compileLimits, slotsNeeded, valueOf, type CompiledRate } from './rate-limits.ts';

/**
 * Refuses what comes too fast: requests and pictures by an exact rate, and requests under way by their number. What is
 * refused counts on none of the limits. The counts are the limiter's, and survive reloads for as long as the limit reads the same.
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
    const holders = env.share('rate-limit/holders', () => new WeakMap<Exchange, Holder>());
    env.limiter.prepare();

    return async function rateLimit(exchange) {
      // Within a `fallback` the stage runs for each candidate: an entity's limit counts anew, a caller's does not.
      const due = rates.filter(({ per, counted }) => per === 'entity' || !counted.has(exchange));
      const shares = due.map((compiled) => ({ compiled, cost: compiled.costOf(exchange) }));
      const holder = holders.get(exchange) ?? { id: randomUUID(), places: new Set<string>() };
      holders.set(exchange, holder);
      const places = ceilings.flatMap((ceiling) => {
        const place = { limit: ceiling.identity, key: valueOf(ceiling.per, exchange), most: ceiling.most };
        return holder.places.has(nameOf(place)) ? [] : [{ ...place, text: ceiling.text }];
      });
      if (shares.length === 0 && places.length === 0) return;

      const taking = env.limiter.take(
        {
          rates: shares.map(({ compiled, cost }) => ({
            limit: compiled.identity,
            key: valueOf(compiled.per, exchange),
            rate: compiled.rate,
            cost,
          })),
          places: places.map(({ limit, key, most }) => ({ limit, key, most })),
          holder: holder.id,
        },
        exchange.signal,
      );
      if (places.length > 0) {
        // Registered before the answer is there, so that no end of the exchange can fall between the two.
        exchange.defer(async () => {
          const verdict = await taking.catch(() => undefined);
          if (verdict?.kind === 'taken') await env.limiter.leave(holder.id, places);
        });
      }
      let verdict: Verdict;
      try {
        verdict = await taking;
      } catch (error) {
        const failed = error instanceof GatewayError && error.code === 'overloaded';
        if (!failed || env.catalogue.onStateFailure === 'reject') throw error;
        exchange.log.error('a call goes on uncounted, since it cannot be counted against its limits', reasonOf(error));
        return;
      }
      if (verdict.kind === 'full') {
        throw new GatewayError('rate_limit_exceeded', `${places[verdict.index]?.text}, and there may not be more.`);
      }
      if (verdict.kind === 'refused') {
        const share = shares[verdict.index];
        if (share === undefined) throw new Error('There is no limit that could have refused.');
        refuse(exchange, share.compiled, share.cost, verdict.outlook);
      }
      for (const place of places) holder.places.add(nameOf(place));
      verdict.standings.forEach((standing, index) => {
        const compiled = shares[index]?.compiled;
        if (compiled === undefined) return;
        tell(exchange, compiled, standing);
        compiled.counted.add(exchange);
      });
    };
  },
  explain(config: RateLimitConfig, env) {
    const { rates, ceilings } = compileLimits(config, env);
    return function explainRateLimit(exchange, { account }) {
      for (const rate of rates) account.limits.push({ text: rate.text, cost: rate.costOf(exchange) });
      for (const { text } of ceilings) account.limits.push({ text, cost: 1 });
    };
  },
});

/** Who holds an exchange's places, and which these are: two candidates of a call may be of one entity. */
interface Holder {
  readonly id: string;
  readonly places: Set<string>;
}

function nameOf({ limit, key }: Place): string {
  return JSON.stringify([limit, key]);
}

/** @throws GatewayError rate_limit_exceeded */
function refuse(exchange: Exchange, compiled: CompiledRate, cost: number, outlook: Outlook): never {
  tell(exchange, compiled, outlook);
  const { kind, text, rate } = compiled;
  if (outlook.waitUs === Infinity) {
    const message = `This call asks for ${cost} ${kind}; the limit of ${text} lets through ${rate.burst} at once.`;
    throw new GatewayError('rate_limit_exceeded', message, { retry: false });
  }
  const waitMs = Math.ceil(outlook.waitUs / 1000);
  throw new GatewayError('rate_limit_exceeded', `The limit of ${text} has no room for this call yet.`, {
    retryAfterMs: waitMs,
    // In whole seconds alone a caller would wait too long; OpenAI's clients know this one as well.
    headers: { 'retry-after-ms': String(waitMs) },
  });
}

/** The headers that OpenAI has for limits, of the limit of each kind that has least left. Which entity has what left is no caller's business. */
function tell({ responseHeaders }: Exchange, { kind, per, rate }: CompiledRate, standing: Standing): void {
  if (per === 'entity') return;
  const known = responseHeaders.get(`x-ratelimit-remaining-${kind}`);
  if (known !== undefined && Number(known) <= standing.remaining) return;
  responseHeaders.set(`x-ratelimit-limit-${kind}`, String(rate.burst));
  responseHeaders.set(`x-ratelimit-remaining-${kind}`, String(standing.remaining));
  responseHeaders.set(`x-ratelimit-reset-${kind}`, goDuration(Math.ceil(standing.fullAfterUs / 1000)));
}
