/** What a declarative provider makes of answers that are no success: the rules of its file, then the status. */
import type { GatewayError } from '../errors.ts';
import type { DeclarativeConfig } from '../generated/providers/declarative.ts';
import { pointerTo, spellPointer } from '../json-pointer.ts';
import type { UpstreamReply } from '../pipeline/upstream.ts';
import { failedJob, invalidAnswer, refusal } from './answers.ts';
import { ExpressionError } from './cel.ts';
import { viewReply } from './declarative-language.ts';
import {
  FormulaError,
  holds,
  notBoolean,
  textLeaf,
  type Formula,
  type Leaf,
  type Reader,
  type Variables,
} from './declarative-reader.ts';
import { UnsafePath } from './declarative-request.ts';
import { commonWords, faultFrom, faultReader, type FaultWords } from './faults.ts';

type RuleFile = DeclarativeConfig['errors'][number];

/** What answers mean. */
export interface Rule {
  readonly when: Formula | undefined;
  readonly code: RuleFile['code'];
  readonly message: Leaf<string> | undefined;
}

export function compileRules(files: readonly RuleFile[], reader: Reader): readonly Rule[] {
  return files.map(({ when, code, message }, index) => {
    const at = pointerTo('/errors', index);
    return {
      when: reader.formula(when, pointerTo(at, 'when'), 'error', notBoolean),
      code,
      message: message === undefined ? undefined : reader.leaf(message, pointerTo(at, 'message'), 'error', textLeaf),
    };
  });
}

/** An answer, and what expressions see of it. */
export interface Seen {
  readonly reply: UpstreamReply;
  readonly view: unknown;
  readonly words: string | undefined;
}

/** @throws ExpressionError for a document without end */
export function see(reply: UpstreamReply, document: unknown): Seen {
  return { reply, view: viewReply(reply, document), words: commonWords(document).message };
}

/** The rules first; where none holds, the status decides. */
export async function readFault(reply: UpstreamReply, rules: readonly Rule[]): Promise<GatewayError> {
  let meant: GatewayError | undefined;
  const usual = await faultReader((document) => {
    meant = meaningOf(rules, seeFault(reply, document));
    return { ...commonWords(document), refusal: false };
  })(reply);
  return meant ?? usual;
}

function seeFault(reply: UpstreamReply, document: unknown): Seen {
  try {
    return see(reply, document);
  } catch (error) {
    if (error instanceof ExpressionError) return see(reply, undefined);
    throw error;
  }
}

/** @throws GatewayError when a rule holds */
export function throwMeaning(rules: readonly Rule[], seen: Seen): void {
  const meant = meaningOf(rules, seen);
  if (meant !== undefined) throw meant;
}

/** The error by the first rule that holds. */
function meaningOf(rules: readonly Rule[], { reply, view, words }: Seen): GatewayError | undefined {
  const variables = { reply: view };
  const rule = rules.find(({ when }) => when !== undefined && isMet(when, variables));
  if (rule === undefined) return undefined;
  const message = messageOf(rule, variables) ?? words;
  const fault = (status: number, more: Partial<FaultWords> = {}): GatewayError =>
    faultFrom({ ...reply, status }, { message, code: undefined, param: undefined, refusal: false, ...more });
  switch (rule.code) {
    case 'content_policy_violation':
      return message === undefined ? refusal(undefined) : fault(reply.status, { refusal: true });
    case 'invalid_value':
      return fault(isAboutRequest(reply.status) ? reply.status : 400);
    case 'model_not_found':
      return fault(404);
    case 'rate_limit_exceeded':
      return fault(429);
    case 'upstream_auth_failed':
      return fault(401);
    case 'upstream_error':
      return reply.status < 300 ? failedJob(message) : fault(reply.status, { about: 'failure' });
  }
}

/** Statuses that would not say the same for another reason. */
function isAboutRequest(status: number): boolean {
  return status >= 400 && status < 500 && ![401, 402, 403, 404, 408, 413, 415, 429].includes(status);
}

function messageOf({ message }: Rule, variables: Variables): string | undefined {
  try {
    return message?.({ variables, sent: new Set() });
  } catch (error) {
    if (error instanceof FormulaError) return undefined;
    throw error;
  }
}

/** A condition that cannot be applied to an answer, because that has another shape, does not hold. */
function isMet(condition: Formula, variables: Variables): boolean {
  try {
    return holds(condition, variables);
  } catch (error) {
    if (error instanceof FormulaError) return false;
    throw error;
  }
}

/** @throws GatewayError upstream_invalid_response when the expressions of the file do not fit the answer */
export function understood<Value>(action: () => Value): Value {
  try {
    return action();
  } catch (error) {
    if (error instanceof FormulaError) {
      throw invalidAnswer(`\`${spellPointer(error.formula.at)}\` cannot be made of it`, error);
    }
    if (error instanceof UnsafePath) throw invalidAnswer('it names an address that is not to be asked', error);
    if (error instanceof ExpressionError) throw invalidAnswer('it is too long, or nested too deep', error);
    throw error;
  }
}
