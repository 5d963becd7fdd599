/** Reads the texts of a declarative provider's config: what begins with `= ` is an expression, the rest is itself. */
import { isJsonObject } from '../json.ts';
import { ConfigError } from '../pipeline/stage.ts';
import type { WireJson } from '../pipeline/upstream.ts';
import { ExpressionError, type Expression } from './cel.ts';
import { compileFor, SentPicture, type Place } from './declarative-language.ts';

/** An expression and its place in the entity's config. */
export interface Formula {
  /** JSON pointer within the config. */
  readonly at: string;
  readonly expression: Expression;
  /** Its value; undefined when it is empty. @throws FormulaError */
  value(variables: Variables): unknown;
}

export type Variables = Readonly<Record<string, unknown>>;

/** An expression that has no proper value for what it was shown. */
export class FormulaError extends Error {
  override readonly name = 'FormulaError';
  readonly formula: Formula;

  constructor(formula: Formula, cause: ExpressionError) {
    super(cause.message, { cause });
    this.formula = formula;
  }
}

/** One filling in: what expressions see, and which of them had a value. */
export interface Filling {
  readonly variables: Variables;
  readonly sent: Set<Formula>;
}

/** A text of the file, or what its expression gives; undefined when that is empty. @throws FormulaError */
export type Leaf<Value> = (filling: Filling) => Value | undefined;

/** What the value of a leaf has to be. */
export interface LeafKind<Value> {
  /** Why a type will not do, as far as the expression alone tells it. */
  wrong(type: string): string | undefined;
  /** @throws ExpressionError for a value that will not do */
  read(value: unknown): Value;
}

export interface Reader {
  /** @returns undefined when it is not valid, which is reported then */
  formula(source: string, at: string, place: Place, wrong?: LeafKind<unknown>['wrong']): Formula | undefined;
  leaf<Value>(source: string, at: string, place: Place, kind: LeafKind<Value>): Leaf<Value>;
  /** Takes a mistake. @param at JSON pointer within the config */
  report(at: string, message: string): void;
  /** All expressions that were read. */
  readonly formulas: readonly Formula[];
  readonly problems: readonly ConfigError[];
}

const mark = '= ';

export function createReader(): Reader {
  const formulas: Formula[] = [];
  const problems: ConfigError[] = [];
  const report = (at: string, message: string): void => void problems.push(new ConfigError(at, message));

  function formula(
    source: string,
    at: string,
    place: Place,
    wrong: LeafKind<unknown>['wrong'] = () => undefined,
  ): Formula | undefined {
    try {
      const expression = compileFor[place](source.slice(mark.length));
      const why = wrong(expression.type) ?? wholeVariable(expression);
      if (why !== undefined) throw new ExpressionError(why);
      const made: Formula = {
        at,
        expression,
        value: (variables) => attempt(made, () => expression.evaluate(variables)),
      };
      formulas.push(made);
      return made;
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      report(at, `the expression is wrong: ${error.message}`);
      return undefined;
    }
  }

  return {
    formulas,
    problems,
    report,
    formula,
    leaf(source, at, place, { read, wrong }) {
      if (!source.startsWith(mark)) return literal(read, source, (message) => report(at, message));
      const made = formula(source, at, place, wrong);
      if (made === undefined) return () => undefined;
      return ({ variables, sent }) => {
        const value = made.value(variables);
        if (value === undefined) return undefined;
        const taken = attempt(made, () => read(value));
        sent.add(made);
        return taken;
      };
    },
  };
}

function literal<Value>(read: (value: unknown) => Value, source: string, report: (why: string) => void): Leaf<Value> {
  try {
    const value = read(source);
    return () => value;
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    report(error.message);
    return () => undefined;
  }
}

/** What a provider can do is told from the members that its expressions read, so they have to name them. */
function wholeVariable({ reads }: Expression): string | undefined {
  return reads.has('call') ? 'name a member of `call`, such as `call.prompt`' : undefined;
}

function attempt<Value>(formula: Formula, action: () => Value): Value {
  try {
    return action();
  } catch (error) {
    if (error instanceof ExpressionError) throw new FormulaError(formula, error);
    throw error;
  }
}

/** A condition. */
export function notBoolean(type: string): string | undefined {
  return type === 'bool' || type === 'dyn' ? undefined : 'it is neither true nor false';
}

/** Whether a condition holds; not if it is empty. @throws FormulaError */
export function holds(condition: Formula, variables: Variables): boolean {
  const value = condition.value(variables);
  if (value === undefined || typeof value === 'boolean') return value === true;
  throw new FormulaError(condition, new ExpressionError('it is neither true nor false'));
}

/** Any JSON value, with pictures in it. */
export const jsonLeaf: LeafKind<WireJson> = {
  wrong: (type) => (/\bPicture\b/.test(type) ? 'a picture is written with dataUri(), base64() or link()' : undefined),
  read: toWire,
};

/** Text; lists and objects as JSON. */
export const textLeaf: LeafKind<string> = {
  wrong: (type) => (type.includes('Picture') ? 'a picture stands in `json`, or is the `file` of a form' : undefined),
  read(value) {
    if (typeof value === 'string') return value;
    if (value instanceof SentPicture) throw new ExpressionError('a picture cannot stand here');
    return JSON.stringify(toWire(value));
  },
};

export const headerLeaf: LeafKind<string> = {
  wrong: textLeaf.wrong,
  read(value) {
    const text = textLeaf.read(value);
    if (/^[\t\x20-\x7e\x80-\xff]*$/.test(text)) return text;
    throw new ExpressionError('it holds a character that a header cannot carry');
  },
};

function toWire(value: unknown): WireJson {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || value === null) {
    return value;
  }
  if (value instanceof SentPicture) return value.value;
  if (Array.isArray(value)) return value.map(toWire);
  if (isJsonObject(value) && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, toWire(member)]));
  }
  throw new ExpressionError('it gives something that JSON has no form for');
}
