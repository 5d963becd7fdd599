import { hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { describe, expect, it } from 'vitest';
import { addressRanges } from '../../../src/ip-address.ts';
import { anonymous, type Caller, type ConsumerKey } from '../../../src/pipeline/settings.ts';
import { authenticate } from '../../../src/transforms/authenticate.ts';
import { makeCaller, makeKey } from '../../fixtures/budget.ts';
import { filledBy, makeExchange, makeStageEnv } from '../../fixtures/exchange.ts';

const key = 'key-of-the-web-app';
const known = new Map([[hash('sha256', key), makeKey()]]);

async function callerOf(headers: IncomingHttpHeaders, consumersByKeyHash = known): Promise<Caller> {
  const handle = authenticate.create({}, makeStageEnv({ catalogue: { consumersByKeyHash } }));
  return (await filledBy(handle(makeExchange({}, { request: { headers } })))).caller;
}

/** A call at some moment from some address, with a key that may be restricted. */
async function useKey(restrictions: Partial<ConsumerKey>, nowMs = 0, remoteAddress = '192.0.2.1'): Promise<Caller> {
  const env = makeStageEnv({
    catalogue: { consumersByKeyHash: new Map([[hash('sha256', key), makeKey(restrictions)]]) },
    clock: { ...makeStageEnv().clock, now: () => nowMs },
  });
  const request = { headers: { 'x-api-key': key }, remoteAddress };
  return (await filledBy(authenticate.create({}, env)(makeExchange({}, { request })))).caller;
}

describe('authenticate', () => {
  it.each<[string, IncomingHttpHeaders]>([
    ['a bearer token', { authorization: `Bearer ${key}` }],
    ['a bearer token in any case, with blanks', { authorization: `bearer   ${key}  ` }],
    ['x-api-key', { 'x-api-key': key }],
    ['api-key', { 'api-key': key }],
    ['x-api-key beside another kind of authorization', { authorization: 'Basic eDp5', 'x-api-key': key }],
  ])('knows a caller by %s', async (_, headers) => {
    expect(await callerOf(headers)).toEqual(makeCaller());
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
    expect(await callerOf({ authorization: 'Bearer whatever' }, new Map())).toEqual(anonymous);
    expect(await callerOf({}, new Map())).toEqual(anonymous);
  });

  it('refuses a key from the moment on at which it expires', async () => {
    expect((await useKey({ expiresAtMs: 1000 }, 999)).consumer?.id).toBe('web-app');
    await expect(useKey({ expiresAtMs: 1000 }, 1000)).rejects.toMatchObject({ code: 'invalid_api_key', status: 401 });
  });

  it('refuses a key that is switched off', async () => {
    await expect(useKey({ enabled: false })).rejects.toMatchObject({ code: 'invalid_api_key', status: 401 });
  });

  it('refuses a key from elsewhere', async () => {
    const addresses = addressRanges(['192.0.2.0/24', '2001:db8::/32']);
    expect((await useKey({ addresses })).consumer?.id).toBe('web-app');
    expect((await useKey({ addresses }, 0, '2001:db8::7')).consumer?.id).toBe('web-app');
    for (const address of ['198.51.100.1', '2001:db9::1', '', 'fe80::1%eth0']) {
      await expect(useKey({ addresses }, 0, address)).rejects.toMatchObject({ code: 'ip_not_allowed', status: 403 });
    }
  });

  it.each<[string, IncomingHttpHeaders, string | undefined, string | undefined]>([
    ['our own headers', { 'x-pinhole-user-id': 'u 17', 'x-pinhole-session-id': 's-1' }, 'u 17', 's-1'],
    ['OpenGateway’s', { 'x-opengateway-user-id': 'u-17', 'x-opengateway-session-id': 's-1' }, 'u-17', 's-1'],
    ['ours before theirs', { 'x-opengateway-user-id': 'theirs', 'x-pinhole-user-id': 'ours' }, 'ours', undefined],
    ['nothing that is empty', { 'x-pinhole-user-id': '', 'x-pinhole-session-id': ' ' }, undefined, undefined],
    [
      'nothing too long',
      { 'x-pinhole-user-id': 'x'.repeat(257), 'x-pinhole-session-id': 'y'.repeat(256) },
      undefined,
      'y'.repeat(256),
    ],
    ['nothing unprintable', { 'x-pinhole-user-id': 'a\tb', 'x-pinhole-session-id': 'ü' }, undefined, undefined],
    ['the sane one of two', { 'x-pinhole-user-id': 'a\u0000', 'x-opengateway-user-id': 'b' }, 'b', undefined],
  ])('takes down the end user and the session from %s [G04, G05]', async (_, headers, endUser, session) => {
    expect(await callerOf({ 'x-api-key': key, ...headers })).toEqual({ ...makeCaller(), endUser, session });
    expect(await callerOf(headers, new Map())).toEqual({ ...anonymous, endUser, session });
  });
});
