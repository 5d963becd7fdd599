import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { describe, expect, it } from 'vitest';
import { anonymous, type Caller, type Consumer } from '../../../src/pipeline/settings.ts';
import { authenticate } from '../../../src/transforms/authenticate.ts';
import { filledBy, makeExchange, makeStageEnv } from '../../fixtures/exchange.ts';

const key = 'key-of-the-web-app';
const consumer: Consumer = { id: 'web-app', user: 'alice', team: 'growth', models: [], budgets: [] };
const known = new Map([[hash('sha256', key), consumer]]);

async function callerOf(headers: IncomingHttpHeaders, consumersByKeyHash = known): Promise<Caller> {
  const handle = authenticate.create({}, makeStageEnv({ catalogue: { consumersByKeyHash } }));
  return (await filledBy(handle(makeExchange({}, { request: { headers } })))).caller;
}

describe('authenticate', () => {
  it.each<[string, IncomingHttpHeaders]>([
    ['a bearer token', { authorization: `Bearer ${key}` }],
    ['a bearer token in any case, with blanks', { authorization: `bearer   ${key}  ` }],
    ['x-api-key', { 'x-api-key': key }],
    ['api-key', { 'api-key': key }],
    ['x-api-key beside another kind of authorization', { authorization: 'Basic eDp5', 'x-api-key': key }],
  ])('knows a caller by %s', async (_, headers) => {
    expect(await callerOf(headers)).toEqual({ consumer });
  });

  it.each<[string, IncomingHttpHeaders]>([
    ['no key', {}],
    ['an empty key', { 'x-api-key': '' }],
    ['a bearer without a token', { authorization: 'Bearer ' }],
    ['another kind of authorization', { authorization: `Basic ${key}` }],
    ['two tokens', { authorization: `Bearer ${key} ${key}` }],
    ['a key twice', { 'api-key': [key, key] }],
  ])('asks for a key where there is %s', async (_, headers) => {
    await expect(callerOf(headers)).rejects.toMatchObject({
      code: 'missing_api_key',
      status: 401,
      headers: { 'www-authenticate': 'Bearer realm="pinhole"' },
    });
  });

  it.each([`${key}x`, key.slice(1), key.toUpperCase(), hash('sha256', key), 'undefined', '__proto__'])(
    'refuses the key %j',
    async (wrong) => {
      await expect(callerOf({ authorization: `Bearer ${wrong}` })).rejects.toMatchObject({
        code: 'invalid_api_key',
        status: 401,
        headers: { 'www-authenticate': 'Bearer realm="pinhole"' },
      });
    },
  );

  it('goes by the bearer token where several keys are sent', async () => {
    const headers = { authorization: 'Bearer another', 'x-api-key': key };
    await expect(callerOf(headers)).rejects.toMatchObject({ code: 'invalid_api_key' });
  });

  it('does not repeat the key that it refuses', async () => {
    const error: unknown = await callerOf({ 'x-api-key': 'sk-secret' }).catch((thrown: unknown) => thrown);
    expect(JSON.stringify([error, String(error)])).not.toContain('sk-secret');
  });

  it('lets everybody in, whatever the key, where the file knows no consumers', async () => {
    expect(await callerOf({ authorization: 'Bearer whatever' }, new Map())).toBe(anonymous);
    expect(await callerOf({}, new Map())).toBe(anonymous);
  });
});
