import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { isJsonObject, type JsonSchema } from './json.ts';

/**
 * The folder with the schemas. It lies beside `src/`, and beside or above what is built from it.
 * @throws Error when it is not there, which means that the installation is damaged
 */
export function schemaFolder(): URL {
  const candidates = ['../schemas/', '../../schemas/'].map((path) => new URL(path, import.meta.url));
  const found = candidates.find((folder) => existsSync(new URL('gateway.schema.json', folder)));
  if (found === undefined) throw new Error(`The folder "schemas" is missing; looked for ${candidates.join(' and ')}.`);
  return found;
}

/** The names of all schemas, such as `gateway` and `stages/parse`. */
export function schemaNames(): readonly string[] {
  const ending = '.schema.json';
  const files = readdirSync(schemaFolder(), { recursive: true, encoding: 'utf8' });
  const names = files.filter((file) => file.endsWith(ending)).map((file) => file.slice(0, -ending.length));
  return names.map((name) => name.replaceAll('\\', '/')).toSorted();
}

const schemasByName = new Map<string, JsonSchema>();

/**
 * A schema by its name below the folder, such as `gateway`, `stages/parse` or `api/images-request`: read once, complete in
 * itself (every `$ref` is replaced by what it names) and without the arms that only editors need.
 * @throws Error when there is no such schema
 */
export function schemaFile(name: string): JsonSchema {
  const known = schemasByName.get(name);
  if (known !== undefined) return known;
  const file = new URL(`${name}.schema.json`, schemaFolder());
  const schema = complete(readNode(file), file);
  if (!isJsonObject(schema)) throw new Error(`The schema "${name}" is not an object.`);
  const { definitions: _unused, ...rest } = schema;
  schemasByName.set(name, rest);
  return rest;
}

/**
 * A schema in which every `$ref` to a file of the folder is replaced by what it names, so that a stage's or provider's
 * schema can be used however it was read, and an extension can refer to `../common.schema.json#/definitions/duration`.
 * References are taken relative to a folder below `schemas/`.
 */
export function completeSchema(schema: JsonSchema): JsonSchema {
  const completed = complete(schema, new URL('stages/this.schema.json', schemaFolder()));
  return isJsonObject(completed) ? completed : schema;
}

const nodesByFile = new Map<string, unknown>();

function readNode(file: URL): unknown {
  const known = nodesByFile.get(file.href);
  if (known !== undefined) return known;
  const node: unknown = JSON.parse(readFileSync(file, 'utf8'));
  nodesByFile.set(file.href, node);
  return node;
}

/** A copy of a node in which references are replaced by what they name; what stands beside a reference wins. */
function complete(node: unknown, file: URL): unknown {
  if (Array.isArray(node)) return node.map((item) => complete(item, file));
  if (!isJsonObject(node)) return node;
  const own: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(node)) {
    if (key === '$ref' || (key === 'allOf' && isEditorOnly(value))) continue;
    own[key] = complete(value, file);
  }
  if (typeof node['$ref'] !== 'string') return own;
  // A reference within a schema that did not come from the folder is left to the validator.
  if (node['$ref'].startsWith('#') && !nodesByFile.has(file.href)) return { ...own, $ref: node['$ref'] };
  const target = new URL(node['$ref'], file);
  const named = complete(nodeAt(target), withoutFragment(target));
  if (!isJsonObject(named)) throw new Error(`"${node['$ref']}" in ${file.href} names nothing.`);
  const { $schema: _schema, definitions: _definitions, ...rest } = named;
  return { ...rest, ...own };
}

/**
 * The arms `if plugin is x then config is y` let editors complete what stands under `config`. The gateway checks each
 * `config` against its own schema instead, which gives one clear problem in place of one for every arm.
 */
function isEditorOnly(allOf: unknown): boolean {
  return Array.isArray(allOf) && allOf.every((arm) => isJsonObject(arm) && arm['$comment'] === 'For editors.');
}

function withoutFragment(target: URL): URL {
  const file = new URL(target);
  file.hash = '';
  return file;
}

function nodeAt(target: URL): unknown {
  const segments = decodeURIComponent(target.hash.slice(1)).split('/').slice(1);
  let node = readNode(withoutFragment(target));
  for (const segment of segments) node = isJsonObject(node) ? node[segment] : undefined;
  return node;
}
