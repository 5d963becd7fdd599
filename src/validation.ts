/** The one place that knows the schema validator. */
import { Ajv, type ErrorObject, type SchemaValidateFunction, type ValidateFunction } from 'ajv';
import { formats } from './formats.ts';
import { segmentsOf, spellPointer } from './json-pointer.ts';
import { isJsonObject, type JsonSchema } from './json.ts';
import { parseUsd } from './money.ts';
import { formatDuration, formatSize, parseDuration, parseSize } from './quantities.ts';
import { completeSchema } from './schema-files.ts';
import { describeError, type SchemaProblem } from './validation-messages.ts';

export type { SchemaProblem } from './validation-messages.ts';

/** What a check of configuration found. */
export interface ConfigCheck {
  readonly problems: readonly SchemaProblem[];
  /** JSON pointers of the values that the schema calls secret. */
  readonly secrets: readonly string[];
}

/**
 * Checks a value and brings it into its final form in place: defaults are filled in, durations become milliseconds,
 * sizes bytes, shorthands objects. Text that came from a reference becomes a number or boolean where one is wanted.
 */
export type ConfigValidator = (value: unknown, origin?: ValueOrigin) => ConfigCheck;

/** Where a value comes from. */
export interface ValueOrigin {
  /** JSON pointer of the value in its document; all pointers that come back begin with it. */
  readonly at: string;
  /** Whether the value at a JSON pointer of the document came from a reference. */
  readonly isReferenced: (pointer: string) => boolean;
}

const wholeDocument: ValueOrigin = { at: '', isReferenced: () => false };

/** What keywords note down while a value is checked. */
interface RunContext {
  readonly secrets: Set<string>;
}

const configValidator = new Ajv({
  allErrors: true,
  useDefaults: true,
  strict: true,
  strictRequired: false,
  strictTypes: false,
  verbose: true,
  passContext: true,
});

const requestValidator = new Ajv({ strict: true, strictRequired: false, strictTypes: false, verbose: true });

for (const ajv of [configValidator, requestValidator]) {
  ajv.addVocabulary(['patternErrorMessage']);
  for (const [name, explain] of Object.entries(formats)) {
    ajv.addFormat(name, { type: 'string', validate: (text: string) => explain(text) === undefined });
  }
}
requestValidator.addVocabulary(['x-secret', 'x-duration', 'x-size', 'x-usd', 'x-list', 'x-shorthand']);

/** `x-secret: true`: the value is shown to nobody. */
configValidator.addKeyword({
  keyword: 'x-secret',
  schemaType: 'boolean',
  validate(this: RunContext, isSecret: boolean, _value: unknown, _schema?: unknown, place?: { instancePath: string }) {
    if (isSecret && place !== undefined) this.secrets.add(place.instancePath);
    return true;
  },
});

addQuantity('x-duration', parseDuration, formatDuration);
addQuantity('x-size', parseSize, formatSize);

/** `x-usd: true`: a number is an amount of dollars, and must be one of whole nano-dollars. */
const validateUsd: SchemaValidateFunction = (_schema: boolean, value: unknown) => {
  // What is negative or too large, the keywords for that say.
  if (typeof value !== 'number' || value < 0 || value > 9e6 || parseUsd(String(value)) !== undefined) return true;
  const message = 'must have no more than 9 digits behind the point, since money is counted in nano-dollars';
  validateUsd.errors = [{ keyword: 'x-usd', message, params: {} }];
  return false;
};
configValidator.addKeyword({ keyword: 'x-usd', schemaType: 'boolean', errors: true, validate: validateUsd });

/** `x-list: true`: one value may stand for a list of one. */
configValidator.addKeyword({
  keyword: 'x-list',
  schemaType: 'boolean',
  modifying: true,
  errors: false,
  validate: (_schema: boolean, value: unknown, _parent?: unknown, place?: Place) => {
    if (place !== undefined && !Array.isArray(value)) place.parentData[place.parentDataProperty] = [value];
    return true;
  },
});

/** `x-shorthand: name`: a text may stand for an object with only this member. */
configValidator.addKeyword({
  keyword: 'x-shorthand',
  schemaType: 'string',
  modifying: true,
  errors: false,
  validate: (member: string, value: unknown, _parent?: unknown, place?: Place) => {
    if (place !== undefined && typeof value === 'string') {
      place.parentData[place.parentDataProperty] = { [member]: value };
    }
    return true;
  },
});

type Place = { readonly parentData: Record<PropertyKey, unknown>; readonly parentDataProperty: string | number };

interface QuantityRange {
  readonly minimum: number;
  readonly maximum: number;
}

/** A number with or without a unit. It runs before the keywords for text, so their `pattern` sees only what has no good form. */
function addQuantity(
  keyword: string,
  parse: (text: string) => number | undefined,
  format: (amount: number) => string,
): void {
  const validate: SchemaValidateFunction = (range: QuantityRange, value: unknown, _parent?: unknown, place?: Place) => {
    const amount = typeof value === 'string' ? parse(value) : value;
    if (typeof amount !== 'number') return true;
    if (place !== undefined) place.parentData[place.parentDataProperty] = amount;
    if (amount >= range.minimum && amount <= range.maximum) return true;
    const message =
      amount < range.minimum ? `must be ${format(range.minimum)} or more` : `must be ${format(range.maximum)} or less`;
    validate.errors = [{ keyword, message, params: {} }];
    return false;
  };
  configValidator.addKeyword({ keyword, schemaType: 'object', modifying: true, errors: true, validate });
}

const configValidators = new WeakMap<JsonSchema, ConfigValidator>();

/**
 * A validator for what operators write: it finds all problems at once and fills in defaults.
 * @throws Error when the schema itself is not valid
 */
export function compileConfigValidator(schema: JsonSchema): ConfigValidator {
  const known = configValidators.get(schema);
  if (known !== undefined) return known;
  const validate = compile(configValidator, schema);

  const check: ConfigValidator = (value, { at, isReferenced } = wholeDocument) => {
    const context: RunContext = { secrets: new Set() };
    let errors = run(validate, context, value);
    if (convertReferenced(value, errors, (pointer) => isReferenced(at + pointer))) {
      errors = run(validate, context, value);
    }
    return {
      problems: errors.flatMap((error) => describeError(error, at)),
      secrets: [...context.secrets].map((pointer) => at + pointer),
    };
  };
  configValidators.set(schema, check);
  return check;
}

/** What a request's body has wrong. */
export interface RequestProblem {
  readonly code: 'missing_required_parameter' | 'invalid_value';
  /** The parameter in wire spelling, such as `size` or `fallbacks[0]`. */
  readonly param: string;
  /** A sentence for the caller; it does not repeat the value. */
  readonly message: string;
}

/**
 * A validator for request bodies: it stops at the first problem and changes nothing.
 * @throws Error when the schema itself is not valid
 */
export function compileRequestValidator(schema: JsonSchema): (value: unknown) => RequestProblem | undefined {
  const validate = compile(requestValidator, schema);
  return (value) => {
    const [problem] = run(validate, undefined, value).flatMap((error) => describeError(error));
    if (problem === undefined) return undefined;
    const param = spellPointer(problem.member === undefined ? problem.pointer : `${problem.pointer}/${problem.member}`);
    if (problem.kind === 'missing') {
      return { code: 'missing_required_parameter', param, message: `The parameter "${param}" is required.` };
    }
    return { code: 'invalid_value', param, message: `The parameter "${param}" ${problem.predicate}.` };
  };
}

function compile(ajv: Ajv, schema: JsonSchema): ValidateFunction {
  const completed = completeSchema(schema);
  const validate = ajv.compile(completed);
  // The validator would keep every schema for ever, and extensions bring new ones with each reload.
  ajv.removeSchema(completed);
  return validate;
}

function run(validate: ValidateFunction, context: RunContext | undefined, value: unknown): readonly ErrorObject[] {
  return validate.call(context, value) ? [] : (validate.errors ?? []);
}

/** Turns text from references into the number or boolean that the schema wants. Returns whether any was turned. */
function convertReferenced(
  root: unknown,
  errors: readonly ErrorObject[],
  isReferenced: (pointer: string) => boolean,
): boolean {
  let converted = false;
  for (const error of errors) {
    if (error.keyword !== 'type' || typeof error.data !== 'string' || !isReferenced(error.instancePath)) continue;
    const value = convert(error.data, [error.schema].flat());
    if (value === undefined) continue;
    assignAt(root, error.instancePath, value);
    converted = true;
  }
  return converted;
}

function convert(text: string, types: readonly unknown[]): number | boolean | undefined {
  if (types.includes('boolean') && (text === 'true' || text === 'false')) return text === 'true';
  const isNumber = /^-?[0-9]{1,15}(\.[0-9]{1,15})?$/.test(text);
  return isNumber && (types.includes('number') || types.includes('integer')) ? Number(text) : undefined;
}

function assignAt(root: unknown, pointer: string, value: unknown): void {
  const segments = segmentsOf(pointer);
  const last = segments.pop();
  let node = root;
  for (const segment of segments)
    node = Array.isArray(node) || isJsonObject(node) ? Reflect.get(node, segment) : undefined;
  if (last !== undefined && (Array.isArray(node) || isJsonObject(node))) Reflect.set(node, last, value);
}
