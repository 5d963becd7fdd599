import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer as createHttpServer, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { collect } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import { isPublicAddress } from '../../../src/http/address-guard.ts';
import { createPictureFetcher, type PictureNetwork } from '../../../src/http/picture-fetcher.ts';
import type { ImagePayload, LinkPayload } from '../../../src/images/payload.ts';
import type { Logger } from '../../../src/log.ts';
import type { FetchedPicture, FetchPictureOptions, PictureFetcher } from '../../../src/pipeline/stage.ts';
import { jpeg, png, randomPng } from '../../fixtures/pictures.ts';

/** For `pictures.test` and `elsewhere.test`, valid from 2020 to 2119, signed by itself. Protects nothing but these tests. */
const certificate = `-----BEGIN CERTIFICATE-----
MIIBfDCCASOgAwIBAgIBATAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1waWN0dXJl
cy50ZXN0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1waWN0dXJlcy50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcACr
wqP2uRL5FHyONDRPvYpKZho+YqbL7SRyh8+piStTBuH9txnPL7+bS91FfJ/9EvvL
MKe12pom9UYdngjJ2aNcMFowKAYDVR0RBCEwH4INcGljdHVyZXMudGVzdIIOZWxz
ZXdoZXJlLnRlc3QwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUfT5imPlydse0
Gu7MrQvxZKktKUYwCgYIKoZIzj0EAwIDRwAwRAIgM3jn4cC/3GMcZA/fXkNczFdO
+0tQrNrRfZCVceUBofgCIHnwwR5hvKbhwfZ2uzMFBtTK1MTkx3/upa2c8J4WCKXq
-----END CERTIFICATE-----`;
const privateKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgC7WTlnLwD9TA8YEZ
yAXepQkcel3YCmRhMQc60xKL5QShRANCAARwAKvCo/a5EvkUfI40NE+9ikpmGj5i
psvtJHKHz6mJK1MG4f23Gc8vv5tL3UV8n/0S+8swp7Xamib1Rh2eCMnZ
-----END PRIVATE KEY-----`;

const picture = png({ width: 30, height: 30 });
const maxBytes = 2_000_000;

/** The public internet of these tests: an https server, reached by the names in `hosts`. */
let publicPort: number;
/** A provider on our own network: plain http. */
let internalOrigin: string;
let spoolDirectory: string;
const servers: Server[] = [];

/** Reset for each test. */
let answer: RequestListener;
let hosts: Record<string, readonly string[]>;
let connections: number;
let resolved: string[];

beforeAll(async () => {
  spoolDirectory = await mkdtemp(join(tmpdir(), 'pinhole-fetch-'));
  const onRequest: RequestListener = (request, response) => answer(request, response);
  publicPort = await listen(createHttpsServer({ key: privateKey, cert: certificate }, onRequest));
  internalOrigin = `http://127.0.0.1:${await listen(createHttpServer(onRequest))}`;
});
afterAll(async () => {
  for (const server of servers) server.close();
  await rm(spoolDirectory, { recursive: true, force: true });
});
beforeEach(() => {
  answer = (_request, response) => response.end(picture);
  hosts = { 'pictures.test': ['127.0.0.1'], 'elsewhere.test': ['127.0.0.1'] };
  connections = 0;
  resolved = [];
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  server.on('connection', () => (connections += 1));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return portOf(server);
}

function portOf(server: Server): number {
  // A listening TCP server has no other address
  return (server.address() as AddressInfo).port;
}

const link = (path = '/', host = 'pictures.test'): string => `https://${host}:${publicPort}${path}`;

describe('a picture behind a public link', () => {
  it('is fetched, and its type told by its bytes', async () => {
    const photo = await jpeg();
    answer = (_request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end(photo);
    const { payload, mediaType } = await fetchPicture(link());
    expect(mediaType).toBe('image/jpeg');
    expect((await bytesOf(payload)).equals(photo)).toBe(true);
  });

  it('is asked for with path and query as they are, and nothing that says who asks', async () => {
    const asked: unknown[] = [];
    answer = ({ url, method, headers }, response) => {
      asked.push({ url, method, headers });
      response.end(picture);
    };
    await fetchPicture(link('/a%20b?signature=x%2Fy&z#part'));
    expect(asked).toEqual([
      {
        url: '/a%20b?signature=x%2Fy&z',
        method: 'GET',
        headers: {
          host: `pictures.test:${publicPort}`,
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
    answer = (_request, response) => response.end(large);
    const deferred: (() => Promise<void>)[] = [];
    const { payload } = await fetchPicture(link(), { defer: (work) => void deferred.push(work) });
    expect(payload.kind).toBe('file');
    expect((await bytesOf(payload)).equals(large)).toBe(true);
    expect(deferred).toHaveLength(1);
    for (const work of deferred) await work();
    expect(await readdir(spoolDirectory)).toEqual([]);
  });

  it('may have as many bytes as are allowed, and not one more', async () => {
    answer = (_request, response) => response.end(picture);
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
    await expectCode(fetchPicture(url.replace('PORT', String(publicPort))), 'image_url_not_allowed');
    expect({ resolved, connections }).toEqual({ resolved: [], connections: 0 });
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
    hosts['pictures.test'] = addresses;
    await expectCode(fetchPicture(link(), {}, { allowsAddress: isPublicAddress }), 'image_url_not_allowed');
    expect({ resolved, connections }).toEqual({ resolved: ['pictures.test'], connections: 0 });
  });

  it.each(['localhost', 'localhost.', 'metadata.google.internal', 'no-such-host.test', '127.0.0.1.nip.test'])(
    'is refused when its host has no address that is public: %s',
    async (host) => {
      hosts = {
        localhost: ['127.0.0.1', '::1'],
        'localhost.': ['127.0.0.1'],
        'metadata.google.internal': ['169.254.169.254'],
      };
      await expectCode(fetchPicture(link('/', host), {}, { allowsAddress: isPublicAddress }), 'image_url_not_allowed');
      expect(connections).toBe(0);
    },
  );

  it('is refused when it is longer than any link needs to be', async () => {
    await expectCode(fetchPicture(link(`/${'x'.repeat(10_000)}`)), 'image_url_not_allowed');
    expect(connections).toBe(0);
  });

  it('is refused when nobody answers for its name in time', async () => {
    const never = new Promise<readonly string[]>(() => {});
    await expectCode(fetchPicture(link(), {}, { resolve: () => never, ...hasty }), 'image_url_not_allowed');
  });

  it('sends no request when the connection has led to an address that was not judged', async () => {
    const requests: string[] = [];
    answer = ({ url }, response) => {
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
    answer = ({ url = '' }, response) => {
      const location = targets[url];
      if (location === undefined) response.end(picture);
      else response.writeHead(status, { location, 'set-cookie': 'a=b' }).end('x'.repeat(100_000));
    };
  };

  it.each([301, 302, 303, 307, 308])('with status %i is followed', async (status) => {
    redirects({ '/': '/next', '/next': link('/last', 'elsewhere.test') }, status);
    const { payload } = await fetchPicture(link());
    expect((await bytesOf(payload)).equals(picture)).toBe(true);
    expect(resolved).toEqual(['pictures.test', 'pictures.test', 'elsewhere.test']);
  });

  it('is followed three times and not a fourth', async () => {
    redirects({ '/0': '/1', '/1': '/2', '/2': '/3', '/3': '/4' });
    await expect(fetchPicture(link('/1'))).resolves.toMatchObject({ mediaType: 'image/png' });
    await expectCode(fetchPicture(link('/0')), 'invalid_image');
  });

  it('in a circle comes to an end', async () => {
    redirects({ '/': '/' });
    await expectCode(fetchPicture(link()), 'invalid_image');
    expect(connections).toBe(4);
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
    hosts['inside.test'] = ['10.0.0.1'];
    redirects({ '/': target.replace('PORT', String(publicPort)) });
    await expectCode(fetchPicture(link()), 'image_url_not_allowed');
    expect(connections).toBe(1);
  });

  it('is refused when the same name has become private meanwhile', async () => {
    redirects({ '/': '/next' });
    const answers = [['127.0.0.1'], ['10.0.0.1']];
    await expectCode(
      fetchPicture(link(), {}, { resolve: () => Promise.resolve(answers.shift() ?? []) }),
      'image_url_not_allowed',
    );
    expect(connections).toBe(1);
  });

  it('that leads nowhere gives no picture', async () => {
    answer = (_request, response) => response.writeHead(302).end();
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
    const [listener, cause] = failures[what] ?? [answer, /^$/];
    answer = listener;
    const lines: unknown[] = [];
    await expectCode(fetchPicture(link(), {}, {}, 'caller', lines), 'invalid_image');
    expect(lines).toMatchObject([{ cause: { message: expect.stringMatching(cause) } }]);
    expect(await readdir(spoolDirectory)).toEqual([]);
  });

  it.each(Object.keys(stalls))('is an invalid image: %s', async (what) => {
    answer = stalls[what] ?? answer;
    await expectCode(fetchPicture(link(), {}, hasty), 'invalid_image');
    expect(await readdir(spoolDirectory)).toEqual([]);
  });

  it('is an invalid image when the connection stays silent, and the connection is given up', async () => {
    const silent = createTcpServer();
    const gone = once(silent, 'connection').then(([socket]: Socket[]) => socket && once(socket.resume(), 'close'));
    const port = await listen(silent);
    await expectCode(fetchPicture(`https://pictures.test:${port}/`, {}, { port, ...hasty }), 'invalid_image');
    await gone;
  });

  it('is an invalid image when the connection is refused', async () => {
    const closed = await unusedPort();
    await expectCode(fetchPicture(`https://pictures.test:${closed}/`, {}, { port: closed }), 'invalid_image');
  });

  it('is an invalid image when something else than TLS listens', async () => {
    const port = Number(new URL(internalOrigin).port);
    await expectCode(fetchPicture(`https://pictures.test:${port}/`, {}, { port }), 'invalid_image');
  });

  it('is an invalid image when the certificate is for another name', async () => {
    hosts['other.test'] = ['127.0.0.1'];
    await expectCode(fetchPicture(link('/', 'other.test')), 'invalid_image');
  });

  it('is an invalid image when nobody vouches for the certificate', async () => {
    await expectCode(fetchPicture(link(), {}, { certificateAuthority: undefined }), 'invalid_image');
  });

  it('says the same whatever the cause', async () => {
    const messages = new Set<string>();
    for (const listener of [...Object.values(failures).map(([first]) => first), ...Object.values(stalls)]) {
      answer = listener;
      messages.add((await failureOf(fetchPicture(link(), {}, hasty))).message);
    }
    const closed = await unusedPort();
    messages.add((await failureOf(fetchPicture(`https://pictures.test:${closed}/`, {}, { port: closed }))).message);
    expect(messages.size).toBe(1);
  });

  it('says the same for every link that is not allowed, and names no host', async () => {
    hosts['inside.test'] = ['10.0.0.1'];
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
  const fromProvider = (
    url: string,
    options: Partial<FetchPictureOptions> = {},
    network: Partial<PictureNetwork> = {},
  ) => fetchPicture(url, { trustedOrigin: internalOrigin, ...options }, network, 'response');

  it('may lead to the origin of the entity, wherever that is', async () => {
    const { mediaType } = await fromProvider(`${internalOrigin}/out/1.png`, {}, { allowsAddress: isPublicAddress });
    expect(mediaType).toBe('image/png');
    expect(resolved).toEqual([]);
  });

  it('may lead to any public host', async () => {
    expect((await fromProvider(link())).mediaType).toBe('image/png');
  });

  it('may lead nowhere else inside', async () => {
    const other = internalOrigin.replace('127.0.0.1', 'localhost');
    for (const url of [
      other,
      `${internalOrigin}0/`,
      internalOrigin.replace('//', '//user@'),
      link('/', 'inside.test'),
    ]) {
      await expectCode(fromProvider(url), 'upstream_invalid_response');
    }
    await expectCode(fromProvider(internalOrigin, { trustedOrigin: undefined }), 'upstream_invalid_response');
    expect(connections).toBe(0);
  });

  it('may be redirected within the origin of the entity', async () => {
    answer = ({ url }, response) =>
      url === '/' ? response.writeHead(307, { location: '/out.png' }).end() : response.end(picture);
    expect((await fromProvider(`${internalOrigin}/`)).mediaType).toBe('image/png');
  });

  it('may not be redirected into the origin of the entity from outside', async () => {
    answer = (_request, response) => response.writeHead(307, { location: `${internalOrigin}/admin` }).end();
    await expectCode(fromProvider(link()), 'upstream_invalid_response');
    expect(connections).toBe(1);
  });

  it('may not be redirected back after it has left the origin of the entity', async () => {
    const asked: string[] = [];
    answer = ({ url = '' }, response) => {
      asked.push(url);
      response.writeHead(307, { location: url === '/' ? link('/out') : `${internalOrigin}/admin` }).end();
    };
    await expectCode(fromProvider(`${internalOrigin}/`), 'upstream_invalid_response');
    expect(asked).toEqual(['/', '/out']);
  });

  it('is the provider’s fault when there is no picture, and a timeout when it is late', async () => {
    answer = (_request, response) => response.writeHead(404).end();
    await expectCode(fromProvider(link()), 'upstream_invalid_response');
    answer = () => {};
    await expectCode(fromProvider(link(), {}, hasty), 'upstream_timeout');
  });

  it('is the only one that may lead to the origin of an entity', async () => {
    await expectCode(fetchPicture(internalOrigin, { trustedOrigin: internalOrigin }), 'image_url_not_allowed');
    expect(connections).toBe(0);
  });
});

describe('a disk without room', () => {
  it('is the gateway’s fault, not that of the link', async () => {
    const large = randomPng(1_500_000);
    answer = (_request, response) => response.end(large);
    const fetcher = fetcherFor({}, [], join(spoolDirectory, '\0'));
    await expectCode(fetcher.fetch(linkTo(link()), fetchOptions()), 'overloaded');
  });
});

describe('a caller that leaves', () => {
  it('ends the fetch with its own reason, and the connection with it', async () => {
    const leaving = new AbortController();
    const gone = new Promise<void>((resolve) => {
      answer = (request, response) => {
        request.socket.once('close', () => resolve());
        response.write(picture, () => leaving.abort(new Error('gone')));
      };
    });
    await expect(fetchPicture(link(), { signal: leaving.signal })).rejects.toThrow('gone');
    await gone;
    expect(await readdir(spoolDirectory)).toEqual([]);
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
    expect(connections).toBe(0);
  });
});

describe('the log', () => {
  it('has the cause, and of the link only its origin', async () => {
    const lines: unknown[] = [];
    answer = (_request, response) => response.writeHead(403).end();
    await failureOf(fetchPicture(link('/a?signature=secret'), {}, {}, 'caller', lines));
    expect(lines).toMatchObject([
      { origin: new URL(link()).origin, trust: 'caller', cause: { message: 'status 403' } },
    ]);
    expect(JSON.stringify(lines)).not.toContain('secret');
  });
});

/** Deadlines for tests in which nothing comes. */
const hasty: Partial<PictureNetwork> = { deadlineMs: { caller: 300, response: 300 } };

function fetchPicture(
  url: string,
  options: Partial<FetchPictureOptions> = {},
  network: Partial<PictureNetwork> = {},
  trust: LinkPayload['trust'] = 'caller',
  lines: unknown[] = [],
): Promise<FetchedPicture> {
  return fetcherFor(network, lines, spoolDirectory).fetch(linkTo(url, trust), fetchOptions(options));
}

function fetcherFor(network: Partial<PictureNetwork>, lines: unknown[], directory: string): PictureFetcher {
  return createPictureFetcher({
    spool: { directory, memoryBytes: 100_000 },
    log: recordingLog(lines),
    network: {
      resolve: async (hostname) => {
        resolved.push(hostname);
        const addresses = hosts[hostname];
        if (addresses === undefined) throw new Error('ENOTFOUND');
        return addresses;
      },
      allowsAddress: (address) => address === '127.0.0.1',
      port: publicPort,
      certificateAuthority: certificate,
      ...network,
    },
  });
}

const linkTo = (url: string, trust: LinkPayload['trust'] = 'caller'): LinkPayload => ({ kind: 'link', url, trust });

const fetchOptions = (options: Partial<FetchPictureOptions> = {}): FetchPictureOptions => ({
  signal: new AbortController().signal,
  maxBytes,
  trustedOrigin: undefined,
  defer() {},
  ...options,
});

function recordingLog(lines: unknown[]): Logger {
  const write = (_message: string, fields?: unknown): void => void lines.push(fields);
  return { debug: write, info: write, warn: write, error: write, child: () => recordingLog(lines) };
}

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
