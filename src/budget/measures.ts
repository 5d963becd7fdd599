/** What budgets limit: a unit, and how a call is counted in it. */
import type { TargetCall } from '../pipeline/call.ts';
import type { Budget } from '../pipeline/settings.ts';
import { imagesUsed, type Try } from './usage.ts';

export interface Measure {
  /** Part of the counter's name. */
  readonly unit: string;
  /** The limit of a budget in this unit; undefined when it has none. */
  limitOf(budget: Budget): number | undefined;
  /** The most that a call may come to at one target. */
  most(call: TargetCall): number;
  /**
   * What a try has come to.
   * @param most what was thought of
   * @param lostCounts whether a provider whose answer was lost is taken to have done the work
   */
  used(tried: Try, most: number, lostCounts: boolean): number;
  /** What goes on in `The budget … has no room for this call`. */
  refusal(amount: number, used: number, limit: number): string;
}

const images: Measure = {
  unit: 'images',
  limitOf: ({ limitImages }) => limitImages,
  most: imagesAsked,
  used: imagesUsed,
  refusal: (amount, used, limit) => `of ${amount} images: ${used} of ${limit} are used.`,
};

export const measures: readonly Measure[] = [images];

/** Pictures that a call asks a target for. */
export function imagesAsked({ parameters }: TargetCall): number {
  return parameters.n ?? 1;
}
