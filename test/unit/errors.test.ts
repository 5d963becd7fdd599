import { describe, expect, it } from 'vitest';
import { errorBody, errorTable, GatewayError, toGatewayError, type ErrorCode } from '../../src/errors.ts';

const rows = Object.entries(errorTable);

describe('the table of errors', () => {
  it('has a status, a type and a line for the reader for every code', () => {
    for (const [code, row] of rows) {
      expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/);
      expect([row.status >= 400 && row.status < 600, row.about.endsWith('.')], code).toEqual([true, true]);
    }
  });

  it.each([
    // 504 for `only-if-cached`: https://www.rfc-editor.org/rfc/rfc9111#section-5.2.1.7
    ['invalid_request_error', [400, 404, 405, 408, 413, 415, 422, 431, 499, 504]],
    ['authentication_error', [401]],
    ['permission_error', [403]],
    ['rate_limit_error', [429]],
    ['insufficient_quota', [429]],
    ['server_error', [500, 501]],
    ['upstream_error', [502, 503, 504]],
  ])('uses the type %s for its own statuses only', (type, statuses) => {
    for (const [code, row] of rows) if (row.type === type) expect(statuses, code).toContain(row.status);
  });

  it('tells no client to send again what another try cannot cure, or what may have been paid for', () => {
    const retried = rows.filter(([, row]) => row.retry).map(([code]) => code);
    expect(retried.toSorted()).toEqual([
      'guard_unavailable',
      'no_healthy_target',
      'overloaded',
      'rate_limit_exceeded',
      'request_timeout',
      'upstream_error',
      'upstream_unreachable',
    ]);
  });

  it('lets another candidate try only what is the provider’s matter', () => {
    const curable = rows.filter(([, row]) => row.curable).map(([code]) => code);
    expect(curable.toSorted()).toEqual([
      'no_healthy_target',
      'operation_not_supported',
      'rate_limit_exceeded',
      'upstream_auth_failed',
      'upstream_error',
      'upstream_invalid_response',
      'upstream_timeout',
      'upstream_unreachable',
    ]);
  });
});

describe('a gateway error', () => {
  it.each(rows.map(([code]) => code as ErrorCode))('of the code %s is as the table says', (code) => {
    const error = new GatewayError(code, 'Sorry.');
    const { status, retry, curable } = errorTable[code];
    expect([error.status, error.retry, error.curable, error.publicCode]).toEqual([status, retry, curable, code]);
    expect([error.param, error.retryAfterMs, error.headers, error.cause]).toEqual([
      undefined,
      undefined,
      {},
      undefined,
    ]);
    expect([error.name, error.message, error instanceof Error]).toEqual(['GatewayError', 'Sorry.', true]);
  });

  it('may know better than the table', () => {
    const cause = new Error('why');
    const error = new GatewayError('upstream_error', 'Sorry.', {
      status: 409,
      retry: false,
      param: 'n',
      publicCode: 'conflict',
      retryAfterMs: 5,
      headers: { allow: 'GET' },
      cause,
    });
    expect(error).toMatchObject({ status: 409, retry: false, param: 'n', retryAfterMs: 5, headers: { allow: 'GET' } });
    expect([error.publicCode, error.code, error.curable, error.cause]).toEqual([
      'conflict',
      'upstream_error',
      true,
      cause,
    ]);
  });
});

describe('whatever is thrown', () => {
  it('is itself when it has a public face', () => {
    const error = new GatewayError('invalid_value', 'No.');
    expect(toGatewayError(error)).toBe(error);
  });

  it.each([new TypeError('x is undefined'), 'a text', undefined, null, { code: 'invalid_value' }])(
    'is otherwise a bug of ours, of which the caller learns nothing: %s',
    (thrown) => {
      const error = toGatewayError(thrown);
      expect(error).toMatchObject({ code: 'internal_error', status: 500, retry: false });
      expect(error.message).toBe('The gateway failed to handle this request.');
      expect(error.cause).toBe(thrown);
    },
  );
});

describe('the body of an error', () => {
  it('is OpenAI’s error object, with nulls where nothing is known', () => {
    expect(JSON.parse(errorBody(new GatewayError('route_not_found', 'There is no "route".')))).toEqual({
      error: { message: 'There is no "route".', type: 'invalid_request_error', param: null, code: 'route_not_found' },
    });
  });

  it('has the provider’s own code where that says more', () => {
    const error = new GatewayError('invalid_value', 'Bad size.', { param: 'size', publicCode: 'invalid_size' });
    expect(JSON.parse(errorBody(error))).toEqual({
      error: { message: 'Bad size.', type: 'invalid_request_error', param: 'size', code: 'invalid_size' },
    });
  });

  it('tells nothing of the cause', () => {
    const error = new GatewayError('upstream_error', 'The provider failed.', { cause: new Error('10.0.0.7 refused') });
    expect(errorBody(error)).not.toContain('10.0.0.7');
  });
});
