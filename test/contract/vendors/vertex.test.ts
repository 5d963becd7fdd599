import { generateKeyPairSync } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, it } from 'vitest';
import { bytesSource } from '../../../src/body/byte-source.ts';
import type { ImageParameters } from '../../../src/pipeline/call.ts';
import type { UpstreamReply, WireRequest } from '../../../src/pipeline/upstream.ts';
import type { Provider } from '../../../src/providers/provider.ts';
import { vertex } from '../../../src/providers/vertex.ts';
import { Secret } from '../../../src/secret.ts';
import { png } from '../../fixtures/pictures.ts';
import { makeTargetCall, uploaded } from '../../fixtures/providers/calls.ts';
import { providerConfig } from '../../fixtures/providers/config.ts';
import { vertexFixtures } from '../../fixtures/providers/vertex.ts';
import { checkAssertion, serviceAccount } from '../../fixtures/vendors/fake-vertex.ts';
import { providerContract } from '../provider-contract.ts';

const connection = { project: 'my-project', location: 'us-central1' };

providerContract({
  definition: vertex,
  settings: providerConfig(vertex, { connection }),
  fixtures: vertexFixtures,
  base: 'https://us-central1-aiplatform.googleapis.com/v1/projects/my-project/locations/us-central1',
});

const create = (written: object = {}): Provider =>
  vertex.create(providerConfig(vertex, { connection: { ...connection, ...written } }));

describe('vertex', () => {
  it.each([
    ['global', 'https://aiplatform.googleapis.com'],
    ['eu', 'https://aiplatform.eu.rep.googleapis.com'],
    ['europe-west4', 'https://europe-west4-aiplatform.googleapis.com'],
  ])('finds the host of the location %s', (location, origin) => {
    const provider = create({ location });
    expect(provider.origin).toBe(origin);
    expect(provider.encode(makeTargetCall({ model: 'imagegeneration@006' })).request.url).toBe(
      `${origin}/v1/projects/my-project/locations/${location}/publishers/google/models/imagegeneration@006:predict`,
    );
  });

  it.each([
    ['https://gateway.example.com', 'https://gateway.example.com/v1/projects/'],
    ['https://gateway.example.com/vertex/v1beta1/', 'https://gateway.example.com/vertex/v1beta1/projects/'],
  ])('completes the base %s', (base, start) => {
    const { url } = create({ base_url: base }).encode(makeTargetCall({ model: 'm' })).request;
    expect(url.startsWith(start)).toBe(true);
  });

  it('edits with Gemini models, and with the one Imagen model that does', () => {
    const provider = create();
    expect(provider.capabilities('gemini-3-pro-image', 'edition')?.mask).toBeUndefined();
    expect(provider.capabilities('imagen-3.0-capability-001', 'edition')?.mask).toBe('white');
    expect(provider.capabilities('imagen-3.0-capability-001', 'generation')).toBeUndefined();
    expect(provider.capabilities('imagen-4.0-generate-001', 'edition')).toBeUndefined();
  });

  const imagenCalls = [
    makeTargetCall({ model: 'imagen-4.0-generate-001' }),
    makeTargetCall({
      model: 'imagen-3.0-capability-001',
      operation: 'edition',
      images: [uploaded(png(), 'image/png')],
      mask: uploaded(png(), 'image/png'),
    }),
  ];
  it.each(imagenCalls)('does something with all that $model is said to take', (call) => {
    const provider = create();
    const table = provider.capabilities(call.model, call.operation);
    const plain = provider.encode(call);
    const samples: ImageParameters = {
      n: 2,
      size: '9:16',
      moderation: 'low',
      outputFormat: 'jpeg',
      outputCompression: 80,
      seed: 7,
    };
    const names = Object.keys(table?.parameters ?? {}) as (keyof ImageParameters)[];
    const idle = names.filter((name) =>
      isDeepStrictEqual(provider.encode({ ...call, parameters: { [name]: samples[name] } }), plain),
    );
    expect(idle).toEqual([]);
    for (const name of table?.further ?? []) {
      const { request } = provider.encode({ ...call, unknown: { [name]: 'a-telling-value' } });
      expect([name, JSON.stringify(request)]).toEqual([name, expect.stringContaining('a-telling-value')]);
    }
  });

  it.each([{ location: 'evil.example.com/#' }, { project: 'a/../b' }])('refuses %o', (written) => {
    expect(() => create(written)).toThrow();
  });
});

describe('the trade of a service account', () => {
  const now = 1_790_000_000;
  const trade = (account: object | string, provider = create()): Promise<WireRequest | undefined> => {
    const text = typeof account === 'string' ? account : JSON.stringify(account);
    if (provider.exchange === undefined) throw new Error('the provider trades nothing');
    return provider.exchange.request(new Secret(text), now);
  };

  it('asks Google for a token with a signed assertion', async () => {
    const request = await trade(serviceAccount);
    expect(request).toEqual({
      method: 'POST',
      url: 'https://oauth2.googleapis.com/token',
      headers: { accept: 'application/json' },
      body: {
        kind: 'form',
        fields: { grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: expect.any(String) as string },
      },
    });
    const assertion = request?.body.kind === 'form' ? (request.body.fields['assertion'] ?? '') : '';
    expect(() => checkAssertion(assertion, now)).not.toThrow();
    expect(() => checkAssertion(assertion, now + 7200)).toThrow();
    expect(JSON.parse(Buffer.from(assertion.split('.')[0] ?? '', 'base64url').toString())).toEqual({
      alg: 'RS256',
      typ: 'JWT',
      kid: serviceAccount.private_key_id,
    });
    const claims: unknown = JSON.parse(Buffer.from(assertion.split('.')[1] ?? '', 'base64url').toString());
    expect(claims).toMatchObject({ iat: now, exp: now + 3600 });
  });

  it('asks at `token_url` where there is one, for the same audience', async () => {
    const provider = create({ token_url: 'http://127.0.0.1:8080/token' });
    const request = await trade(`\n ${JSON.stringify(serviceAccount)}`, provider);
    expect(request?.url).toBe('http://127.0.0.1:8080/token');
    const assertion = request?.body.kind === 'form' ? (request.body.fields['assertion'] ?? '') : '';
    expect(() => checkAssertion(assertion, now)).not.toThrow();
    expect(provider.reaches?.('http://127.0.0.1:8080')).toBe(true);
    expect(provider.reaches?.('https://oauth2.googleapis.com')).toBe(false);
  });

  it('reaches Google’s hosts of tokens and no others', () => {
    const provider = create();
    expect(provider.reaches?.('https://oauth2.googleapis.com')).toBe(true);
    expect(provider.reaches?.('https://us-central1-aiplatform.googleapis.com')).toBe(true);
    expect(provider.reaches?.('https://storage.googleapis.com')).toBe(false);
  });

  it('leaves an access token as it is', async () => {
    expect(await trade('ya29.token')).toBeUndefined();
  });

  const otherKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  });
  const shortKey = generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  });
  it.each([
    ['is cut off', JSON.stringify(serviceAccount).slice(0, -2)],
    ['names nobody', { ...serviceAccount, client_email: undefined }],
    ['has no key', { ...serviceAccount, private_key: null }],
    ['has a key that is none', { ...serviceAccount, private_key: 'secret words' }],
    ['has a key of another kind', { ...serviceAccount, private_key: otherKey }],
    ['has a key that is too short', { ...serviceAccount, private_key: shortKey }],
    ['names a stranger’s host', { ...serviceAccount, token_uri: 'https://evil.example.com/token' }],
    ['names no host', { ...serviceAccount, token_uri: 'token' }],
  ])('refuses an account that %s, without telling the key', async (_, account) => {
    const error: unknown = await trade(account).catch((reason: unknown) => reason);
    expect(error).toMatchObject({
      code: 'upstream_auth_failed',
      message: 'The service account of the gateway cannot be used.',
    });
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : '';
    expect(cause).toMatch(/^The service account in `connection.token`: /);
    expect(cause).not.toMatch(/secret|BEGIN|evil/);
  });

  const answered = (body: object): UpstreamReply => ({
    status: 200,
    headers: {},
    body: bytesSource(Buffer.from(JSON.stringify(body))),
  });

  it('reads the token and how long it lives', async () => {
    const read = await create().exchange?.read(
      answered({ access_token: 'ya29.x', expires_in: 3599, token_type: 'Bearer' }),
    );
    expect(read?.token.reveal()).toBe('ya29.x');
    expect(read?.lifetimeMs).toBe(3_599_000);
  });

  it.each([{}, { access_token: 'x' }, { access_token: null, expires_in: 1 }, { id_token: 'x', expires_in: 1 }])(
    'finds no token in %o',
    async (body) => {
      await expect(create().exchange?.read(answered(body))).rejects.toMatchObject({
        code: 'upstream_invalid_response',
      });
    },
  );
});
