import { describe, expect, it } from 'vitest';
import { schemaFile } from '../../src/schema-files.ts';
import { compileConfigValidator, compileRequestValidator } from '../../src/validation.ts';

/** The messages for a value under a schema with one property, `x`. */
function messages(schema: Record<string, unknown>, x: unknown): string[] {
  const validate = compileConfigValidator({ type: 'object', additionalProperties: false, properties: { x: schema } });
  return validate({ x }).problems.map(({ message }) => message);
}

describe('the validator for configuration', () => {
  it.each([
    [{ type: 'string' }, 5, '`x` must be text; put it in quotes'],
    [{ type: 'string' }, {}, '`x` must be text'],
    [{ type: ['string', 'array'] }, 5, '`x` must be text or a list'],
    [{ type: 'object' }, null, '`x` is empty; it must be an object, or left out'],
    [{ type: 'integer', minimum: 3 }, 2, '`x` must be 3 or more'],
    [{ type: 'integer', maximum: 3 }, 4, '`x` must be 3 or less'],
    [{ type: 'number', exclusiveMinimum: 0 }, 0, '`x` must be more than 0'],
    [{ type: 'number', exclusiveMaximum: 1 }, 1, '`x` must be less than 1'],
    [{ type: 'string', minLength: 1 }, '', '`x` must not be empty'],
    [{ type: 'string', minLength: 2 }, 'a', '`x` must have at least 2 characters'],
    [{ type: 'string', maxLength: 2 }, 'abc', '`x` must have at most 2 characters'],
    [{ type: 'array', minItems: 1 }, [], '`x` must not be empty'],
    [{ type: 'array', maxItems: 1 }, [1, 2], '`x` must have at most 1 entries'],
    [{ type: 'array', uniqueItems: true }, [1, 1], '`x` must not have the same entry twice'],
    [{ enum: ['a', 'b', 'c'] }, 'd', '`x` must be a, b or c'],
    [{ const: 1 }, 2, '`x` must be 1'],
    [{ type: 'string', pattern: '^a$' }, 'b', '`x` must match ^a$'],
    [
      { type: 'string', format: 'cidr' },
      'b',
      '`x` must be an address or a network, such as 192.0.2.7, 10.0.0.0/8 or fd00::/8',
    ],
    [
      { type: 'number', 'x-usd': true },
      0.0000000001,
      '`x` must have no more than 9 digits behind the point, since money is counted in nano-dollars',
    ],
    [{ type: ['number', 'object'], minimum: 0, 'x-usd': true }, -0.1, '`x` must be 0 or more'],
    [{ type: 'array', items: { type: 'boolean' } }, [true, 'no'], '`x[1]` must be true or false'],
  ])('says of %j and %j: %s', (schema, value, message) => {
    expect(messages(schema, value)).toEqual([message]);
  });

  it('finds everything at once, with the kind and the place of each', () => {
    const validate = compileConfigValidator({
      type: 'object',
      required: ['id'],
      additionalProperties: false,
      properties: { id: {}, names: { type: 'object', propertyNames: { pattern: '^[a-z]+$' } } },
    });
    const problems = validate({ oen: 1, names: { 'A/b': 1 } }, { at: '/list/0', isReferenced: () => false }).problems;
    expect(problems.map(({ kind, pointer }) => [kind, pointer])).toEqual([
      ['missing', '/list/0'],
      ['key', '/list/0/oen'],
      ['key', '/list/0/names/A~1b'],
    ]);
  });

  it('refuses a schema that is not valid', () => {
    expect(() => compileConfigValidator({ type: 'nonsense' })).toThrow();
  });

  it('knows no numbers that are none', () => {
    expect(messages({ type: 'number' }, Number.NaN)).toEqual(['`x` must be a number']);
  });
});

describe('the validator for requests', () => {
  const validate = compileRequestValidator(schemaFile('api/images-request'));

  it.each([
    [{}],
    [{ prompt: 'a cat', n: 10, size: '1024x1024', output_compression: 0, partial_images: 3 }],
    [{ prompt: null, n: null, size: null, stream: null, user: null, response_format: null }],
    [{ size: 'auto', quality: 'anything', background: 'anything', output_format: 'anything', unknown: { a: 1 } }],
    [{ size: '16:9', seed: -1, image: ['https://example.com/a.png'], mask: { image_url: 'x' }, images: [] }],
  ])('accepts %j', (body) => {
    expect(validate(body)).toBeUndefined();
  });

  it.each([
    [{ n: 0 }, 'n', 'The parameter "n" must be 1 or more.'],
    [{ n: 1.5 }, 'n', 'The parameter "n" must be a whole number.'],
    [{ n: '2' }, 'n', 'The parameter "n" must be a whole number.'],
    [{ output_compression: 101 }, 'output_compression', 'The parameter "output_compression" must be 100 or less.'],
    [{ partial_images: 4 }, 'partial_images', 'The parameter "partial_images" must be 3 or less.'],
    [{ prompt: ['a'] }, 'prompt', 'The parameter "prompt" must be text.'],
    [{ fallbacks: ['a', ''] }, 'fallbacks[1]', 'The parameter "fallbacks[1]" must not be empty.'],
  ])('refuses %j by the name of the parameter', (body, param, message) => {
    expect(validate(body)).toEqual({ code: 'invalid_value', param, message });
  });

  it.each(['', '1024', 'x', '0x0', '1024X1024', '-1x5', '1024x1024 ', '1024x1024\n', 'AUTO', '99999999x1'])(
    'refuses the size %j',
    (size) => {
      expect(validate({ size })?.param).toBe('size');
    },
  );

  it('tells a missing parameter from a wrong one, and stops at the first', () => {
    const strict = compileRequestValidator({ required: ['prompt', 'model'], properties: {} });
    expect(strict({})).toEqual({
      code: 'missing_required_parameter',
      param: 'prompt',
      message: 'The parameter "prompt" is required.',
    });
  });

  it('changes nothing', () => {
    const body = Object.freeze({ prompt: 'a cat' });
    expect(validate(body)).toBeUndefined();
  });
});
