import type { Attempt } from '../pipeline/exchange.ts';
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

/**
 * Pictures that a try has used: those that came, and where an answer was lost, what was asked for in the first place.
 * @param asked pictures asked for with this try
 * @param lostCounts whether a provider whose answer was lost is taken to have done the work
 */
export function imagesUsed({ attempts }: Try, asked: number, lostCounts: boolean): number {
  const delivered = attempts.reduce((sum, { images }) => sum + (images ?? 0), 0);
  return lostCounts && attempts.some(isLost) ? Math.max(delivered, asked) : delivered;
}

/** What one attempt has cost, in nano-dollars; undefined when that is not known. */
export type AttemptCost = (attempt: Attempt) => number | undefined;

const reported: AttemptCost = ({ costNanoUsd }) => costNanoUsd;

/**
 * What the attempts have cost together, in nano-dollars: nothing when none of them can have been billed, undefined when the
 * cost of one that can is not known.
 */
export function costOf(attempts: readonly Attempt[], costOfAttempt: AttemptCost = reported): number | undefined {
  return attempts.filter(mayBeBilled).reduce<number | undefined>((sum, attempt) => {
    const cost = costOfAttempt(attempt);
    return sum === undefined || cost === undefined ? undefined : sum + cost;
  }, 0);
}

/** What a call has cost in nano-dollars; undefined when that is not known, or when it has not come to anything. */
export function knownCost(attempts: readonly Attempt[]): number | undefined {
  return attempts.some(mayBeBilled) ? costOf(attempts) : undefined;
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

function mayBeBilled(attempt: Attempt): boolean {
  return (attempt.images ?? 0) > 0 || isLost(attempt);
}

/** Whether the provider may have made pictures of which we do not know. */
export function isLost({ sent, status, images }: Attempt): boolean {
  const refused = status !== undefined && (status < 200 || status > 299);
  return sent && images === undefined && !refused;
}
