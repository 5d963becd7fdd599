/**
 * Writes `docs/providers.md` from the providers, and `src/generated/` from `schemas/`: one file of types for each schema, in the form in which the gateway hands the
 * data on: defaults filled in, durations as milliseconds, sizes as bytes, shorthands written out. With `--check` nothing
 * is written; files that are missing, stale or left over are named, and the exit code is 1.
 */
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile } from 'json-schema-to-typescript';
import { isJsonObject } from '../src/json.ts';
import { schemaFile, schemaFolder } from '../src/schema-files.ts';

const ending = '.schema.json';
const folder = fileURLToPath(new URL('../src/generated/', import.meta.url));
const banner = '/* Generated from schemas/ by `npm run generate`. Do not edit. */';

/** The names of the types that are not made from the name of their file. */
const typeNames: Readonly<Record<string, string>> = {
  gateway: 'GatewayFile',
  entity: 'EntityFile',
  'image-prices': 'ImagePrices',
  'api/explain-request': 'ExplainRequest',
  'api/images-request': 'ImagesRequest',
  'api/images-response': 'ImagesResponseBody',
  'api/error-response': 'ErrorResponseBody',
};

const pascalCase = (text: string): string =>
  text.replaceAll(/(?:^|-)([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase());

const typeName = (schema: string): string =>
  typeNames[schema] ?? `${pascalCase(schema.slice(schema.lastIndexOf('/') + 1))}Config`;

/**
 * A schema of the data after loading, in which what has a default is always there. Parts with a title become types of
 * their own; those with the same title become the same type.
 */
function loaded(node: unknown, titled = new Map<string, unknown>()): unknown {
  if (Array.isArray(node)) return node.map((item) => loaded(item, titled));
  if (!isJsonObject(node)) return node;
  const { title } = node;
  if (typeof title !== 'string') return loadedObject(node, titled);
  const known = titled.get(title) ?? { ...loadedObject(node, titled), title: `${title}File` };
  titled.set(title, known);
  return known;
}

function loadedObject(node: Record<string, unknown>, titled: Map<string, unknown>): Record<string, unknown> {
  const { title: _title, ...rest } = node;
  if ('x-duration' in node)
    return { type: 'number', description: `${String(node['description'])} Here: milliseconds.` };
  if ('x-size' in node) return { type: 'number', description: `${String(node['description'])} Here: bytes.` };
  if (Object.keys(rest).join() === 'description') return { ...rest, tsType: 'unknown' };
  const result: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(rest)) {
    if (key === 'properties' && isJsonObject(value)) {
      result[key] = Object.fromEntries(Object.entries(value).map(([name, part]) => [name, loaded(part, titled)]));
    } else if (key !== 'default' && key !== 'examples') {
      result[key] = loaded(value, titled);
    }
  }
  if ('x-shorthand' in node) result['type'] = 'object';
  if ('x-list' in node) result['type'] = 'array';
  if (isJsonObject(node['properties'])) {
    const given = Object.entries(node['properties']).filter(([, value]) => isJsonObject(value) && 'default' in value);
    const required = Array.isArray(node['required']) ? node['required'] : [];
    result['required'] = [...new Set([...required, ...given.map(([key]) => key)])];
  }
  return result;
}

async function generate(schema: string): Promise<string> {
  return await compile(loadedObject(schemaFile(schema), new Map()), typeName(schema), {
    bannerComment: banner,
    additionalProperties: true,
    ignoreMinAndMaxItems: true,
    unknownAny: true,
    style: { singleQuote: true, printWidth: 120 },
  });
}

async function filesBelow(path: string): Promise<string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(path.length))
    .toSorted();
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return undefined; // Not there yet: it is stale.
  }
}

const check = process.argv.includes('--check');
const wanted = new Map<string, string>();
for (const file of await filesBelow(fileURLToPath(schemaFolder()))) {
  if (!file.endsWith(ending) || file === `common${ending}`) continue;
  const schema = file.slice(0, -ending.length);
  wanted.set(`${schema}.ts`, await generate(schema));
}

await mkdir(folder, { recursive: true });
const stale: string[] = [];
for (const [file, text] of wanted) {
  if ((await textOf(join(folder, file))) === text) continue;
  stale.push(file);
  if (check) continue;
  await mkdir(dirname(join(folder, file)), { recursive: true });
  await writeFile(join(folder, file), text);
}
for (const file of await filesBelow(folder)) {
  if (wanted.has(file)) continue;
  stale.push(file);
  if (!check) await rm(join(folder, file));
}

// The providers are imported only now: they need what has just been written.
const { providerPage } = await import('./provider-table.ts');
const page = providerPage();
const pagePath = fileURLToPath(new URL('../docs/providers.md', import.meta.url));
if ((await textOf(pagePath)) !== page) {
  stale.push('../../docs/providers.md');
  if (!check) await writeFile(pagePath, page);
}

for (const file of stale) console.log(`${check ? 'stale' : 'written'}: ${join('src/generated', file)}`);
if (check && stale.length > 0) {
  console.error('Run `npm run generate`.');
  process.exitCode = 1;
}
