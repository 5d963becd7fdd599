import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import { gatewayConfig, openAiEntity, openAiRoutes } from '../fixtures/gateway-config.ts';
import { startGateway, type Gateway } from '../fixtures/gateway.ts';
import { startFakeOpenAi, type FakeOpenAi } from '../fixtures/fake-openai.ts';
import { openAiClient } from '../fixtures/openai-client.ts';
import { randomPng, sha256 } from '../fixtures/pictures.ts';
import { s3Keys, startS3, type S3Server } from '../fixtures/s3.ts';
import { jsonOf, postJson } from '../fixtures/setting.ts';

let s3: S3Server;
let fake: FakeOpenAi;
const picture = randomPng(200_000);

beforeAll(async () => {
  [s3, fake] = await Promise.all([startS3(), startFakeOpenAi()]);
  fake.draw(picture);
});
afterAll(() => Promise.all([s3.close(), fake.close()]));

/** A gateway that keeps its pictures in the bucket. */
function start(prefix: string, route: Readonly<Record<string, unknown>> = {}): Promise<Gateway> {
  return startGateway({ config: config(prefix, route), secrets: [s3Keys.secret_access_key] });
}

function config(prefix: string, route: Readonly<Record<string, unknown>> = {}, place = s3.place(prefix)): object {
  return gatewayConfig([openAiEntity(fake)], {
    images: place,
    images_credentials: s3Keys,
    routes: openAiRoutes(['openai-main'], route),
  });
}

/** The path of a new hosted picture. */
async function hosted(gateway: Gateway): Promise<string> {
  const { data } = await openAiClient(gateway).images.generate({ prompt: 'a lighthouse', response_format: 'url' });
  return new URL(data?.[0]?.url ?? '').pathname;
}

async function bytesAt(url: string, headers: Record<string, string> = {}): Promise<Buffer> {
  const answer = await fetch(url, { headers });
  expect([200, 206]).toContain(answer.status);
  expect(answer.headers.get('content-type')).toBe('image/png');
  return Buffer.from(await answer.arrayBuffer());
}

describe('pictures in S3 [X13, X19]', () => {
  it('are served by every gateway that shares the bucket, and by one that starts later', async () => {
    await using second = await start('shared');
    let path: string;
    {
      await using first = await start('shared');
      path = await hosted(first);
      for (const { url } of [first, second]) expect(sha256(await bytesAt(url + path))).toBe(sha256(picture));
    }
    await using third = await start('shared');
    for (const { url } of [second, third]) expect(sha256(await bytesAt(url + path))).toBe(sha256(picture));
    const part = await bytesAt(third.url + path, { range: 'bytes=100-199' });
    expect(part.equals(picture.subarray(100, 200))).toBe(true);
    const head = await fetch(third.url + path, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe(String(picture.byteLength));
    expect((await fetch(third.url + path, { headers: { range: 'bytes=999999-' } })).status).toBe(416);
  });

  it('are gone when they expire, and swept by any gateway that starts', async () => {
    await using gateway = await start('expiring', { images_expire: '3s' });
    const path = await hosted(gateway);
    expect((await fetch(gateway.url + path)).status).toBe(200);
    const key = async () => (await s3.keys()).find((name) => name.includes(path.split('/').at(-1) ?? ''));
    expect(await key()).toMatch(/^expiring\/expiring\//);
    await eventually(async () => (await fetch(gateway.url + path)).status === 404);
    expect(await jsonOf(await fetch(gateway.url + path))).toMatchObject({ error: { code: 'file_not_found' } });
    await using other = await start('expiring');
    await eventually(async () => (await key()) === undefined);
    expect((await fetch(other.url + path)).status).toBe(404);
  });

  it('are listed and deleted over the admin listener', async () => {
    await using gateway = await start('admin');
    const path = await hosted(gateway);
    const name = path.split('/').at(-1) ?? '';
    const images = `${gateway.adminUrl}/api/images`;
    expect(await jsonOf(await fetch(images))).toMatchObject({
      images: [{ name, media_type: 'image/png', bytes: picture.byteLength, expires_at: null }],
      next: null,
    });
    expect((await fetch(`${images}/${name}`, { method: 'DELETE' })).status).toBe(204);
    expect((await fetch(gateway.url + path)).status).toBe(404);
    expect(await jsonOf(await fetch(images))).toEqual({ images: [], next: null });
  });

  it('cannot be kept in a bucket that is not there: the gateway starts, says so, and refuses what it cannot keep', async () => {
    const nowhere = s3.place().replace('//pictures/', '//nowhere/');
    await using gateway = await startGateway({ config: config('', {}, nowhere) });
    // The first look at the bucket is the sweeper's.
    const line = await gateway.output.line(({ message }) => message === 'the image bucket fails', 10_000);
    expect(line).toMatchObject({ level: 'warn', bucket: 'nowhere' });
    const call = { prompt: 'a lighthouse', response_format: 'url' };
    const refused = await postJson(`${gateway.url}/v1/images/generations`, call);
    // The picture was made already: asking again would pay for it twice.
    expect([refused.status, refused.headers.get('x-should-retry')]).toEqual([503, 'false']);
    const body = await refused.text();
    expect(JSON.parse(body)).toMatchObject({ error: { code: 'overloaded', type: 'upstream_error' } });
    expect(body).not.toContain('nowhere');
    const unharmed = await postJson(`${gateway.url}/v1/images/generations`, { prompt: 'a lighthouse' });
    expect(unharmed.status).toBe(200);
  });

  it('move to another place with a reload, and keys are rotated by one', async () => {
    await using gateway = await start('before');
    const before = await hosted(gateway);
    await gateway.apply(config('after'));
    const after = await hosted(gateway);
    expect([(await fetch(gateway.url + before)).status, (await fetch(gateway.url + after)).status]).toEqual([404, 200]);
    await gateway.apply({
      ...config('before'),
      images_credentials: { ...s3Keys, secret_access_key: 'not-the-secret' },
    });
    expect((await fetch(gateway.url + before)).status).toBe(503);
    await gateway.apply(config('before'));
    expect((await fetch(gateway.url + before)).status).toBe(200);
  });

  it('show no key anywhere', async () => {
    await using gateway = await start('secrets');
    await gateway.apply({ ...config('secrets'), images_credentials: { ...s3Keys, session_token: 'session-token-77' } });
    const status = JSON.stringify(await gateway.status());
    for (const secret of [...Object.values(s3Keys), 'session-token-77']) expect(status).not.toContain(secret);
    expect(status).toContain('images_credentials');
  });
});
