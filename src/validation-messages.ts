import type { ErrorObject } from 'ajv';
import { formats } from './formats.ts';
import { nameOf, pointerTo } from './json-pointer.ts';
import { isJsonObject } from './json.ts';

/** Something that a schema does not allow. */
export interface SchemaProblem {
  /** `value`: what stands there is wrong. `key`: its name is. `missing`: something should stand below it. */
  readonly kind: 'value' | 'key' | 'missing';
  /** JSON pointer of the value or the key at fault, or of the object that lacks something. */
  readonly pointer: string;
  /** For people, naming the place; it never repeats a value. */
  readonly message: string;
  /** The same without the place: `must be a list`. */
  readonly predicate: string;
  /** What is missing, for `missing`. */
  readonly member?: string;
  /** A name that is not among those that exist. */
  readonly misspelt?: { readonly given: string; readonly among: readonly string[] };
}

/**
 * What an error of the validator means for people; nothing if it only follows from another one.
 * @param at JSON pointer of the value that was validated
 */
export function describeError(error: ErrorObject, at = ''): SchemaProblem[] {
  const pointer = at + error.instancePath;
  const parameters: Record<string, unknown> = error.params;
  if (error.keyword === 'if' || (error.keyword === 'propertyNames' && error.propertyName === undefined)) return [];
  if (error.keyword === 'additionalProperties') {
    const given = String(parameters['additionalProperty']);
    const properties = error.parentSchema?.['properties'];
    const among = isJsonObject(properties) ? Object.keys(properties) : [];
    const predicate = 'is not a known key';
    return [problem('key', pointerTo(pointer, given), predicate, { misspelt: { given, among } })];
  }
  if (error.keyword === 'required') {
    const member = String(parameters['missingProperty']);
    const predicate = 'is missing';
    return [{ kind: 'missing', pointer, predicate, member, message: `\`${member}\` is missing` }];
  }
  const predicate = predicateOf(error, parameters);
  // Errors below `propertyNames` are about a key of the object that they point to; a last one repeats them for the object.
  if (error.propertyName !== undefined) return [problem('key', pointerTo(pointer, error.propertyName), predicate)];
  if (error.keyword === 'propertyNames') return [];
  if (error.keyword === 'enum' && typeof error.data === 'string' && Array.isArray(error.schema)) {
    const among = error.schema.filter((value) => typeof value === 'string');
    return [problem('value', pointer, predicate, { misspelt: { given: error.data, among } })];
  }
  return [problem('value', pointer, predicate)];
}

function problem(
  kind: 'value' | 'key',
  pointer: string,
  predicate: string,
  more: Pick<SchemaProblem, 'misspelt'> = {},
): SchemaProblem {
  const name = pointer === '' ? 'the file' : `\`${nameOf(pointer)}\``;
  return { kind, pointer, predicate, message: `${name} ${predicate}`, ...more };
}

function predicateOf(error: ErrorObject, parameters: Record<string, unknown>): string {
  const limit = String(parameters['limit']);
  switch (error.keyword) {
    case 'type':
      return describeType(error);
    case 'enum':
      return `must be ${alternatives(Array.isArray(error.schema) ? error.schema.map(String) : [])}`;
    case 'const':
      return `must be ${String(error.schema)}`;
    case 'format':
      return describeFormat(error);
    case 'pattern':
      return String(error.parentSchema?.['patternErrorMessage'] ?? `must match ${String(error.schema)}`);
    case 'minLength':
      return limit === '1' ? 'must not be empty' : `must have at least ${limit} characters`;
    case 'maxLength':
      return `must have at most ${limit} characters`;
    case 'minItems':
    case 'minProperties':
      return limit === '1' ? 'must not be empty' : `must have at least ${limit} entries`;
    case 'maxItems':
    case 'maxProperties':
      return `must have at most ${limit} entries`;
    case 'minimum':
      return `must be ${limit} or more`;
    case 'maximum':
      return `must be ${limit} or less`;
    case 'exclusiveMinimum':
      return `must be more than ${limit}`;
    case 'exclusiveMaximum':
      return `must be less than ${limit}`;
    case 'uniqueItems':
      return 'must not have the same entry twice';
    default:
      return error.message ?? `breaks the rule "${error.keyword}"`;
  }
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
};

function describeType(error: ErrorObject): string {
  const types = [error.schema].flat().filter((type) => type !== 'null');
  const wanted = alternatives(types.map((type) => typeNames[String(type)] ?? String(type)));
  // `key:` with everything below it commented out is a common slip, and "must be an object" explains it badly.
  if (error.data === null) return `is empty; it must be ${wanted}, or left out`;
  const isUnquoted = types.join() === 'string' && typeof error.data !== 'object';
  return isUnquoted ? 'must be text; put it in quotes' : `must be ${wanted}`;
}

function describeFormat(error: ErrorObject): string {
  const name = String(error.schema);
  const explained = typeof error.data === 'string' ? formats[name]?.(error.data) : undefined;
  return explained ?? `must have the format ${name}`;
}

function alternatives(names: readonly string[]): string {
  const last = names.at(-1) ?? 'something else';
  return names.length < 2 ? last : `${names.slice(0, -1).join(', ')} or ${last}`;
}
