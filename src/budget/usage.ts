import type { Attempt } from '../pipeline/exchange.ts';
import type { Delivered, PriceBook } from '../pipeline/prices.ts';
import type { ImageUsage } from '../pipeline/result.ts';

/** One try at one target: the requests of a call that was fanned out are one try together. */
export interface Try {
  readonly entity: string;
  readonly model: string;
  readonly attempts: readonly Attempt[];
}

/** The tries of a call, in order. Attempts at the same target belong together when one began before another had ended. */
export function triesOf(attempts: readonly Attempt[]): readonly Try[] {
  const tries: { entity: string; model: string; attempts: Attempt[] }[] = [];
  for (const attempt of attempts) {
    const { entity, model, startedAtMs } = attempt;
    const last = tries.at(-1);
    const together =
      last?.entity === entity &&
      last.model === model &&
      last.attempts.some(({ endedAtMs }) => endedAtMs === undefined || endedAtMs > startedAtMs);
    if (together) last.attempts.push(attempt);
    else tries.push({ entity, model, attempts: [attempt] });
  }
  return tries;
}

/** Pictures that attempts have used: those that came, and where an answer was lost, what was asked for. */
export function imagesUsed(attempts: readonly Attempt[]): number {
  return attempts.reduce((sum, attempt) => sum + (isLost(attempt) ? attempt.question.n : (attempt.images ?? 0)), 0);
}

/**
 * What the attempts have cost together, in nano-dollars, and where an answer was lost, the most that it can have: nothing
 * when none of them can have been billed, undefined when the cost of one that can is not known.
 */
export function costOf(attempts: readonly Attempt[]): number | undefined {
  return attempts.filter(mayBeBilled).reduce<number | undefined>((sum, attempt) => {
    const cost = isLost(attempt) ? attempt.mostNanoUsd : attempt.costNanoUsd;
    return sum === undefined || cost === undefined ? undefined : sum + cost;
  }, 0);
}

/** What a call has cost in nano-dollars; undefined while that is not known, or when it has not come to anything. */
export function knownCost(attempts: readonly Attempt[]): number | undefined {
  return attempts.some(mayBeBilled) && !attempts.some(isLost) ? costOf(attempts) : undefined;
}

/** Puts down in an attempt's record what came of it, and what that costs. */
export function noteDelivery(attempt: Attempt | undefined, delivered: Delivered, prices: PriceBook): void {
  if (attempt === undefined) return;
  const { images, usage } = delivered;
  const cost = prices.actual(attempt.question, delivered);
  Object.assign(attempt, { images, usage, costNanoUsd: cost.kind === 'priced' ? cost.nanoUsd : undefined });
}

/** Tokens of all attempts together; undefined when no provider told of any. */
export function tokensOf(attempts: readonly Attempt[]): Pick<ImageUsage, 'inputTokens' | 'outputTokens'> | undefined {
  const told = attempts.flatMap(({ usage }) => (usage === undefined ? [] : [usage]));
  if (told.length === 0) return undefined;
  return {
    inputTokens: told.reduce((sum, { inputTokens }) => sum + inputTokens, 0),
    outputTokens: told.reduce((sum, { outputTokens }) => sum + outputTokens, 0),
  };
}

/** Whether the provider may ask to be paid for it: it made pictures or says what it costs, or its answer was lost. */
export function mayBeBilled(attempt: Attempt): boolean {
  return (attempt.images ?? 0) > 0 || (attempt.costNanoUsd ?? 0) > 0 || isLost(attempt);
}

/** Whether the provider may have made pictures of which we do not know. */
export function isLost({ sent, status, images }: Attempt): boolean {
  const refused = status !== undefined && (status < 200 || status > 299);
  return sent && images === undefined && !refused;
}
