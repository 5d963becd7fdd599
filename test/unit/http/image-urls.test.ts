import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { GatewayError } from '../../../src/errors.ts';
import type { ImageUrlsFile } from '../../../src/generated/gateway.ts';
import { isPublicAddress } from '../../../src/http/address-guard.ts';
import { compileImageUrlPolicy } from '../../../src/http/image-url-policy.ts';
import type { FetchedPicture, WantedPicture } from '../../../src/pipeline/stage.ts';
import { png, randomPng } from '../../fixtures/pictures.ts';
import { picture, startPictureServers, usualImageUrls, type PictureServers, type Replaced } from './picture-network.ts';

let net: PictureServers;
const deferred: (() => Promise<void>)[] = [];

beforeAll(async () => {
  net = await startPictureServers();
});
afterAll(() => net.close());
beforeEach(() => net.reset());
afterEach(async () => {
  for (const work of deferred.splice(0)) await work();
});

async function fetchAll(
  urls: readonly (string | WantedPicture)[],
  replaced: Replaced = {},
  maxBytes = 2_000_000,
): Promise<readonly FetchedPicture[]> {
  const links = urls.map((url) => (typeof url === 'string' ? { url, param: 'image' } : url));
  const signal = new AbortController().signal;
  return net.fetcher(replaced).fetchAll(links, { signal, maxBytes, defer: (work) => void deferred.push(work) });
}

async function failureOf(work: Promise<unknown>): Promise<GatewayError> {
  const failure = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure instanceof GatewayError) return failure;
  throw new Error('not refused', { cause: failure });
}

describe('the lists of the file', () => {
  const judge = (url: string, lists: Partial<ImageUrlsFile>): string =>
    compileImageUrlPolicy({ ...usualImageUrls, ...lists }).judge(new URL(url));

  it.each<[string, Partial<ImageUrlsFile>, string]>([
    ['https://a.example/x', {}, 'guarded'],
    ['http://127.0.0.1/', {}, 'guarded'],
    ['https://a.example/x', { allow: ['a.example'] }, 'guarded'],
    ['https://A.EXAMPLE./x', { allow: ['a.example'] }, 'guarded'],
    ['https://b.example/x', { allow: ['a.example'] }, 'refused'],
    ['https://x.a.example/', { allow: ['a.example'] }, 'refused'],
    ['https://notexample.com/', { allow: ['*.example.com'] }, 'refused'],
    ['https://example.com/', { allow: ['*.example.com'] }, 'refused'],
    ['https://x.y.example.com/', { allow: ['*.example.com'] }, 'guarded'],
    ['https://xn--bcher-kva.example/', { allow: ['Bücher.example'] }, 'guarded'],
    ['https://anything.example/', { allow: ['*', 'http://10.0.0.1:81'] }, 'guarded'],
    ['http://10.0.0.1:81/x', { allow: ['*', 'http://10.0.0.1:81'] }, 'trusted'],
    ['http://0xa.1:81/x', { allow: ['http://10.0.0.1:81'] }, 'trusted'],
    ['http://10.0.0.1/x', { allow: ['http://10.0.0.1:81'] }, 'refused'],
    ['https://10.0.0.1:81/x', { allow: ['http://10.0.0.1:81'] }, 'refused'],
    ['https://files.internal.:8443/x', { allow: ['https://files.internal:8443'] }, 'trusted'],
    ['https://a.example/', { deny: ['a.example'] }, 'refused'],
    ['https://a.example./', { deny: ['a.example'] }, 'refused'],
    ['https://x.a.example/', { deny: ['a.example'] }, 'guarded'],
    ['https://x.a.example/', { deny: ['*.a.example'] }, 'refused'],
    ['https://a.example/', { allow: ['a.example'], deny: ['*'] }, 'refused'],
    ['http://10.0.0.1:81/x', { allow: ['http://10.0.0.1:81'], deny: ['http://10.0.0.1:81'] }, 'refused'],
    ['http://files.internal:81/x', { allow: ['http://files.internal:81'], deny: ['files.internal'] }, 'refused'],
    ['https://a.example/', { deny: ['http://a.example'] }, 'guarded'],
  ])('make of %s with %j: %s', (url, lists, expected) => {
    expect(judge(url, lists)).toBe(expected);
  });
});

describe('a link under the lists', () => {
  it('is followed without TLS, to a private address and any port, where the file trusts that origin', async () => {
    const allow = [net.internalOrigin];
    const fetched = await fetchAll([`${net.internalOrigin}/a.png`], {
      imageUrls: { allow },
      allowsAddress: isPublicAddress,
    });
    expect(fetched).toMatchObject([{ mediaType: 'image/png' }]);
    expect(net.resolved).toEqual([]);
  });

  it('needs to be public all the same where the file allows its host', async () => {
    const imageUrls = { allow: ['pictures.test'] };
    expect(await fetchAll([net.link()], { imageUrls })).toHaveLength(1);
    const refused = fetchAll([net.link()], { imageUrls, allowsAddress: isPublicAddress });
    expect(await failureOf(refused)).toMatchObject({ code: 'image_url_not_allowed' });
    expect(net.connections).toBe(1);
  });

  it('is judged before anybody is asked, also by `check` alone', async () => {
    const imageUrls = { allow: ['elsewhere.test'], deny: ['denied.elsewhere.test'] };
    for (const url of [net.link(), 'https://denied.elsewhere.test/', net.internalOrigin]) {
      expect(await failureOf(fetchAll([url], { imageUrls }))).toMatchObject({ code: 'image_url_not_allowed' });
      const check = async (): Promise<void> => net.fetcher({ imageUrls }).check({ url, param: 'mask' });
      expect(await failureOf(check())).toMatchObject({ code: 'image_url_not_allowed', param: 'mask', status: 400 });
    }
    expect([net.resolved, net.connections]).toEqual([[], 0]);
  });

  it('is judged again wherever it is redirected', async () => {
    net.answer = ({ url }, response) =>
      url === '/'
        ? response.writeHead(302, { location: net.link('/x', 'elsewhere.test') }).end()
        : response.end(picture);
    expect(await fetchAll([net.link()], { imageUrls: { allow: ['*.test'] } })).toHaveLength(1);
    for (const imageUrls of [{ allow: ['pictures.test'] }, { deny: ['elsewhere.test'] }]) {
      net.resolved = [];
      expect(await failureOf(fetchAll([net.link()], { imageUrls }))).toMatchObject({ code: 'image_url_not_allowed' });
      expect(net.resolved).toEqual(['pictures.test']);
    }
  });

  it('may lead into a trusted origin from outside, and is guarded again once it leaves', async () => {
    const imageUrls = { allow: ['*', net.internalOrigin] };
    const targets: Record<string, string> = { '/in': `${net.internalOrigin}/x.png`, '/out': 'https://10.0.0.1/' };
    net.answer = ({ url = '' }, response) => {
      const location = targets[url];
      if (location === undefined) response.end(picture);
      else response.writeHead(302, { location }).end();
    };
    expect(await fetchAll([net.link('/in')], { imageUrls })).toHaveLength(1);
    const leaving = fetchAll([`${net.internalOrigin}/out`], { imageUrls });
    expect(await failureOf(leaving)).toMatchObject({ code: 'image_url_not_allowed' });
  });

  it('is never followed where the file says that none is', async () => {
    const imageUrls = { enabled: false, allow: [net.internalOrigin] };
    for (const url of [net.link(), net.internalOrigin, 'https://10.0.0.1/', 'nonsense']) {
      expect(await failureOf(fetchAll([url], { imageUrls }))).toMatchObject({
        code: 'image_url_not_allowed',
        param: 'image',
        message: expect.stringContaining('not taken'),
      });
    }
    expect([net.resolved, net.connections]).toEqual([[], 0]);
  });

  it('takes no more redirects than the file says', async () => {
    net.answer = ({ url = '' }, response) =>
      url === '/3'
        ? response.end(picture)
        : response.writeHead(302, { location: `/${Number(url.slice(1)) + 1}` }).end();
    expect(await fetchAll([net.link('/0')])).toHaveLength(1);
    expect(await fetchAll([net.link('/3')], { imageUrls: { redirects: 0 } })).toHaveLength(1);
    for (const redirects of [0, 1, 2]) {
      const refused = fetchAll([net.link('/0')], { imageUrls: { redirects } });
      expect(await failureOf(refused)).toMatchObject({ code: 'invalid_image' });
    }
  });

  it('leads to no more bytes than the file says', async () => {
    const imageUrls = { max_size: picture.byteLength };
    expect(await fetchAll([net.link()], { imageUrls })).toHaveLength(1);
    net.answer = (_request, response) => response.end(Buffer.concat([picture, Buffer.alloc(1)]));
    expect(await failureOf(fetchAll([net.link()], { imageUrls }))).toMatchObject({ code: 'invalid_image' });
  });

  it.each([
    'https://pictures.test:PORT/\n',
    ' https://pictures.test:PORT/',
    'https://pictures.test:PORT/\u0000',
    'https://pictures.test:PORT/a b',
    'https://pictures.test:PORT\\@elsewhere.test/',
    'https://@pictures.test:PORT/',
    'https://:@pictures.test:PORT/',
    'https:pictures.test:PORT/',
    '//pictures.test:PORT/',
    'https://pictures:PORT/',
    'https://localhost:PORT/',
    'https://.:PORT/',
    'https://..:PORT/',
  ])('is refused when parsers may read it in two ways, or it is nobody’s public name: %j', async (url) => {
    const text = url.replace('PORT', String(net.publicPort));
    expect(await failureOf(fetchAll([text]))).toMatchObject({ code: 'image_url_not_allowed', param: 'image' });
    expect([net.resolved, net.connections]).toEqual([[], 0]);
  });
});

describe('a provider’s link', () => {
  it('is none of the lists’ business', async () => {
    const fetcher = net.fetcher({
      imageUrls: { enabled: false, allow: ['nowhere.test'], deny: ['*'], redirects: 0, max_size: 1 },
    });
    const options = { signal: new AbortController().signal, maxBytes: 1e6, trustedOrigin: undefined, defer() {} };
    const fetched = await fetcher.fetch({ kind: 'link', url: net.link(), trust: 'response' }, options);
    expect(fetched.mediaType).toBe('image/png');
  });
});

describe('several links', () => {
  it('are fetched in their order, a few at a time', async () => {
    let open = 0;
    let most = 0;
    const held: (() => void)[] = [];
    net.answer = ({ url = '' }, response) => {
      open += 1;
      most = Math.max(most, open);
      held.push(() => {
        open -= 1;
        response.end(png({ width: Number(url.slice(1)) }));
      });
      // Nobody is answered before as many have come as are let through.
      if (held.length === 4) for (const answer of held.splice(0)) answer();
    };
    const widths = Array.from({ length: 16 }, (_, index) => index + 1);
    const fetched = await fetchAll(widths.map((width) => net.link(`/${width}`)));
    expect(most).toBe(4);
    expect(
      fetched.map(({ payload }) =>
        payload.kind === 'bytes' ? Buffer.from(payload.bytes).readUInt32BE(16) : undefined,
      ),
    ).toEqual(widths);
  });

  it('have one deadline', async () => {
    net.answer = () => {};
    const startedAtMs = performance.now();
    const links = Array.from({ length: 12 }, (_, index) => net.link(`/${index}`));
    expect(await failureOf(fetchAll(links, { imageUrls: { timeout: 300 } }))).toMatchObject({ code: 'invalid_image' });
    expect(performance.now() - startedAtMs).toBeLessThan(900);
  });

  it('are given up as soon as one of them fails, whose parameter is told', async () => {
    const closed = Promise.withResolvers<void>();
    net.answer = ({ url, socket }, response) => {
      if (url === '/mask') response.writeHead(404).end();
      else socket.once('close', () => closed.resolve());
    };
    const failing = fetchAll([net.link('/a'), { url: net.link('/mask'), param: 'mask' }, net.link('/b')]);
    expect(await failureOf(failing)).toMatchObject({ code: 'invalid_image', param: 'mask' });
    await closed.promise;
  });

  it('may have as many bytes together as one upload', async () => {
    const large = randomPng(400_000);
    net.answer = (_request, response) => response.end(large);
    const links = [1, 2, 3].map((index) => net.link(`/${index}`));
    expect(await fetchAll(links, {}, 1_200_000)).toHaveLength(3);
    expect(await failureOf(fetchAll(links, {}, 1_199_999))).toMatchObject({
      code: 'payload_too_large',
      status: 413,
      param: 'image',
    });
  });

  it('are seen while they come, and end when what is seen will not do', async () => {
    const seen: number[] = [];
    const see = (chunk: Uint8Array): void => {
      seen.push(chunk.byteLength);
      throw new GatewayError('invalid_image', 'Not this one.', { param: 'mask' });
    };
    net.answer = (_request, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(picture));
      };
      response.on('drain', more);
      more();
    };
    const failure = await failureOf(fetchAll([{ url: net.link(), param: 'mask', see }]));
    expect(failure).toMatchObject({ code: 'invalid_image', message: 'Not this one.', param: 'mask' });
    expect(seen).toHaveLength(1);
  });

  it('have their names looked up two at a time, so that slow name servers leave threads for files', async () => {
    let open = 0;
    let most = 0;
    const resolve = async (): Promise<readonly string[]> => {
      open += 1;
      most = Math.max(most, open);
      await new Promise((done) => setImmediate(done));
      open -= 1;
      return ['127.0.0.1'];
    };
    await fetchAll(
      Array.from({ length: 8 }, (_, index) => net.link(`/${index}`)),
      { resolve },
    );
    expect(most).toBe(2);
  });

  it('are looked up for nobody who has stopped waiting', async () => {
    const asked: string[] = [];
    const never: (() => void)[] = [];
    const resolve = (name: string): Promise<readonly string[]> => {
      asked.push(name);
      return new Promise((done) => never.push(() => done(['127.0.0.1'])));
    };
    const links = ['a', 'b', 'c', 'd'].map((name) => net.link('/', `${name}.slow.test`));
    const fetcher = net.fetcher({ resolve, imageUrls: { timeout: 200 } });
    const options = { signal: new AbortController().signal, maxBytes: 1e6, defer() {} };
    const refused = fetcher.fetchAll(
      links.map((url) => ({ url, param: 'image' })),
      options,
    );
    expect(await failureOf(refused)).toMatchObject({ code: 'image_url_not_allowed' });
    for (const answer of never.splice(0)) answer();
    await new Promise((done) => setImmediate(done));
    expect(asked).toEqual(['a.slow.test', 'b.slow.test']);
  });
});

describe('a refusal', () => {
  it('takes as long for a name that does not exist as for one that is private, and for a redirect to either', async () => {
    net.hosts['inside.test'] = ['10.0.0.1'];
    net.answer = (_request, response) => response.writeHead(302, { location: net.link('/', 'inside.test') }).end();
    for (const url of [net.link('/', 'inside.test'), net.link('/', 'nobody.test'), net.link('/redirect')]) {
      const startedAtMs = performance.now();
      await failureOf(fetchAll([url], { refusalMs: 200 }));
      expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(199);
    }
  });

  it('does not wait for a caller that has left', async () => {
    const leaving = new AbortController();
    const resolve = (): Promise<readonly string[]> => {
      setImmediate(() => leaving.abort(new Error('gone')));
      return Promise.resolve(['10.0.0.1']);
    };
    const links = [{ url: net.link(), param: 'image' }];
    const fetching = net
      .fetcher({ resolve, refusalMs: 60_000 })
      .fetchAll(links, { signal: leaving.signal, maxBytes: 1e6, defer() {} });
    await expect(fetching).rejects.toThrow('gone');
  });
});

describe('vouching for a link that a provider will fetch', () => {
  const vouch = (url: string, replaced: Replaced = {}): Promise<string> =>
    net.fetcher(replaced).vouch({ url, param: 'image' }, new AbortController().signal);

  it('gives it in normal form, and asks for nothing but its addresses', async () => {
    const url = `https://PICTURES.test:${net.publicPort}/%7Ea/../b?c=d`;
    expect(await vouch(url)).toBe(net.link('/b?c=d'));
    expect([net.resolved, net.connections]).toEqual([['pictures.test'], 0]);
  });

  it.each([
    ['http://pictures.test/', {}],
    ['https://pictures.test/', {}],
    ['https://127.0.0.1:PORT/', {}],
    ['https://inside.test:PORT/', {}],
    ['https://nobody.test:PORT/', {}],
    ['https://user@pictures.test:PORT/', {}],
    ['https://pictures.test:PORT/', { deny: ['pictures.test'] }],
    ['https://pictures.test:PORT/', { allow: ['elsewhere.test'] }],
    ['https://pictures.test:PORT/', { enabled: false }],
  ])('refuses %s with %j', async (url, imageUrls) => {
    net.hosts['inside.test'] = ['10.0.0.1'];
    const refused = vouch(url.replace('PORT', String(net.publicPort)), { imageUrls });
    expect(await failureOf(refused)).toMatchObject({ code: 'image_url_not_allowed', param: 'image' });
    expect(net.connections).toBe(0);
  });

  it('does not do so for an origin that only the gateway reaches, however trusted', async () => {
    const refused = vouch(net.internalOrigin, { imageUrls: { allow: [net.internalOrigin] } });
    expect(await failureOf(refused)).toMatchObject({ code: 'image_url_not_allowed' });
  });
});
