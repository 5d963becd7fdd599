/** What budgets limit: a unit, and how a call is counted in it. */
import { formatUsd } from '../money.ts';
import type { TargetCall } from '../pipeline/call.ts';
import type { Attempt } from '../pipeline/exchange.ts';
import type { PriceBook } from '../pipeline/prices.ts';
import type { Budget, Target } from '../pipeline/settings.ts';
import { priceQuestion } from './price-question.ts';
import { costOf, imagesUsed } from './usage.ts';

export interface Measure {
  /** Part of the counter's name. */
  readonly unit: 'images' | 'usd';
  /** The limit of a budget in this unit; undefined when it has none. */
  limitOf(budget: Budget): number | undefined;
  /** The most that a call may come to at one target; undefined when nobody knows. */
  most(target: Target, call: TargetCall, prices: PriceBook): number | undefined;
  /** What attempts have come to, and those whose answer was lost at the most; undefined when nobody knows. */
  used(attempts: readonly Attempt[]): number | undefined;
  /** What goes on in `The budget … has no room for this call`. */
  refusal(amount: number, used: number, limit: number): string;
}

const images: Measure = {
  unit: 'images',
  limitOf: ({ limitImages }) => limitImages,
  most: (_target, call) => imagesAsked(call),
  used: imagesUsed,
  refusal: (amount, used, limit) => `of ${amount} images: ${used} of ${limit} are used.`,
};

/** In nano-dollars. */
const usd: Measure = {
  unit: 'usd',
  limitOf: ({ limitNanoUsd }) => limitNanoUsd,
  most: mostCost,
  used: costOf,
  refusal: (amount, used, limit) =>
    `of up to $${formatUsd(amount)}: $${formatUsd(used)} of $${formatUsd(limit)} are used.`,
};

export const measures: readonly Measure[] = [images, usd];

/** Pictures that a call asks a target for. */
export function imagesAsked({ parameters }: TargetCall): number {
  return parameters.n ?? 1;
}

/** The most that a call can cost at a target, in nano-dollars; undefined when no price is known. */
export function mostCost(target: Target, call: TargetCall, prices: PriceBook): number | undefined {
  const estimate = prices.estimate(priceQuestion(target, call));
  return estimate.kind === 'priced' ? estimate.nanoUsd : undefined;
}
