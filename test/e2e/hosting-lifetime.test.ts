import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import { gatewayConfig, openAiRoutes, sandboxEntity } from '../fixtures/gateway-config.ts';
import { startGateway, startGatewayIn, type Gateway } from '../fixtures/gateway.ts';
import { openAiClient } from '../fixtures/openai-client.ts';
import { randomPng } from '../fixtures/pictures.ts';
import { formOf, jsonOf, postJson, startSetting } from '../fixtures/setting.ts';
import { lumaSuite, startFakeLuma } from '../fixtures/vendors/fake-luma.ts';

const config = (more: Readonly<Record<string, unknown>> = {}, route: Readonly<Record<string, unknown>> = {}) =>
  gatewayConfig([sandboxEntity()], { routes: openAiRoutes(['sandbox'], route), ...more });

/** The link to a new hosted picture. */
async function hosted(gateway: Pick<Gateway, 'url'>): Promise<URL> {
  const { data } = await openAiClient(gateway).images.generate({ prompt: 'a lighthouse', response_format: 'url' });
  return new URL(data?.[0]?.url ?? '');
}

const statusOf = async (url: string | URL, init?: RequestInit): Promise<number> => {
  const answer = await fetch(url, init);
  await answer.body?.cancel();
  return answer.status;
};

/** All files in the folder of hosted pictures. */
async function kept({ dir }: Pick<Gateway, 'dir'>, folder = 'images'): Promise<readonly string[]> {
  try {
    const entries = await readdir(join(dir, folder), { recursive: true, withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

describe('a hosted picture', () => {
  it('survives a restart, and the end of a process that was killed', async () => {
    const gateway = await startGateway({ config: config() });
    const { pathname } = await hosted(gateway);
    await gateway.kill();
    await using again = await startGatewayIn(gateway.dir, { config: config() });
    expect(await statusOf(again.url + pathname)).toBe(200);
  });

  it('is a 404 from the moment that it expires, and swept away at the latest after a restart', async () => {
    const gateway = await startGateway({ config: config({}, { images_expire: '3s' }) });
    const url = await hosted(gateway);
    expect(await statusOf(url)).toBe(200);
    await eventually(async () => (await statusOf(url)) === 404);
    expect(await jsonOf(await fetch(url))).toMatchObject({ error: { code: 'file_not_found' } });
    expect(await statusOf(url, { method: 'HEAD' })).toBe(404);
    await gateway.kill();
    await using again = await startGatewayIn(gateway.dir, { config: config() });
    await eventually(async () => (await kept(again)).length === 0);
    await again.output.line(({ message, images }) => message === 'expired images were deleted' && images === 1, 5_000);
  });

  it('says how long it may be kept', async () => {
    await using gateway = await startGateway({ config: config() });
    const lasting = await fetch(await hosted(gateway));
    expect(lasting.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
    await gateway.apply(config({}, { images_expire: '1h' }));
    const expiring = await fetch(await hosted(gateway));
    expect(expiring.headers.get('cache-control')).toMatch(/^public, max-age=3(600|59\d)$/);
  });

  it('stays where it is when the place changes, and is there again when it changes back', async () => {
    await using gateway = await startGateway({ config: config() });
    const before = await hosted(gateway);
    await gateway.apply(config({ images: 'file:./elsewhere' }));
    expect(await statusOf(before)).toBe(404);
    await hosted(gateway);
    expect(await kept(gateway, 'elsewhere')).toHaveLength(1);
    await gateway.apply(config());
    expect(await statusOf(before)).toBe(200);
  });

  it('that cannot be kept was paid for, so nobody is told to try again', async () => {
    const files = { blocked: 'a file where the folder should be' };
    await using gateway = await startGateway({ config: config({ images: 'file:./blocked' }), files });
    const call = { prompt: 'a lighthouse', response_format: 'url' };
    const refused = await postJson(`${gateway.url}/v1/images/generations`, call);
    expect([refused.status, refused.headers.get('x-should-retry')]).toEqual([503, 'false']);
    expect(await jsonOf(refused)).toMatchObject({ error: { code: 'overloaded' } });
  });
});

describe('the names of hosted pictures', () => {
  let gateway: Gateway;

  beforeAll(async () => {
    gateway = await startGateway({ config: config() });
  });
  afterAll(() => gateway[Symbol.asyncDispose]());

  it.each([
    '..%2f..%2fgateway.yaml',
    '%2e%2e%2fgateway.yaml',
    '..%5c..%5cgateway.yaml',
    '..%252f..%252fgateway.yaml',
    '%c0%ae%c0%ae%c0%afgateway.yaml',
    '../gateway.yaml',
    './../../../gateway.yaml',
    '%00',
    'gateway.yaml',
    'incoming',
    `${'A'.repeat(32)}.png%00`,
    `${'A'.repeat(32)}.png%0d%0aset-cookie:%20a=b`,
    `${'A'.repeat(32)}.png/`,
    `AA%2f${'A'.repeat(32)}.png`,
    'x'.repeat(300),
  ])('do not lead elsewhere: %s', async (name) => {
    const { status, body } = await raw(`${gateway.url}/v1/images/files/`, name);
    expect([status, JSON.parse(body)]).toMatchObject([404, { error: { type: 'invalid_request_error' } }]);
  });

  it('are good as a whole only', async () => {
    const { pathname } = await hosted(gateway);
    for (const changed of [pathname.slice(0, -1), pathname.replace('.png', ''), pathname.toUpperCase()]) {
      expect(await statusOf(gateway.url + changed)).toBe(404);
    }
  });
});

describe('signed links', () => {
  const links = (...secret: readonly string[]) => config({ image_links: { secret, expires: '1h' } });
  const [old, current] = ['the-old-secret-of-links', 'the-new-secret-of-links'];

  it('work as they are, and not in part', async () => {
    await using gateway = await startGateway({ config: links(old), secrets: [old] });
    const url = await hosted(gateway);
    expect([...url.searchParams.keys()]).toEqual(['expires', 'signature']);
    expect(Number(url.searchParams.get('expires')) - Date.now() / 1000).toBeCloseTo(3_600, -2);
    expect([await statusOf(url), await statusOf(url, { method: 'HEAD' })]).toEqual([200, 200]);
    const maxAge = /^public, max-age=(\d+)$/.exec((await fetch(url)).headers.get('cache-control') ?? '')?.[1];
    expect(Number(maxAge)).toBeLessThanOrEqual(3_600);
    for (const change of ['expires', 'signature']) {
      const less = new URL(url);
      less.searchParams.delete(change);
      const other = new URL(url);
      other.searchParams.set(change, `${other.searchParams.get(change) ?? ''}1`);
      for (const bad of [less, other]) {
        expect(await statusOf(bad)).toBe(404);
        expect(await (await fetch(bad)).text()).toBe(
          await (await fetch(`${bad.origin}/v1/images/files/no.png`)).text(),
        );
      }
    }
  });

  it('stop working by themselves, while the picture is still there', async () => {
    const short = config({ image_links: { secret: old, expires: '3s' } });
    await using gateway = await startGateway({ config: short, secrets: [old] });
    const url = await hosted(gateway);
    expect(await statusOf(url)).toBe(200);
    await eventually(async () => (await statusOf(url)) === 404);
    expect(await kept(gateway)).toHaveLength(1);
    await gateway.apply(config());
    expect(await statusOf(url)).toBe(200);
  });

  it('are signed with the first secret, and good with all: so a secret is rotated without a break', async () => {
    await using gateway = await startGateway({ config: links(old), secrets: [old, current] });
    const before = await hosted(gateway);
    await gateway.apply(links(current, old));
    const after = await hosted(gateway);
    expect([await statusOf(before), await statusOf(after)]).toEqual([200, 200]);
    await gateway.apply(links(current));
    expect([await statusOf(before), await statusOf(after)]).toEqual([404, 200]);
  });

  it('never show their secret', async () => {
    await using gateway = await startGateway({ config: links(old), secrets: [old, current] });
    await gateway.apply(links(current));
    const status = JSON.stringify(await gateway.status());
    expect(status).toContain('image_links');
    for (const secret of [old, current]) expect(status).not.toContain(secret);
    const refused = await gateway.refuse(links('too-short'));
    expect(JSON.stringify(refused.last_error)).toMatch(/at least 16 characters/);
    expect(JSON.stringify(refused.last_error)).not.toContain('too-short');
  });
});

describe('an upload that is hosted for one call', () => {
  it.each([
    ['plain links', {}],
    ['signed links', { image_links: { secret: 'the-secret-of-these-links' } }],
  ])('can be fetched while the call lasts, is kept by nobody, and is gone afterwards: with %s', async (_what, more) => {
    const fake = await startFakeLuma();
    const connection = { ...lumaSuite.connection(fake) };
    const entity = { id: 'luma', provider: 'luma', config: { connection, options: { edition: { enabled: true } } } };
    const server = { listen: '127.0.0.1:0', public_url: 'https://gateway.test' };
    await using gateway = await startGateway({ config: gatewayConfig([entity], { server, ...more }) });
    const picture = randomPng(2_000_000);
    const { promise: hold, resolve: release } = Promise.withResolvers<void>();
    fake.next({ hold });
    const body = formOf({
      model: 'luma/photon-1',
      prompt: 'a lighthouse',
      image: picture,
      response_format: 'b64_json',
    });
    const call = fetch(`${gateway.url}/v1/images/edits`, { method: 'POST', body });
    const links = (): readonly string[] => fake.requests.flatMap((request) => lumaSuite.linksOf?.(request) ?? []);
    await fake.until(() => links().length === 1);

    const link = new URL(links()[0] ?? '');
    expect(link.origin).toBe('https://gateway.test');
    const here = gateway.url + link.pathname + link.search;
    const answer = await fetch(here);
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'private, no-store']);
    expect(Buffer.from(await answer.arrayBuffer()).equals(picture)).toBe(true);
    expect(await kept(gateway)).toEqual([link.pathname.split('/').at(-1)]);

    release();
    expect((await call).status).toBe(200);
    await eventually(async () => (await kept(gateway)).length === 0);
    expect(await statusOf(here)).toBe(404);
    await fake.close();
  });
});

describe('what nobody asked to be kept', () => {
  it.each(['b64_json', 'b64_ephemeral', undefined])('is not: response_format %s', async (responseFormat) => {
    const scratch = await mkdtemp(join(tmpdir(), 'pinhole-scratch-'));
    const { gateway, fake, stop } = await startSetting({ env: { TMPDIR: scratch } });
    // Large enough for a spool file on the way in.
    fake.draw(randomPng(3_000_000));
    const format = responseFormat === undefined ? {} : { response_format: responseFormat };
    const made = await postJson(`${gateway.url}/v1/images/generations`, { prompt: 'a lighthouse', ...format });
    expect(made.status).toBe(200);
    expect((await jsonOf(made))['data']).toMatchObject([{ b64_json: expect.any(String) }]);
    const form = formOf({ prompt: 'a lighthouse', image: randomPng(3_000_000), ...format });
    const edited = await fetch(`${gateway.url}/v1/images/edits`, { method: 'POST', body: form });
    expect(edited.status).toBe(200);
    expect((await jsonOf(edited))['data']).toMatchObject([{ b64_json: expect.any(String) }]);

    expect(await kept(gateway)).toEqual([]);
    expect((await readdir(scratch, { recursive: true })).filter((name) => /\.(part|partial|png)$/.test(name))).toEqual(
      [],
    );
    await stop();
    await rm(scratch, { recursive: true });
  });

  it('is not, where links of the provider are turned into bytes', async () => {
    await using gateway = await startGateway({
      config: gatewayConfig([sandboxEntity('sandbox', { deliver: 'url' })]),
    });
    for (const format of ['b64_json', 'b64_ephemeral']) {
      const made = await postJson(`${gateway.url}/v1/images/generations`, { prompt: 'x', response_format: format });
      expect(made.status).toBe(200);
      await made.body?.cancel();
    }
    expect(await kept(gateway)).toEqual([]);
  });
});

/** A request whose path nobody tidies up. */
function raw(base: string, name: string): Promise<{ readonly status: number; readonly body: string }> {
  const { hostname, port, pathname } = new URL(base);
  return new Promise((resolve, reject) => {
    const sent = request({ hostname, port, path: pathname + name }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => (body += text));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
      response.on('error', reject);
    });
    sent.on('error', reject).end();
  });
}
