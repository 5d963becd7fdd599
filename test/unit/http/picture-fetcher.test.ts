import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { createServer as createTcpServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import { isPublicAddress } from '../../../src/http/address-guard.ts';
import type { ImagePayload, LinkPayload } from '../../../src/images/payload.ts';
import type { FetchedPicture, FetchPictureOptions } from '../../../src/pipeline/stage.ts';
import { jpeg, randomPng } from '../../fixtures/pictures.ts';
import { picture, portOf, startPictureServers, type PictureServers, type Replaced } from './picture-network.ts';

const maxBytes = 2_000_000;
let net: PictureServers;

beforeAll(async () => {
  net = await startPictureServers();
});
afterAll(() => net.close());
beforeEach(() => net.reset());

const link = (path?: string, host?: string): string => net.link(path, host);

describe('a picture behind a public link', () => {
  it('is fetched, and its type told by its bytes', async () => {
    const photo = await jpeg();
    net.answer = (_request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(photo);
    const { payload, mediaType } = await fetchPicture(link());
    expect(mediaType).toBe('image/jpeg');
    expect((await bytesOf(payload)).equals(photo)).toBe(true);
  });

  it('is asked for with path and query as they are, and nothing that says who asks', async () => {
    const asked: unknown[] = [];
    net.answer = ({ url, method, headers }, response) => {
      asked.push({ url, method, headers });
      response.end(picture);
    };
    await fetchPicture(link('/a%20b?signature=x%2Fy&z#part'));
    expect(asked).toEqual([
      {
        url: '/a%20b?signature=x%2Fy&z',
        method: 'GET',
        headers: {
          host: `pictures.test:${net.publicPort}`,
          connection: 'keep-alive',
          accept: 'image/*',
          'accept-encoding': 'identity',
          'user-agent': 'pinhole',
        },
      },
    ]);
  });

  it('goes to a temporary file when it is large, which is given up afterwards', async () => {
    const large = randomPng(1_500_000);
    net.answer = (_request, response) => response.end(large);
    const deferred: (() => Promise<void>)[] = [];
    const { payload } = await fetchPicture(link(), { defer: (work) => void deferred.push(work) });
    expect(payload.kind).toBe('file');
    expect((await bytesOf(payload)).equals(large)).toBe(true);
    expect(deferred).toHaveLength(1);
    for (const work of deferred) await work();
    expect(await readdir(net.spoolDirectory)).toEqual([]);
  });

  it('may have as many bytes as are allowed, and not one more', async () => {
    net.answer = (_request, response) => response.end(picture);
    const exact = await fetchPicture(link(), { maxBytes: picture.byteLength });
    expect((await bytesOf(exact.payload)).equals(picture)).toBe(true);
    await expectCode(fetchPicture(link(), { maxBytes: picture.byteLength - 1 }), 'invalid_image');
  });
});

describe('a link that may not be fetched', () => {
  it.each([
    ['', 'not a URL'],
    ['pictures.test/x.png', 'no scheme'],
    ['//pictures.test/x.png', 'no scheme'],
    ['http://pictures.test/x.png', 'not https'],
    ['ftp://pictures.test/x.png', 'not https'],
    ['file:///etc/passwd', 'not https'],
    ['gopher://pictures.test/x', 'not https'],
    ['data:image/png;base64,AAAA', 'not https'],
    ['javascript:1', 'not https'],
    ['blob:https://pictures.test/x', 'not https'],
    ['unix:/var/run/docker.sock', 'not https'],
    ['https://user@pictures.test:PORT/', 'credentials'],
    ['https://user:password@pictures.test:PORT/', 'credentials'],
    ['https://:password@pictures.test:PORT/', 'credentials'],
    ['https://pictures.test/', 'another port'],
    ['https://pictures.test:22/', 'another port'],
    ['https://pictures.test:0/', 'another port'],
    ['https://127.0.0.1:PORT/', 'an address'],
    ['https://127.1:PORT/', 'an address'],
    ['https://127.0.0.1.:PORT/', 'an address'],
    ['https://2130706433:PORT/', 'an address'],
    ['https://0x7f000001:PORT/', 'an address'],
    ['https://0x7F.0.0x0.1:PORT/', 'an address'],
    ['https://0177.0.0.01:PORT/', 'an address'],
    ['https://017700000001:PORT/', 'an address'],
    ['https://0:PORT/', 'an address'],
    ['https://%31%32%37.0.0.1:PORT/', 'an address'],
    ['https://１２７.０.０.１:PORT/', 'an address'],
    ['https://①②⑦.⓪.⓪.①:PORT/', 'an address'],
    ['https://127。0。0。1:PORT/', 'an address'],
    ['https:127.0.0.1:PORT/', 'an address'],
    ['https:\\\\127.0.0.1:PORT\\', 'an address'],
    ['ht\ntps://127.0.0.1:PORT/', 'an address'],
    ['https://[::1]:PORT/', 'an address'],
    ['https://[::ffff:127.0.0.1]:PORT/', 'an address'],
    ['https://[::ffff:7f00:1]:PORT/', 'an address'],
    ['https://[64:ff9b::7f00:1]:PORT/', 'an address'],
    ['https://[fe80::1%25eth0]:PORT/', 'not a URL'],
    ['https://8.8.8.8:PORT/', 'an address, public as it is'],
  ])('is refused before its host is looked up: %s (%s)', async (url) => {
    await expectCode(fetchPicture(url.replace('PORT', String(net.publicPort))), 'image_url_not_allowed');
    expect({ resolved: net.resolved, connections: net.connections }).toEqual({ resolved: [], connections: 0 });
  });

  it.each([
    [['127.0.0.1']],
    [['10.0.0.1']],
    [['169.254.169.254']],
    [['0.0.0.0']],
    [['::1']],
    [['::ffff:127.0.0.1']],
    [['64:ff9b::a9fe:a9fe']],
    [['fd00:ec2::254']],
    [['fe80::1%lo']],
    [['93.184.216.34', '127.0.0.1']],
    [['2606:4700:4700::1111', '::1']],
    [[]],
  ])('is refused when its host has the addresses %j, without a connection', async (addresses) => {
    net.hosts['pictures.test'] = addresses;
    await expectCode(fetchPicture(link(), {}, { allowsAddress: isPublicAddress }), 'image_url_not_allowed');
    expect({ resolved: net.resolved, connections: net.connections }).toEqual({
      resolved: ['pictures.test'],
      connections: 0,
    });
  });

  it.each(['localhost', 'localhost.', 'metadata.google.internal', 'no-such-host.test', '127.0.0.1.nip.test'])(
    'is refused when its host has no address that is public: %s',
    async (host) => {
      net.hosts = {
        localhost: ['127.0.0.1', '::1'],
        'localhost.': ['127.0.0.1'],
        'metadata.google.internal': ['169.254.169.254'],
      };
      await expectCode(fetchPicture(link('/', host), {}, { allowsAddress: isPublicAddress }), 'image_url_not_allowed');
      expect(net.connections).toBe(0);
    },
  );

  it('is refused when it is longer than any link needs to be', async () => {
    await expectCode(fetchPicture(link(`/${'x'.repeat(10_000)}`)), 'image_url_not_allowed');
    expect(net.connections).toBe(0);
  });

  it('is refused when nobody answers for its name in time', async () => {
    const never = new Promise<readonly string[]>(() => {});
    await expectCode(fetchPicture(link(), {}, { resolve: () => never, ...hasty }), 'image_url_not_allowed');
  });

  it('sends no request when the connection has led to an address that was not judged', async () => {
    const requests: string[] = [];
    net.answer = ({ url }, response) => {
      requests.push(url ?? '');
      response.end(picture);
    };
    let judged = 0;
    const onlyOnce = { allowsAddress: () => (judged += 1) === 1 };
    await expectCode(fetchPicture(link(), {}, onlyOnce), 'image_url_not_allowed');
    expect({ judged, requests }).toEqual({ judged: 2, requests: [] });
  });

  it('looks a name up once, so that a second answer cannot lead elsewhere', async () => {
    const answers = [['127.0.0.1'], ['169.254.169.254']];
    const rebinding = { resolve: () => Promise.resolve(answers.shift() ?? []) };
    await fetchPicture(link(), {}, rebinding);
    expect(answers).toEqual([['169.254.169.254']]);
  });
});

describe('a redirect', () => {
  const redirects = (targets: Record<string, string>, status = 302): void => {
    net.answer = ({ url = '' }, response) => {
      const location = targets[url];
      if (location === undefined) response.end(picture);
      else response.writeHead(status, { location, 'set-cookie': 'a=b' }).end('x'.repeat(100_000));
    };
  };

  it.each([301, 302, 303, 307, 308])('with status %i is followed', async (status) => {
    redirects({ '/': '/next', '/next': link('/last', 'elsewhere.test') }, status);
    const { payload } = await fetchPicture(link());
    expect((await bytesOf(payload)).equals(picture)).toBe(true);
    expect(net.resolved).toEqual(['pictures.test', 'pictures.test', 'elsewhere.test']);
  });

  it('is followed three times and not a fourth', async () => {
    redirects({ '/0': '/1', '/1': '/2', '/2': '/3', '/3': '/4' });
    await expect(fetchPicture(link('/1'))).resolves.toMatchObject({ mediaType: 'image/png' });
    await expectCode(fetchPicture(link('/0')), 'invalid_image');
  });

  it('in a circle comes to an end', async () => {
    redirects({ '/': '/' });
    await expectCode(fetchPicture(link()), 'invalid_image');
    expect(net.connections).toBe(4);
  });

  it.each([
    'http://pictures.test/',
    'https://127.0.0.1:PORT/inside',
    'https://[::1]:PORT/inside',
    'https://2130706433:PORT/inside',
    '//0x7f.1:PORT/inside',
    'https://user:password@pictures.test:PORT/inside',
    'https://pictures.test:1/inside',
    'https://inside.test:PORT/',
    'file:///etc/passwd',
    'data:image/png;base64,AAAA',
    'https://',
  ])('to %s is refused like a link', async (target) => {
    net.hosts['inside.test'] = ['10.0.0.1'];
    redirects({ '/': target.replace('PORT', String(net.publicPort)) });
    await expectCode(fetchPicture(link()), 'image_url_not_allowed');
    expect(net.connections).toBe(1);
  });

  it('is refused when the same name has become private meanwhile', async () => {
    redirects({ '/': '/next' });
    const answers = [['127.0.0.1'], ['10.0.0.1']];
    await expectCode(
      fetchPicture(link(), {}, { resolve: () => Promise.resolve(answers.shift() ?? []) }),
      'image_url_not_allowed',
    );
    expect(net.connections).toBe(1);
  });

  it('that leads nowhere gives no picture', async () => {
    net.answer = (_request, response) => response.writeHead(302).end();
    await expectCode(fetchPicture(link()), 'invalid_image');
  });
});

describe('a link without a usable picture', () => {
  /** What the server does, and what the log says about it. */
  const failures: Record<string, readonly [RequestListener, RegExp]> = {
    'an error status': [(_request, response) => response.writeHead(404).end(picture), /^status 404$/],
    'a part of it': [(_request, response) => response.writeHead(206).end(picture), /^status 206$/],
    'no content': [(_request, response) => response.writeHead(204).end(), /^status 204$/],
    'an empty body': [(_request, response) => response.end(), /^not a picture$/],
    'a short text': [(_request, response) => response.end('no'), /^not a picture$/],
    'a page that says it is a picture': [
      (_request, response) => response.writeHead(200, { 'content-type': 'image/png' }).end('<html>'.repeat(99)),
      /^not a picture$/,
    ],
    'an endless page': [(_request, response) => endless(Buffer.from('<p>'.repeat(999)), response), /^not a picture$/],
    'an encoding that was not asked for': [
      (_request, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(picture),
      /^an encoding/,
    ],
    'an announced length over the bound': [
      (_request, response) => response.writeHead(200, { 'content-length': maxBytes + 1 }).write(picture),
      /^more than 2000000 bytes$/,
    ],
    'more bytes than are allowed': [(_request, response) => endless(picture, response), /^more than 2000000 bytes$/],
    'half of the announced bytes': [
      (_request, response) => {
        response.writeHead(200, { 'content-length': 2 * picture.byteLength });
        response.write(picture, () => response.destroy());
      },
      /./,
    ],
    'a connection that breaks': [(_request, response) => response.destroy(), /./],
    'headers without end': [
      ({ socket }) =>
        endless(Buffer.from(`x-header: ${'x'.repeat(999)}\r\n`), startingWith(socket, 'HTTP/1.1 200 OK\r\n')),
      /^Headers Overflow/,
    ],
  };

  /** Servers for which only the deadline helps. */
  const stalls: Record<string, RequestListener> = {
    'no answer': () => {},
    'a body that stops': (_request, response) => void response.write(picture),
    'interim answers without end': ({ socket }) => endless(Buffer.from('HTTP/1.1 102 Processing\r\n\r\n'), socket),
  };

  it.each(Object.keys(failures))('is an invalid image: %s', async (what) => {
    const [listener, cause] = failures[what] ?? [net.answer, /^$/];
    net.answer = listener;
    const lines: unknown[] = [];
    await expectCode(fetchPicture(link(), {}, {}, 'caller', lines), 'invalid_image');
    expect(lines).toMatchObject([{ reason: expect.stringMatching(cause) }]);
    expect(await readdir(net.spoolDirectory)).toEqual([]);
  });

  it.each(Object.keys(stalls))('is an invalid image: %s', async (what) => {
    net.answer = stalls[what] ?? net.answer;
    await expectCode(fetchPicture(link(), {}, hasty), 'invalid_image');
    expect(await readdir(net.spoolDirectory)).toEqual([]);
  });

  it('is an invalid image when the connection stays silent, and the connection is given up', async () => {
    await using silent = createTcpServer();
    const gone = once(silent, 'connection').then(([socket]: Socket[]) => socket && once(socket.resume(), 'close'));
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const port = portOf(silent);
    await expectCode(fetchPicture(`https://pictures.test:${port}/`, {}, { port, ...hasty }), 'invalid_image');
    await gone;
  });

  it('is an invalid image when the connection is refused', async () => {
    const closed = await unusedPort();
    await expectCode(fetchPicture(`https://pictures.test:${closed}/`, {}, { port: closed }), 'invalid_image');
  });

  it('is an invalid image when something else than TLS listens', async () => {
    const port = Number(new URL(net.internalOrigin).port);
    await expectCode(fetchPicture(`https://pictures.test:${port}/`, {}, { port }), 'invalid_image');
  });

  it('is an invalid image when the certificate is for another name', async () => {
    net.hosts['other.test'] = ['127.0.0.1'];
    await expectCode(fetchPicture(link('/', 'other.test')), 'invalid_image');
  });

  it('is an invalid image when nobody vouches for the certificate', async () => {
    await expectCode(fetchPicture(link(), {}, { certificateAuthority: undefined }), 'invalid_image');
  });

  it('says the same whatever the cause', async () => {
    const messages = new Set<string>();
    for (const listener of [...Object.values(failures).map(([first]) => first), ...Object.values(stalls)]) {
      net.answer = listener;
      messages.add((await failureOf(fetchPicture(link(), {}, hasty))).message);
    }
    const closed = await unusedPort();
    messages.add((await failureOf(fetchPicture(`https://pictures.test:${closed}/`, {}, { port: closed }))).message);
    expect(messages.size).toBe(1);
  });

  it('says the same for every link that is not allowed, and names no host', async () => {
    net.hosts['inside.test'] = ['10.0.0.1'];
    const links = [
      'http://pictures.test/',
      'https://10.0.0.1/',
      link('/', 'inside.test'),
      link('/', 'unknown.test'),
      'x',
    ];
    const messages = new Set<string>();
    for (const url of links) messages.add((await failureOf(fetchPicture(url))).message);
    expect(messages.size).toBe(1);
    expect([...messages][0]).not.toMatch(/10\.0|inside|unknown/);
  });
});

describe('a link of a provider’s', () => {
  const fromProvider = (url: string, options: Partial<FetchPictureOptions> = {}, network: Replaced = {}) =>
    fetchPicture(url, { trustedOrigin: net.internalOrigin, ...options }, network, 'response');

  it('may lead to the origin of the entity, wherever that is', async () => {
    const { mediaType } = await fromProvider(`${net.internalOrigin}/out/1.png`, {}, { allowsAddress: isPublicAddress });
    expect(mediaType).toBe('image/png');
    expect(net.resolved).toEqual([]);
  });

  it('may lead to any public host', async () => {
    expect((await fromProvider(link())).mediaType).toBe('image/png');
  });

  it('may lead nowhere else inside', async () => {
    const other = net.internalOrigin.replace('127.0.0.1', 'localhost');
    for (const url of [
      other,
      `${net.internalOrigin}0/`,
      net.internalOrigin.replace('//', '//user@'),
      link('/', 'inside.test'),
    ]) {
      await expectCode(fromProvider(url), 'upstream_invalid_response');
    }
    await expectCode(fromProvider(net.internalOrigin, { trustedOrigin: undefined }), 'upstream_invalid_response');
    expect(net.connections).toBe(0);
  });

  it('may be redirected within the origin of the entity', async () => {
    net.answer = ({ url }, response) =>
      url === '/' ? response.writeHead(307, { location: '/out.png' }).end() : response.end(picture);
    expect((await fromProvider(`${net.internalOrigin}/`)).mediaType).toBe('image/png');
  });

  it('may not be redirected into the origin of the entity from outside', async () => {
    net.answer = (_request, response) => response.writeHead(307, { location: `${net.internalOrigin}/admin` }).end();
    await expectCode(fromProvider(link()), 'upstream_invalid_response');
    expect(net.connections).toBe(1);
  });

  it('may not be redirected back after it has left the origin of the entity', async () => {
    const asked: string[] = [];
    net.answer = ({ url = '' }, response) => {
      asked.push(url);
      response.writeHead(307, { location: url === '/' ? link('/out') : `${net.internalOrigin}/admin` }).end();
    };
    await expectCode(fromProvider(`${net.internalOrigin}/`), 'upstream_invalid_response');
    expect(asked).toEqual(['/', '/out']);
  });

  it('is the provider’s fault when there is no picture, and a timeout when it is late', async () => {
    net.answer = (_request, response) => response.writeHead(404).end();
    await expectCode(fromProvider(link()), 'upstream_invalid_response');
    net.answer = () => {};
    await expectCode(fromProvider(link(), {}, hasty), 'upstream_timeout');
  });

  it('is the only one that may lead to the origin of an entity', async () => {
    await expectCode(fetchPicture(net.internalOrigin, { trustedOrigin: net.internalOrigin }), 'image_url_not_allowed');
    expect(net.connections).toBe(0);
  });
});

describe('a disk without room', () => {
  it('is the gateway’s fault, not that of the link', async () => {
    const large = randomPng(1_500_000);
    net.answer = (_request, response) => response.end(large);
    const fetcher = net.fetcher({}, { directory: join(net.spoolDirectory, '\0') });
    await expectCode(fetcher.fetchAll([{ url: link(), param: 'image' }], fetchOptions()), 'overloaded');
  });
});

describe('a caller that leaves', () => {
  it('ends the fetch with its own reason, and the connection with it', async () => {
    const leaving = new AbortController();
    const gone = new Promise<void>((resolve) => {
      net.answer = (request, response) => {
        request.socket.once('close', () => resolve());
        response.write(picture, () => leaving.abort(new Error('gone')));
      };
    });
    await expect(fetchPicture(link(), { signal: leaving.signal })).rejects.toThrow('gone');
    await gone;
    expect(await readdir(net.spoolDirectory)).toEqual([]);
  });

  it('ends the wait for a name', async () => {
    const leaving = new AbortController();
    const resolve = (): Promise<readonly string[]> => {
      leaving.abort(new Error('gone'));
      return new Promise(() => {});
    };
    await expect(fetchPicture(link(), { signal: leaving.signal }, { resolve })).rejects.toThrow('gone');
  });

  it('starts nothing when it has left already', async () => {
    const signal = AbortSignal.abort(new Error('gone'));
    await expect(fetchPicture(link(), { signal })).rejects.toThrow('gone');
    expect(net.connections).toBe(0);
  });
});

describe('the log', () => {
  it('has the cause, and of the link only its origin', async () => {
    const lines: unknown[] = [];
    net.answer = (_request, response) => response.writeHead(403).end();
    await failureOf(fetchPicture(link('/a?signature=secret'), {}, {}, 'caller', lines));
    expect(lines).toMatchObject([{ origin: new URL(link()).origin, trust: 'caller', reason: 'status 403' }]);
    expect(JSON.stringify(lines)).not.toContain('secret');
  });
});

/** Deadlines for tests in which nothing comes. */
const hasty: Replaced = { responseDeadlineMs: 300, imageUrls: { timeout: 300 } };

async function fetchPicture(
  url: string,
  options: Partial<FetchPictureOptions> = {},
  replaced: Replaced = {},
  trust: LinkPayload['trust'] = 'caller',
  lines: unknown[] = [],
): Promise<FetchedPicture> {
  const fetcher = net.fetcher(replaced, { lines });
  if (trust === 'response') return fetcher.fetch({ kind: 'link', url, trust }, fetchOptions(options));
  const [fetched] = await fetcher.fetchAll([{ url, param: 'image' }], fetchOptions(options));
  if (fetched === undefined) throw new Error('nothing was fetched');
  return fetched;
}

const fetchOptions = (options: Partial<FetchPictureOptions> = {}): FetchPictureOptions => ({
  signal: new AbortController().signal,
  maxBytes,
  trustedOrigin: undefined,
  defer() {},
  ...options,
});

async function failureOf(fetching: Promise<unknown>): Promise<GatewayError> {
  const failure = await fetching.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (failure instanceof GatewayError) return failure;
  throw new Error('not refused', { cause: failure });
}

async function expectCode(fetching: Promise<unknown>, code: string): Promise<void> {
  expect((await failureOf(fetching)).code).toBe(code);
}

async function bytesOf(payload: ImagePayload): Promise<Buffer> {
  if (payload.kind === 'bytes') return Buffer.from(payload.bytes);
  if (payload.kind === 'file') return Buffer.from(await collect(payload.file.read()));
  throw new Error(`not fetched: ${payload.kind}`);
}

/** A port where nothing listens. */
async function unusedPort(): Promise<number> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = portOf(server);
  server.close();
  await once(server, 'close');
  return port;
}

/** Writes for as long as somebody reads. */
function endless(bytes: Buffer, target: Writable): void {
  const more = (): void => {
    while (!target.destroyed && target.write(bytes));
  };
  target.on('drain', more);
  more();
}

function startingWith(target: Writable, text: string): Writable {
  target.write(text);
  return target;
}
