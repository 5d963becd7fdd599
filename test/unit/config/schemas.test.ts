import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import { describe, expect, it } from 'vitest';
import { isJsonObject } from '../../../src/json.ts';
import { completeSchema, schemaFile, schemaFolder } from '../../../src/schema-files.ts';
import { compileConfigValidator, compileRequestValidator } from '../../../src/validation.ts';
import { schemaNames } from './definitions.ts';

const folder = fileURLToPath(schemaFolder());
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.json'));
const read = (file: string): unknown => JSON.parse(readFileSync(`${folder}${file}`, 'utf8'));

/** Every schema within a schema, with its place. */
function* schemasIn(node: unknown, place: string): Generator<readonly [string, Record<string, unknown>]> {
  if (!isJsonObject(node)) return;
  yield [place, node];
  for (const keyword of ['properties', 'patternProperties', 'definitions']) {
    const named = node[keyword];
    if (!isJsonObject(named)) continue;
    for (const [name, schema] of Object.entries(named)) yield* schemasIn(schema, `${place}/${keyword}/${name}`);
  }
  for (const keyword of ['items', 'additionalProperties']) yield* schemasIn(node[keyword], `${place}/${keyword}`);
}

/** The names in the arms `if NAME is … then …` that editors go by. */
function armsOf(schema: unknown, key: string): string[] {
  if (!isJsonObject(schema) || !Array.isArray(schema['allOf'])) return [];
  return schema['allOf'].map((arm: { if: { properties: Record<string, { const: string }> } }) =>
    String(arm.if.properties[key]?.const),
  );
}

describe.each(files)('%s', (file) => {
  it('describes every property', () => {
    const silent: string[] = [];
    for (const [place, schema] of schemasIn(read(file), file)) {
      const isNamed = /\/properties\/[^/]+$/.test(place);
      if (isNamed && !('description' in schema) && !('$ref' in schema)) silent.push(place);
    }
    expect(silent).toEqual([]);
  });

  it('is a draft-07 schema that can be used', () => {
    const schema = read(file);
    expect(isJsonObject(schema) && schema['$schema']).toBe('http://json-schema.org/draft-07/schema#');
    const name = file.replace('.schema.json', '');
    if (name === 'common') return;
    expect(new Ajv({ strict: false }).validateSchema(schemaFile(name))).toBe(true);
    const compile = name.startsWith('api/') ? compileRequestValidator : compileConfigValidator;
    expect(() => compile(schemaFile(name))).not.toThrow();
  });

  it('is closed where operators write', () => {
    const open: string[] = [];
    for (const [place, schema] of schemasIn(read(file), file)) {
      if ('properties' in schema && !('additionalProperties' in schema)) open.push(place);
    }
    expect(open).toEqual([]);
  });
});

describe('the schema of the file', () => {
  it('has an arm for each stage and each provider, and no others', () => {
    const gateway = read('gateway.schema.json');
    const stage = completeDefinition(gateway, 'stage');
    expect(armsOf(stage, 'plugin').toSorted()).toEqual(schemaNames('stages'));
    expect(armsOf(read('entity.schema.json'), 'provider').toSorted()).toEqual(schemaNames('providers'));
  });

  it('accepts the shipped file and the largest valid one as an editor sees them', () => {
    const ajv = new Ajv({ strict: false, validateFormats: false });
    for (const file of files) ajv.addSchema(read(file) as object, `http://schemas.test/${file}`);
    const validate = ajv.getSchema('http://schemas.test/gateway.schema.json');
    const stage = { plugin: 'parse', config: { max_images: 3 } };
    const route = { id: 'a', path: '/a', pipeline: ['authenticate', stage] };
    expect(validate?.({ version: 1, server: { listen: ':8080' }, routes: [route] })).toBe(true);
    const wrong = { ...route, pipeline: [{ ...stage, config: { max_image: 3 } }] };
    expect(validate?.({ version: 1, routes: [wrong] })).toBe(false);
  });

  it('is complete in itself for the validator, without what is for editors only', () => {
    const text = JSON.stringify(schemaFile('gateway'));
    expect(text).not.toContain('$ref');
    expect(text).not.toContain('"if"');
  });
});

describe('a schema from elsewhere', () => {
  it('may refer to the shared definitions and to its own', () => {
    const schema = {
      properties: { a: { $ref: '../common.schema.json#/definitions/delay' }, b: { $ref: '#/definitions/own' } },
      definitions: { own: { type: 'string' } },
    };
    const value = { a: '2s', b: 1 };
    const { problems } = compileConfigValidator(schema)(value);
    expect(value.a).toBe(2000);
    expect(problems.map(({ message }) => message)).toEqual(['`b` must be text; put it in quotes']);
  });

  it('is the same when it is completed twice', () => {
    const once = completeSchema({ properties: { a: { $ref: '../common.schema.json#/definitions/size' } } });
    expect(completeSchema(once)).toEqual(once);
  });
});

it('the generated types are those of the schemas', () => {
  const script = fileURLToPath(new URL('../../../scripts/generate.ts', import.meta.url));
  expect(execFileSync(process.execPath, [script, '--check'], { encoding: 'utf8' })).toBe('');
});

function completeDefinition(schema: unknown, name: string): unknown {
  const definitions = isJsonObject(schema) ? schema['definitions'] : undefined;
  return isJsonObject(definitions) ? definitions[name] : undefined;
}
