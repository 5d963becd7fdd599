/** The order in which the targets of an alias are tried. */
import { hash } from 'node:crypto';
import { priceQuestion } from '../budget/price-question.ts';
import type { ImageCall } from '../pipeline/call.ts';
import type { Alias, AliasTarget, Caller, Target } from '../pipeline/settings.ts';
import type { StageEnv } from '../pipeline/stage.ts';
import { targetCall } from '../pipeline/target-call.ts';
import { createLatencies, type Latencies } from './latencies.ts';

/** A target of an alias that the route has, and what its alias says of it. */
export interface AliasChoice extends Pick<AliasTarget, 'weight' | 'priority'> {
  readonly target: Target;
}

/** What is asked of an alias. */
export interface AliasQuestion {
  readonly call: ImageCall;
  readonly caller: Caller;
  /** Whether a turn is taken. Otherwise nothing changes, and where chance decides, the likeliest goes first. */
  readonly takesTurn: boolean;
}

/** Puts what an alias has on a route in order: the same choices, each once. */
export type AliasOrder = (
  alias: Pick<Alias, 'name' | 'strategy' | 'sticky'>,
  choices: readonly AliasChoice[],
  question: AliasQuestion,
) => readonly AliasChoice[];

/** Turns and latencies survive reloads. */
export function createAliasOrder(env: StageEnv): { readonly order: AliasOrder; readonly latencies: Latencies } {
  const turns = new Map(
    [...env.catalogue.aliases.keys()].map((name) => [name, env.share(`alias-turn:${name}`, () => ({ taken: 0 }))]),
  );
  const latencies = env.share('alias-latencies', () => createLatencies(env.clock));
  const { prices } = env.catalogue;

  /** One strategy, ready to order the choices of one priority after the other. */
  function strategyOf(
    { name, strategy, sticky }: Parameters<AliasOrder>[0],
    { call, caller, takesTurn }: AliasQuestion,
  ): (choices: readonly AliasChoice[]) => readonly AliasChoice[] {
    const identity = sticky === undefined ? undefined : identityOf(caller, call);
    if (identity !== undefined) return (choices) => rendezvous(choices, identity, strategy === 'weighted');
    switch (strategy) {
      case 'failover':
        return (choices) => choices;
      case 'round_robin': {
        const turn = turns.get(name);
        const place = turn?.taken ?? 0;
        if (takesTurn && turn !== undefined) turn.taken += 1;
        return (choices) => startingAt(choices, place);
      }
      case 'weighted': {
        if (!takesTurn) return (choices) => choices.toSorted((left, right) => right.weight - left.weight);
        const random = env.random();
        return (choices) => startingAt(choices, weightedIndex(choices, random));
      }
      case 'least_latency':
        return (choices) => lowestFirst(choices, ({ target }) => latencies.expectedMs(target, call.operation));
      case 'least_cost':
        return (choices) =>
          lowestFirst(choices, ({ target }) => {
            const estimate = prices.estimate(priceQuestion(target, targetCall(call, target)));
            return estimate.kind === 'priced' ? estimate.nanoUsd : Infinity;
          });
    }
  }

  return {
    latencies,
    order(alias, choices, question) {
      const strategy = strategyOf(alias, question);
      const byPriority = Map.groupBy(choices, ({ priority }) => priority);
      return [...byPriority].toSorted(([left], [right]) => left - right).flatMap(([, same]) => strategy(same));
    },
  };
}

/** Who a caller is to `sticky`: its end user, else its user, else itself. Two consumers' end users are never one. */
function identityOf({ consumer, endUser }: Caller, { parameters }: ImageCall): string | undefined {
  const person = endUser ?? parameters.user;
  if (person !== undefined) return JSON.stringify(['end user', consumer?.id ?? null, person]);
  if (consumer?.user !== undefined) return JSON.stringify(['user', consumer.user]);
  return consumer && JSON.stringify(['consumer', consumer.id]);
}

/**
 * Rendezvous hashing, https://en.wikipedia.org/wiki/Rendezvous_hashing: a target that goes or comes changes the first
 * choice of those alone who had it, or get it.
 */
function rendezvous(choices: readonly AliasChoice[], identity: string, byWeight: boolean): readonly AliasChoice[] {
  return lowestFirst(choices, ({ target: { entity, model }, weight }) => {
    const digest = hash('sha256', JSON.stringify([identity, entity.id, model]), 'buffer');
    // From above 0 to below 1, so that its logarithm is a number.
    const drawn = (digest.readUIntBE(0, 6) + 0.5) / 2 ** 48;
    return -Math.log(drawn) / (byWeight ? weight : 1);
  });
}

/** Equal ones stay in their order. */
function lowestFirst(
  choices: readonly AliasChoice[],
  valueOf: (choice: AliasChoice) => number,
): readonly AliasChoice[] {
  const valued = choices.map((choice) => ({ choice, value: valueOf(choice) }));
  // A difference of two infinities would be no number.
  return valued
    .toSorted((left, right) => (left.value === right.value ? 0 : left.value < right.value ? -1 : 1))
    .map(({ choice }) => choice);
}

/** The list rotated so that it starts with one of its members; the others stay as second choices. */
function startingAt<Item>(list: readonly Item[], index: number): readonly Item[] {
  const start = index % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}

/** @param random from 0 up to but not including 1 */
function weightedIndex(choices: readonly AliasChoice[], random: number): number {
  const total = choices.reduce((sum, { weight }) => sum + weight, 0);
  let left = random * total;
  const index = choices.findIndex(({ weight }) => (left -= weight) < 0);
  return Math.max(index, 0);
}
