import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createServiceConnector } from '../../../src/http/service-client.ts';
import { ServiceFailure, type Service } from '../../../src/pipeline/stage.ts';
import { PictureText } from '../../../src/pipeline/upstream.ts';
import { Secret } from '../../../src/secret.ts';
import { startFakeJudge, type FakeJudge } from '../../fixtures/fake-judge.ts';

let judge: FakeJudge;
let service: Service;
const live = new AbortController().signal;

beforeAll(async () => {
  judge = await startFakeJudge();
  service = createServiceConnector().connect(judge.origin);
});
afterAll(async () => {
  await service.close();
  await judge.close();
});

const question = (body: Parameters<Service['ask']>[0]['body']) => ({
  url: `${judge.origin}/webhook`,
  headers: {},
  body,
});

describe('a service', () => {
  it('is asked in JSON, and its document comes back', async () => {
    expect(await service.ask(question({ prompt: 'refused' }), live)).toMatchObject({ allow: false });
    expect(judge.last('/webhook').headers).toMatchObject({
      'content-type': 'application/json',
      accept: 'application/json',
    });
  });

  it.each([
    [
      'a key in base64',
      `whsec_${Buffer.from('0123456789abcdef01234567').toString('base64')}`,
      '0123456789abcdef01234567',
    ],
    ['a text', 'any text will do', 'any text will do'],
  ])('gets a signature over the bytes that it gets, made with %s', async (_, secret, key) => {
    const bytes = Buffer.alloc(100_000, 7);
    const body = { prompt: 'ünicode', image: new PictureText({ kind: 'bytes', bytes }) };
    await service.ask(
      { ...question(body), signature: { secret: new Secret(secret), id: 'req_1:ours', timestamp: 1_800_000_000 } },
      live,
    );
    const { headers, body: received } = judge.last('/webhook');
    const wanted = createHmac('sha256', key).update('req_1:ours.1800000000.').update(received).digest('base64');
    expect(headers['webhook-signature']).toBe(`v1,${wanted}`);
    const inOne = createHmac('sha256', key).update('1800000000.').update(received).digest('hex');
    expect(headers['x-pinhole-signature']).toBe(`t=1800000000,v1=${inOne}`);
    expect(received.byteLength).toBeGreaterThan(bytes.byteLength);
  });

  it('that cannot be reached is a failure', async () => {
    const nobody = createServiceConnector().connect('http://127.0.0.1:1');
    const asked = nobody.ask({ url: 'http://127.0.0.1:1/webhook', headers: {}, body: {} }, live);
    await expect(asked).rejects.toBeInstanceOf(ServiceFailure);
    await nobody.close();
  });

  it('is asked nothing once the signal is aborted, and the reason is told', async () => {
    const reason = new Error('decided');
    await expect(service.ask(question({}), AbortSignal.abort(reason))).rejects.toBe(reason);
    const never = Promise.withResolvers<void>();
    judge.next({ hold: never.promise });
    const controller = new AbortController();
    const asked = service.ask(question({}), controller.signal);
    await judge.until(() => judge.requests.at(-1)?.fate === 'open' && judge.requests.length > 0);
    controller.abort(reason);
    await expect(asked).rejects.toBe(reason);
    never.resolve();
  });

  it('is told something, once, and need not say anything to it', async () => {
    const before = judge.requests.length;
    judge.next({ status: 204, body: '' });
    await service.tell(question({ news: 1 }), live);
    judge.next({ body: 'ok' });
    await service.tell(question({ news: 2 }), live);
    expect(judge.last('/webhook').document).toEqual({ news: 2 });
    judge.next({ status: 500 });
    await expect(service.tell(question({ news: 3 }), live)).rejects.toThrow(/status 500/);
    judge.next({ cut: 'before_headers' });
    await expect(service.tell(question({ news: 4 }), live)).rejects.toBeInstanceOf(ServiceFailure);
    expect(judge.requests.length).toBe(before + 4);
  });

  it('is on its own origin only', async () => {
    await expect(service.ask({ url: 'https://elsewhere.test/', headers: {}, body: {} }, live)).rejects.toThrow(
      TypeError,
    );
  });
});
