import type { Attempt } from '../pipeline/exchange.ts';

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

/** What a call has cost in nano-dollars, by the providers' own words; undefined when one that delivered did not say. */
export function knownCost(attempts: readonly Attempt[]): number | undefined {
  const delivered = attempts.filter(({ images }) => images !== 0);
  if (delivered.length === 0 || delivered.some(({ costNanoUsd }) => costNanoUsd === undefined)) return undefined;
  return delivered.reduce((sum, { costNanoUsd }) => sum + (costNanoUsd ?? 0), 0);
}

/** Whether the provider may have made pictures of which we do not know. */
function isLost({ sent, status, images }: Attempt): boolean {
  const refused = status !== undefined && (status < 200 || status > 299);
  return sent && images === undefined && !refused;
}
