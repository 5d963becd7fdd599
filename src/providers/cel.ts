/**
 * The one place that knows the expression language: CEL, https://cel.dev. Expressions end, have no side effects, and see
 * only what they are shown.
 *
 * Two things differ from CEL as it is written down. What is absent or null makes the whole expression empty, unless `has`,
 * `first` or an operand of `||` and `&&` catches it: so one rule serves members that may be missing. And numbers mix,
 * because a vendor's 2 may be its 2.5 tomorrow.
 */
import {
  Environment,
  EvaluationError,
  Optional,
  ParseError,
  TypeError as CelTypeError,
  type ASTNode,
} from '@marcbachmann/cel-js';
import { isJsonObject } from '../json.ts';
import { compilePattern } from '../pattern.ts';

/** An expression, ready to be evaluated any number of times. */
export interface Expression {
  readonly source: string;
  /** The type of its value as far as the text alone tells it: `bool`, `list<int>`, `dyn`. */
  readonly type: string;
  /** What it reads, each as the longest chain of members: `call.size`, `reply.body.data`. */
  readonly reads: ReadonlySet<string>;
  /** The functions that it calls. */
  readonly calls: ReadonlySet<string>;
  /**
   * Its value as plain data, in which instances of the vocabulary's types stand as they are; undefined when it is empty.
   * @throws ExpressionError
   */
  evaluate(variables: Readonly<Record<string, unknown>>): unknown;
}

/** An expression that is not valid, or whose value cannot be made of what is there. */
export class ExpressionError extends Error {
  override readonly name = 'ExpressionError';
}

/** What expressions of one language know beyond CEL. */
export interface Vocabulary {
  /** Types by name: what their members are, and the class of their values where these are no plain objects. */
  readonly types: Readonly<
    Record<string, { readonly fields: Fields; readonly ctor?: new (...given: never) => object }>
  >;
  /** Functions by signature, such as `link(Picture): string`. Whole numbers are BigInt on both sides. */
  readonly functions: Readonly<Record<string, (...given: never) => unknown>>;
}

export type Fields = Readonly<Record<string, string>>;

/** Compiles a text. @throws ExpressionError */
export type Compile = (source: string) => Expression;

/** Generous for what people write, and a bound for what they do not. */
const limits = { maxAstNodes: 1000, maxDepth: 48, maxListElements: 200, maxMapEntries: 200, maxCallArguments: 8 };
/** A list within a list is common in answers; each further level multiplies the work. */
const maxLoopDepth = 2;
/** The longest list that is handed to expressions, and how deep it may lie. */
const maxItems = 1000;
const maxDepth = 64;
const loops: ReadonlySet<string> = new Set(['map', 'filter', 'all', 'exists', 'exists_one']);

/**
 * A language: from it, the compilers for places that see different variables.
 * @returns a function that takes the variables by name with their types
 */
export function createLanguage({ types, functions }: Vocabulary): (variables: Fields) => Compile {
  const language = new Environment({
    // Every name is declared, so that a misspelt one is found when the file is loaded.
    unlistedVariablesAreDyn: false,
    homogeneousAggregateLiterals: false,
    enableOptionalTypes: true,
    limits,
  });
  for (const [name, type] of Object.entries(types)) language.registerType(name, type);
  for (const [signature, handler] of Object.entries(functions)) language.registerFunction(signature, handler);
  registerNumbers(language);
  registerMacros(language);
  return (variables) => {
    const place = language.clone();
    for (const [name, type] of Object.entries(variables)) place.registerVariable(name, type);
    return (source) => compile(place, source);
  };
}

/** Thrown by a function that has no value for what it was given: the expression is empty. */
export class Absent extends Error {
  override readonly name = 'Absent';
}

function compile(language: Environment, source: string): Expression {
  try {
    const program = language.parse(source);
    const facts = inspect(program.ast);
    const { type = 'dyn', error } = program.check();
    if (error !== undefined) throw error;
    return {
      source,
      type,
      ...facts,
      evaluate(variables) {
        try {
          return fromCel(program(variables));
        } catch (thrown) {
          if (isAbsence(thrown)) return undefined;
          throw new ExpressionError(explain(thrown, source), { cause: thrown });
        }
      },
    };
  } catch (thrown) {
    throw new ExpressionError(explain(thrown, source), { cause: thrown });
  }
}

/** What is read and called, and whether there is anything that may not be. @throws ParseError */
function inspect(root: ASTNode): Pick<Expression, 'reads' | 'calls'> {
  const reads = new Set<string>();
  const calls = new Set<string>();
  const visit = (node: ASTNode, loopDepth: number): void => {
    if (node.op === 'value' && node.args === null) {
      throw new ParseError('There is no null here: what is null counts as absent; ask with has()', node);
    }
    const chain = chainOf(node);
    if (chain !== undefined) {
      reads.add(chain);
      return;
    }
    let inner = loopDepth;
    if (node.op === 'call' || node.op === 'rcall') {
      const [name] = node.args;
      calls.add(name);
      // It runs on the built-in engine, which some patterns keep busy for ever.
      if (name === 'matches') throw new ParseError('Use re(text, pattern) in place of matches()', node);
      if (node.op === 'rcall' && loops.has(name)) inner += 1;
      if (inner > maxLoopDepth) throw new ParseError(`Loops are nested more than ${maxLoopDepth} deep`, node);
    }
    for (const child of [node.args].flat(3)) if (isNode(child)) visit(child, inner);
  };
  visit(root, 0);
  return { reads, calls };
}

/** `a.b.c`, also where it is written `a.?b["c"]`. */
function chainOf(node: ASTNode): string | undefined {
  if (node.op === 'id') return node.args;
  if (node.op !== '.' && node.op !== '.?' && node.op !== '[]' && node.op !== '[?]') return undefined;
  const [owner, member] = node.args;
  const name = isNode(member) ? member.op === 'value' && member.args : member;
  const chain = typeof name === 'string' ? chainOf(owner) : undefined;
  return chain === undefined ? undefined : `${chain}.${String(name)}`;
}

function isNode(value: unknown): value is ASTNode {
  return typeof value === 'object' && value !== null && 'op' in value;
}

const absences: ReadonlySet<string> = new Set(['no_such_key', 'index_out_of_bounds', 'optional_value_missing']);

function isAbsence(thrown: unknown): boolean {
  return thrown instanceof Absent || (thrown instanceof EvaluationError && absences.has(thrown.code));
}

function explain(thrown: unknown, source: string): string {
  const isCel = thrown instanceof ParseError || thrown instanceof EvaluationError || thrown instanceof CelTypeError;
  if (!isCel) return thrown instanceof Error ? thrown.message : String(thrown);
  const { summary, node } = thrown;
  const part = node === undefined ? '' : source.slice(node.start, Math.min(node.end, node.start + 60));
  return part.trim() === '' ? summary : `${summary}, at \`${part}\``;
}

function registerNumbers(language: Environment): void {
  const operations: Readonly<Record<string, (left: number, right: number) => number>> = {
    '+': (left, right) => left + right,
    '-': (left, right) => left - right,
    '*': (left, right) => left * right,
    '/': (left, right) => left / right,
  };
  for (const [sign, operation] of Object.entries(operations)) {
    const mixed = (left: number | bigint, right: number | bigint): number => operation(Number(left), Number(right));
    language.registerOperator(`int ${sign} double: double`, mixed);
    language.registerOperator(`double ${sign} int: double`, mixed);
  }
}

/** What the library hands to macros: functions that get their arguments unevaluated. */
interface MacroCall {
  readonly args: readonly ASTNode[];
}
interface Checker {
  check(node: ASTNode, context: unknown): object;
  getType(name: string): object;
}
interface Evaluator {
  run(node: ASTNode, context: unknown): unknown;
}

function registerMacros(language: Environment): void {
  /** `first(a, b, …)`: the first that is there. */
  const first = ({ args }: MacroCall): object => ({
    typeCheck: (checker: Checker, _macro: unknown, context: unknown) => commonType(checker, args, context),
    evaluate(evaluator: Evaluator, _macro: unknown, context: unknown): unknown {
      for (const node of args) {
        try {
          const value = evaluator.run(node, context);
          if (!(value instanceof Optional) || value.hasValue()) return value;
        } catch (thrown) {
          if (!isAbsence(thrown)) throw thrown;
        }
      }
      throw new Absent();
    },
  });
  for (const count of [2, 3, 4, 5, 6]) {
    language.registerFunction(`first(${Array.from({ length: count }, () => 'ast').join(', ')}): dyn`, first);
  }

  /** `when(condition, value)`: the value if the condition holds. */
  language.registerFunction('when(ast, ast): dyn', ({ args: [condition, value] }: { args: [ASTNode, ASTNode] }) => ({
    typeCheck(checker: Checker, _macro: unknown, context: unknown) {
      const type = checker.check(condition, context);
      if (type !== checker.getType('bool') && type !== checker.getType('dyn')) {
        throw new CelTypeError('The condition of when() must be true or false', condition);
      }
      return checker.check(value, context);
    },
    evaluate(evaluator: Evaluator, _macro: unknown, context: unknown): unknown {
      if (evaluator.run(condition, context) !== true) throw new Absent();
      return evaluator.run(value, context);
    },
  }));

  /** `re(text, 'pattern')`: whether the whole text matches, in time linear to it. */
  language.registerFunction('re(ast, ast): bool', ({ args: [text, source] }: { args: [ASTNode, ASTNode] }) => {
    if (source.op !== 'value' || typeof source.args !== 'string') {
      throw new ParseError('The pattern of re() must be text that stands there', source);
    }
    const pattern = patternOf(source.args, source);
    return {
      typeCheck(checker: Checker, _macro: unknown, context: unknown) {
        const type = checker.check(text, context);
        if (type !== checker.getType('string') && type !== checker.getType('dyn')) {
          throw new CelTypeError('re() looks at text only', text);
        }
        return checker.getType('bool');
      },
      evaluate(evaluator: Evaluator, _macro: unknown, context: unknown): boolean {
        const value = evaluator.run(text, context);
        if (typeof value !== 'string') throw new EvaluationError('re() looks at text only', text);
        return pattern.matches(value);
      },
    };
  });
}

function commonType(checker: Checker, nodes: readonly ASTNode[], context: unknown): object {
  const types = new Set(nodes.map((node) => checker.check(node, context)));
  const [only] = types;
  return types.size === 1 && only !== undefined ? only : checker.getType('dyn');
}

function patternOf(source: string, node: ASTNode): { matches(text: string): boolean } {
  try {
    return compilePattern(source);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ParseError(`This is not a regular expression in RE2's syntax: ${reason}`, node);
  }
}

/**
 * Plain data as CEL wants it: whole numbers as BigInt, and without what is null. Instances of classes stay as they are.
 * @throws ExpressionError for data that is too much to be looped over
 */
export function toCel(data: unknown): unknown {
  const convert = (value: unknown, depth: number): unknown => {
    if (depth > maxDepth) throw new ExpressionError(`data nested more than ${maxDepth} deep`);
    if (Number.isSafeInteger(value)) return BigInt(value as number);
    if (Array.isArray(value)) {
      if (value.length > maxItems) throw new ExpressionError(`a list of more than ${maxItems} items`);
      return value.map((item) => convert(item, depth + 1));
    }
    if (!isPlainObject(value)) return value;
    const members = Object.entries(value).filter(([, member]) => member !== null && member !== undefined);
    const converted = members.map(([name, member]) => [name, convert(member, depth + 1)] as const);
    return Object.assign(Object.create(null), Object.fromEntries(converted));
  };
  return convert(data, 0);
}

/** @throws ExpressionError for what plain data has no form for; Absent for an optional value that is not there */
function fromCel(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    if (Number.isSafeInteger(number)) return number;
    throw new ExpressionError('A number is too large to be written');
  }
  if (typeof value === 'number' && !Number.isFinite(value)) throw new ExpressionError('A number is not finite');
  if (value instanceof Optional) {
    if (!value.hasValue()) throw new Absent();
    return fromCel(value.value());
  }
  if (Array.isArray(value)) return value.map(fromCel);
  if (!isPlainObject(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, fromCel(member)]));
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (!isJsonObject(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
