/** The contract of `explain`: what a pipeline would do with a request, found out without sending, reserving or counting. */
import type { GatewayError } from '../errors.ts';
import type { Exchange, Slots } from './exchange.ts';
import type { Target } from './settings.ts';
import type { UpstreamPart } from './upstream.ts';

/** A request that nobody has made, with the slots that have been filled so far. */
export type ThoughtExchange = Exchange & Pick<Slots, 'caller'> & Partial<Slots>;

/**
 * What a stage would do: it tells what it knows, and gives the slots that it would fill. It has the stage's own config, and
 * surroundings in which nothing can be sent or kept, though what was shared is what requests have: it may look at that only.
 * @throws GatewayError what the caller would get; the stages below are not reached then
 */
export type Explainer = (
  exchange: ThoughtExchange,
  told: StageAccount,
) => void | Partial<Readonly<Slots>> | Promise<void | Partial<Readonly<Slots>>>;

/** The nested list of a composite stage, as its explainer has it. */
export interface NestedExplanation {
  /** Goes through the list once. Resolves to what would end it early, as for a stage. @param given slots to set */
  explain(
    exchange: ThoughtExchange,
    told: StageAccount,
    given: Partial<Readonly<Slots>>,
  ): Promise<GatewayError | undefined>;
}

/** What there is to say of a stage at its place. */
export interface StageAccount {
  readonly name: string;
  /** `told`: it has said what it would do. `runs`: it cannot say that without a request. `not_reached`: the call ends above it. */
  outcome: 'told' | 'runs' | 'refuses' | 'not_reached';
  readonly notes: string[];
  /** Of a composite stage. */
  stages: readonly StageAccount[];
  readonly account: Account;
}

/** What there is to say of the request. Stages add to it. */
export interface Account {
  /** The id of the consumer that is to be calling; undefined: nobody says who calls. */
  readonly consumer: string | undefined;
  /** Whether counts are those of the gateway that runs, and may be looked at. */
  readonly readsCounts: boolean;
  /** What is known of a candidate, in the order in which they were first asked for. */
  candidate(target: Target): CandidateAccount;
  readonly candidates: readonly CandidateAccount[];
  readonly budgets: BudgetAccount[];
  readonly limits: LimitAccount[];
  /** What the caller would get; undefined: nothing refuses the call. */
  readonly refusal: GatewayError | undefined;
  /** Says what the caller would get, while the account goes on. The first one counts. */
  refuse(error: GatewayError): void;
}

/** What there is to say of one candidate. */
export interface CandidateAccount {
  readonly target: Target;
  /** Whether it may serve the call, as far as that has been judged. */
  allowed: boolean;
  /** What decided that, for people. */
  rule: string | undefined;
  /** What would become of the call at this candidate, short of a request. */
  refusal: GatewayError | undefined;
  parameters: readonly ParameterAccount[];
  upstream: readonly UpstreamPart[];
}

export interface ParameterAccount {
  /** In wire spelling. */
  readonly name: string;
  /**
   * `native`, `mapped`: the provider takes it. `gateway`: the gateway does it. `passed`: sent as it came. `dropped`: left
   * out, and named in `x-pinhole-dropped-params`. `refused`: the caller is told that it cannot be.
   */
  readonly how: 'native' | 'mapped' | 'gateway' | 'passed' | 'dropped' | 'refused';
}

/** A counter of a budget that would count the call. */
export interface BudgetAccount {
  readonly id: string;
  readonly per: string | undefined;
  readonly value: string | undefined;
  readonly unit: string;
  readonly limit: number;
  /** What would be reserved. */
  readonly amount: number;
  readonly onExceed: 'block' | 'warn';
  readonly windowEndMs: number;
  /** Where it stands; undefined when that may not be looked at. */
  readonly standing: { readonly settled: number; readonly held: number } | undefined;
}

/** A limit that would count the call. */
export interface LimitAccount {
  /** Such as `60 requests in 1m for each consumer`. */
  readonly text: string;
  /** What the call would take of it. */
  readonly cost: number;
}

export function createAccount(given: Pick<Account, 'consumer' | 'readsCounts'>): Account {
  const candidates = new Map<Target, CandidateAccount>();
  let refusal: GatewayError | undefined;
  return {
    ...given,
    candidate(target) {
      const known = candidates.get(target) ?? {
        target,
        allowed: true,
        rule: undefined,
        refusal: undefined,
        parameters: [],
        upstream: [],
      };
      candidates.set(target, known);
      return known;
    },
    get candidates() {
      return [...candidates.values()];
    },
    budgets: [],
    limits: [],
    get refusal() {
      return refusal;
    },
    refuse(error) {
      refusal ??= error;
    },
  };
}
