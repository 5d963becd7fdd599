import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/body/byte-source.ts';
import type { ErrorCode, GatewayError } from '../../../src/errors.ts';
import {
  commonWords,
  duration,
  faultFrom,
  faultReader,
  retryDelayMs,
  type FaultWords,
} from '../../../src/providers/faults.ts';

function fault(status: number, words: Partial<FaultWords> = {}, headers: Record<string, string> = {}): GatewayError {
  return faultFrom(
    { status, headers, body: bytesSource(new Uint8Array()) },
    { message: undefined, code: undefined, param: undefined, refusal: false, ...words },
  );
}

const words = { message: 'Their words.', code: 'their_code', param: 'size' };

describe('a provider’s refusal', () => {
  it.each<[number, ErrorCode]>([
    [400, 'invalid_value'],
    [404, 'model_not_found'],
    [409, 'invalid_value'],
    [413, 'payload_too_large'],
    [415, 'unsupported_media_type'],
    [422, 'invalid_value'],
    [451, 'invalid_value'],
  ])('with %i is about the request: it keeps its status and words', (status, code) => {
    const error = fault(status, words);
    expect(error).toMatchObject({
      code,
      status,
      message: 'Their words.',
      publicCode: 'their_code',
      param: 'size',
      retry: false,
      curable: false,
    });
  });

  it.each([401, 402, 403, 407])('with %i is about our credential, and its words are for the log', (status) => {
    const error = fault(status, words);
    expect(error).toMatchObject({ code: 'upstream_auth_failed', status: 502, retry: false, curable: true });
    expect([error.message, error.publicCode, error.param].join()).not.toMatch(/their/i);
    expect(error.cause).toMatchObject({ message: 'Their words.' });
  });

  it.each([400, 403, 422, 451])('with %i that is one of the content keeps its words', (status) => {
    const error = fault(status, { ...words, refusal: true });
    expect(error).toMatchObject({
      code: 'content_policy_violation',
      publicCode: 'content_policy_violation',
      status: 400,
      message: 'Their words.',
      curable: false,
    });
  });

  it.each([405, 406, 411, 421, 426, 431, 499])('with %i is about the gateway’s own request', (status) => {
    const error = fault(status, words);
    expect(error).toMatchObject({ code: 'upstream_invalid_response', status: 502, param: undefined, curable: true });
    expect(error.message).toBe(`The provider answered with status ${String(status)}.`);
  });

  it('with 408 is a timeout', () => {
    expect(fault(408)).toMatchObject({ code: 'upstream_timeout', status: 504, retry: false, curable: true });
  });

  it('with 429 says how long to wait', () => {
    expect(fault(429, words, { 'retry-after': '12' })).toMatchObject({
      code: 'rate_limit_exceeded',
      status: 429,
      message: 'Their words.',
      publicCode: 'their_code',
      retryAfterMs: 12_000,
      retry: true,
      curable: true,
    });
  });

  it('with 429 is not worth sending again when there is no money left', () => {
    expect(fault(429, { code: 'insufficient_quota' })).toMatchObject({ retry: false, curable: true });
  });

  it.each([500, 502, 503, 504, 529, 599])(
    'with %i is a failure of the provider, whose words are for the log',
    (status) => {
      const error = fault(status, words, { 'retry-after': '3' });
      expect(error).toMatchObject({
        code: 'upstream_error',
        status: 502,
        retryAfterMs: 3000,
        retry: true,
        curable: true,
      });
      expect(error.message).toBe(`The provider failed with status ${status}.`);
      expect(error.cause).toMatchObject({ message: 'Their words.' });
    },
  );

  it.each([100, 301, 302, 304, 307])('with %i is no answer at all', (status) => {
    expect(fault(status, words)).toMatchObject({ code: 'upstream_invalid_response', status: 502 });
  });

  it.each([400, 429])('with %i and no words names the status', (status) => {
    expect(fault(status).message).toBe(`The provider answered with status ${status}.`);
  });
});

describe('a refusal that says what it is about', () => {
  it.each([400, 404, 422, 429, 500])('is about our credential, whatever the status (%i)', (status) => {
    expect(fault(status, { ...words, about: 'credential' })).toMatchObject({
      code: 'upstream_auth_failed',
      status: 502,
      retry: false,
    });
  });

  it.each([400, 402, 403])('is about a limit, whatever the status (%i)', (status) => {
    expect(fault(status, { ...words, about: 'limit', retryAfterMs: 7000 })).toMatchObject({
      code: 'rate_limit_exceeded',
      status: 429,
      message: 'Their words.',
      retryAfterMs: 7000,
    });
  });

  it.each([400, 401, 403, 429])('is a failure of the provider, whatever the status (%i)', (status) => {
    expect(fault(status, { ...words, about: 'failure' })).toMatchObject({
      code: 'upstream_error',
      status: 502,
      curable: true,
      message: `The provider failed with status ${status}.`,
    });
  });

  it('is one of the content before all else', () => {
    expect(fault(403, { ...words, about: 'failure', refusal: true }).code).toBe('content_policy_violation');
  });
});

describe('the words of an error document', () => {
  const nothing = { message: undefined, code: undefined, param: undefined };
  it.each<[unknown, object]>([
    [
      { error: { message: 'No.', code: 'bad', param: 'size', type: 'x' } },
      { message: 'No.', code: 'bad', param: 'size' },
    ],
    [
      { error: 'No.', code: 'bad' },
      { message: 'No.', code: 'bad' },
    ],
    [{ message: 'No.' }, { message: 'No.' }],
    [{ statusCode: 401, message: 'No.' }, { message: 'No.' }],
    [{ detail: 'No.' }, { message: 'No.' }],
    [{ error: { detail: 'No.' } }, { message: 'No.' }],
    [{ error: {}, detail: 'No.' }, { message: 'No.' }],
    [
      { detail: [{ loc: ['body', 'input', 0], msg: 'No.', type: 'missing' }, { msg: 'Neither.' }] },
      { message: 'No.', code: 'missing', param: 'input.0' },
    ],
    [{ detail: [{ loc: ['body'], msg: 'No.' }] }, { message: 'No.' }],
    [{ errors: ['No.', 'Neither.'] }, { message: 'No.' }],
    [{ title: 'No.', status: 400 }, { message: 'No.' }],
    [[{ error: { code: 400, message: 'No.', status: 'INVALID_ARGUMENT' } }], { message: 'No.' }],
    [{ error: { message: '', code: null, param: null } }, {}],
    [{ error: { message: ['No.'] } }, {}],
    [{ detail: ['No.'] }, {}],
    ['No.', {}],
    [['No.'], {}],
    [null, {}],
    [undefined, {}],
  ])('are found in %j', (document, expected) => {
    expect(commonWords(document)).toEqual({ ...nothing, ...expected });
  });

  it('are read from the answer, whatever it is', async () => {
    const read = faultReader((document) => ({ ...commonWords(document), refusal: document === undefined }));
    const of = (body: string): Promise<GatewayError> =>
      read({ status: 400, headers: {}, body: bytesSource(Buffer.from(body)) });
    expect(await of('{"detail":"No."}')).toMatchObject({ code: 'invalid_value', message: 'No.' });
    for (const body of ['', '<html>', `{"detail":"${'x'.repeat(70_000)}"}`]) {
      expect(await of(body)).toMatchObject({ code: 'content_policy_violation' });
    }
  });
});

const date = { date: 'Fri, 20 Nov 2026 12:00:00 GMT' };

describe('the time to wait', () => {
  it.each<[string, Record<string, string>, string | undefined, number | undefined]>([
    ['milliseconds', { 'retry-after-ms': '467' }, undefined, 467],
    ['parts of milliseconds', { 'retry-after-ms': '467.2' }, undefined, 468],
    ['seconds', { 'retry-after': '12' }, undefined, 12_000],
    ['parts of seconds', { 'retry-after': '0.5' }, undefined, 500],
    ['seconds with blanks', { 'retry-after': ' 12 ' }, undefined, 12_000],
    ['nothing to wait for', { 'retry-after': '0' }, undefined, 0],
    ['a date', { ...date, 'retry-after': 'Fri, 20 Nov 2026 12:01:30 GMT' }, undefined, 90_000],
    ['a date that is over', { ...date, 'retry-after': 'Fri, 20 Nov 2026 11:00:00 GMT' }, undefined, 0],
    [
      'a date without another to compare it with',
      { 'retry-after': 'Fri, 20 Nov 2026 12:01:30 GMT' },
      undefined,
      undefined,
    ],
    ['a duration', { 'x-ratelimit-reset-requests': '6m12s' }, undefined, 372_000],
    ['a short duration', { 'x-ratelimit-reset-requests': '20ms' }, undefined, 20],
    ['a long duration', { 'x-ratelimit-reset-requests': '1h0m0.5s' }, undefined, 3_600_500],
    ['a moment', { ...date, 'x-ratelimit-reset-requests': '1795176030' }, undefined, 30_000],
    ['a moment that is over', { ...date, 'x-ratelimit-reset-requests': '1795175999' }, undefined, 0],
    [
      'a moment without a date to compare it with',
      { 'x-ratelimit-reset-requests': '1795176030' },
      undefined,
      undefined,
    ],
    ['a moment that is none', { ...date, 'x-ratelimit-reset-requests': '30' }, undefined, undefined],
    ['words', {}, 'Rate limit reached. Please try again in 12s.', 12_000],
    ['words of milliseconds', {}, 'Please try again in 467ms.', 467],
    ['older words', {}, 'please slow down and try again after 51.84 seconds.', 51_840],
    ['words of one second', {}, 'Please retry after 1 second', 1000],
    ['rough words', {}, 'The limit resets in ~30s.', 30_000],
    ['Azure’s words', {}, 'Rate limit is exceeded. Try again in 20 seconds.', 20_000],
    ['words of something else', {}, 'Sent in 3 steps.', undefined],
    ['other words', {}, 'Limit 5, Used 5, Requested 1. Try in a minute.', undefined],
    ['nothing', {}, undefined, undefined],
    ['nonsense', { 'retry-after': 'soon', 'retry-after-ms': '-5', 'x-ratelimit-reset-requests': '5x' }, '', undefined],
  ])('is read from %s', (_, headers, message, expected) => {
    expect(retryDelayMs(headers, message)).toBe(expected);
  });

  it('is what the body says, before all headers', () => {
    expect(fault(429, { retryAfterMs: 5000 }, { 'retry-after-ms': '1' }).retryAfterMs).toBe(5000);
  });

  it.each([
    ['12s', 12_000],
    ['6m0s', 360_000],
    ['467ms', 467],
    ['34.5s', 34_500],
    ['1h', 3_600_000],
    ['', undefined],
    ['12', undefined],
    ['s', undefined],
    [' 1s', undefined],
    [undefined, undefined],
  ])('is a duration: %s', (text, expected) => {
    expect(duration(text)).toBe(expected);
  });

  it('is taken from the most exact of several', () => {
    const headers = { 'retry-after-ms': '1', 'retry-after': '2', 'x-ratelimit-reset-requests': '3s' };
    expect(retryDelayMs(headers, 'try again in 4s')).toBe(1);
    expect(retryDelayMs({ ...headers, 'retry-after-ms': 'x' }, 'try again in 4s')).toBe(2000);
    expect(retryDelayMs({ 'x-ratelimit-reset-requests': '3s' }, 'try again in 4s')).toBe(3000);
  });

  it('is a number of milliseconds or nothing, whatever is sent', () => {
    const amount = fc.oneof(
      fc.string(),
      fc.double().map(String),
      fc.nat().map((digits) => String(digits).repeat(40)),
    );
    const unit = fc.constantFrom('', 's', 'ms', 'm', 'h', ' seconds');
    const text = fc.tuple(amount, unit).map((parts) => parts.join(''));
    const name = fc.constantFrom('retry-after-ms', 'retry-after', 'x-ratelimit-reset-requests', 'date');
    fc.assert(
      fc.property(fc.dictionary(name, text), text, (headers, wait) => {
        const delayMs = retryDelayMs(headers, `try again in ${wait}`);
        if (delayMs !== undefined) expect(Number.isSafeInteger(delayMs) && delayMs >= 0).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });
});
