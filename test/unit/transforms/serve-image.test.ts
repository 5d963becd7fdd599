import type { IncomingHttpHeaders } from 'node:http';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Blob, BlobStore } from '../../../src/blobs/blob-store.ts';
import { fileBlobStore } from '../../../src/blobs/file.ts';
import { collect } from '../../../src/body/byte-source.ts';
import { GatewayError } from '../../../src/errors.ts';
import type { Exchange, ExchangeEnd } from '../../../src/pipeline/exchange.ts';
import type { Catalogue, LinkSigner } from '../../../src/pipeline/settings.ts';
import { Halt, type StageEnv } from '../../../src/pipeline/stage.ts';
import { serveImage } from '../../../src/transforms/serve-image.ts';
import { createLinkSigner } from '../../../src/runtime/link-signer.ts';
import { Secret } from '../../../src/secret.ts';
import { advancingClock, blobSettings, contentOf } from '../../fixtures/blobs.ts';
import { png } from '../../fixtures/pictures.ts';

const picture = png({ width: 40, height: 40 });
const clock = advancingClock();
/** An SVG opened by itself must not run scripts. */
const policy = "default-src 'none'; style-src 'unsafe-inline'; sandbox";
let folder: string;
let files: BlobStore;
let name: string;

/** Pictures that were opened and not yet closed. */
let open = 0;
/** Names that were looked for. */
let looks = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'pinhole-serve-'));
  files = await fileBlobStore.open(folder, blobSettings({ clock }));
  name = await files.put(contentOf(picture), 'image/png');
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('serve-image', () => {
  it('answers with the picture, by its type, to be kept for ever', async () => {
    const { status, headers, body, length } = await ask();
    expect(status).toBe(200);
    expect(body.equals(picture)).toBe(true);
    expect(length).toBe(picture.byteLength);
    expect(headers).toEqual({
      'content-type': 'image/png',
      etag: `"${name}"`,
      'cache-control': 'public, max-age=31536000, immutable',
      'content-disposition': `inline; filename="${name}"`,
      'accept-ranges': 'bytes',
      'x-content-type-options': 'nosniff',
      'content-security-policy': policy,
    });
  });

  it('answers HEAD with the headers of GET and the length, without a byte of the picture', async () => {
    const [get, head] = [await ask(), await ask({ method: 'HEAD' })];
    expect(head).toEqual({ ...get, body: Buffer.of() });
  });

  it('pays no heed to a range at HEAD', async () => {
    const head = await ask({ method: 'HEAD', headers: { range: 'bytes=0-3' } });
    expect([head.status, head.length]).toEqual([200, picture.byteLength]);
  });

  it.each([
    '',
    '.',
    '..%2f',
    '../../../etc/passwd',
    '....//....//etc/passwd',
    '..\\..\\windows\\win.ini',
    '/etc/passwd',
    'file:///etc/passwd',
    'C:\\boot.ini',
    '~root',
    '\0.png',
    `${'A'.repeat(32)}.png\0`,
    `${'A'.repeat(32)}.png\r\nset-cookie: a=b`,
    `AA/${'A'.repeat(32)}.png`,
    `expiring/0000/0/0000000-${'A'.repeat(32)}.png`,
    'incoming',
    'A'.repeat(32),
    'A'.repeat(100_000),
    `${'A'.repeat(32)}.png`,
    `${'A'.repeat(32)}.html`,
    `zzzzzzz-${'A'.repeat(32)}.png`,
    '\u{ff0e}\u{ff0e}\u{ff0f}etc',
    '\ud800.png',
  ])('does not find %j', async (unknown) => {
    await expect(ask({ name: unknown })).rejects.toMatchObject({ code: 'file_not_found', status: 404 });
  });

  it('does not find a picture in a route without a name', async () => {
    await expect(ask({ name: undefined })).rejects.toMatchObject({ code: 'file_not_found' });
  });

  it('shows a stored SVG only as a picture', async () => {
    const svg = await files.put(contentOf(Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>')), 'image/svg+xml');
    const { headers } = await ask({ name: svg });
    expect(headers).toMatchObject({
      'content-type': 'image/svg+xml',
      'content-security-policy': policy,
      'x-content-type-options': 'nosniff',
    });
  });

  describe('a picture that expires', () => {
    const putFor = (milliseconds: number, oneCall = false) =>
      files.put(contentOf(picture), 'image/png', { expiresAtMs: clock.now() + milliseconds, oneCall });

    it('may be kept until then, and no longer', async () => {
      const expiring = await putFor(600_000);
      const { headers } = await ask({ name: expiring });
      const [, seconds] = /^public, max-age=(\d+)$/.exec(headers['cache-control'] ?? '') ?? [];
      expect(Number(seconds)).toBeGreaterThanOrEqual(599);
      expect(Number(seconds)).toBeLessThanOrEqual(600);
      const again = await ask({ name: expiring, headers: { 'if-none-match': `"${expiring}"` } });
      expect([again.status, again.headers['cache-control']]).toEqual([304, headers['cache-control']]);
    });

    it('may be kept for a year at most', async () => {
      const { headers } = await ask({ name: await putFor(3_000 * 86_400_000) });
      expect(headers['cache-control']).toBe('public, max-age=31536000');
    });

    it('is gone from then on, at every kind of request', async () => {
      const expiring = await putFor(1_000);
      clock.advance(2_000);
      for (const question of [{}, { method: 'HEAD' }, { headers: { 'if-none-match': '*' } }]) {
        await expect(ask({ name: expiring, ...question })).rejects.toMatchObject({ code: 'file_not_found' });
      }
    });

    it('may be kept by nobody when it is an upload for one call', async () => {
      const { headers } = await ask({ name: await putFor(600_000, true) });
      expect(headers['cache-control']).toBe('private, no-store');
    });
  });

  describe('behind signed links', () => {
    const [current, earlier, foreign] = ['the-current-secret', 'the-earlier-secret', 'another-secret-text'].map(
      (text) => new Secret(text),
    ) as [Secret, Secret, Secret];
    const lifetimeMs = 3_600_000;
    const signer = createLinkSigner({ secrets: [current, earlier], lifetimeMs });
    const signed = (given: { readonly by?: Secret; readonly forName?: string; readonly untilMs?: number } = {}) => {
      const { by = current, forName = name, untilMs = clock.now() + lifetimeMs } = given;
      return new URLSearchParams(createLinkSigner({ secrets: [by], lifetimeMs }).sign(forName, untilMs));
    };

    it.each([
      ['the secret', () => current],
      ['an earlier secret', () => earlier],
    ])('gives a picture to whoever has a link signed with %s', async (_what, secret) => {
      const query = signed({ by: secret() });
      for (const method of ['GET', 'HEAD']) expect((await ask({ signer, query, method })).status).toBe(200);
    });

    it('lets it be kept for as long as the link works', async () => {
      const { headers } = await ask({ signer, query: signed({ untilMs: clock.now() + 90_000 }) });
      expect(headers['cache-control']).toMatch(/^public, max-age=(89|90|91)$/);
    });

    it('lets it be kept no longer than the picture is there', async () => {
      const short = await files.put(contentOf(picture), 'image/png', { expiresAtMs: clock.now() + 10_000 });
      const { headers } = await ask({ signer, name: short, query: signed({ forName: short }) });
      expect(headers['cache-control']).toMatch(/^public, max-age=(9|10)$/);
    });

    it.each([
      ['no signature', () => new URLSearchParams()],
      ['a time alone', () => new URLSearchParams({ expires: String(Math.ceil(clock.now() / 1000) + 60) })],
      [
        'a signature that is cut',
        () => changed((query) => query.set('signature', (query.get('signature') ?? '').slice(1))),
      ],
      ['an empty signature', () => changed((query) => query.set('signature', ''))],
      ['another signature', () => changed((query) => query.set('signature', 'A'.repeat(43)))],
      ['another time', () => changed((query) => query.set('expires', String(Number(query.get('expires')) + 1)))],
      ['a time that is none', () => changed((query) => query.set('expires', '9'.repeat(30)))],
      ['a link that is late', () => signed({ untilMs: clock.now() - 1_000 })],
      ['a link to another picture', () => signed({ forName: `${'A'.repeat(32)}.png` })],
      ['a link signed with a secret of somebody else', () => signed({ by: foreign })],
    ])('tells nothing to whoever comes with %s', async (_what, query) => {
      const asked = query();
      for (const method of ['GET', 'HEAD']) {
        const refused = ask({ signer, query: asked, method });
        await expect(refused).rejects.toMatchObject({
          code: 'file_not_found',
          status: 404,
          message: 'There is no image of this name.',
        });
      }
    });

    it('does not even look whether there is such a picture', async () => {
      const before = looks;
      await expect(ask({ signer, query: new URLSearchParams() })).rejects.toMatchObject({ code: 'file_not_found' });
      expect(looks).toBe(before);
    });

    function changed(change: (query: URLSearchParams) => void): URLSearchParams {
      const query = signed();
      change(query);
      return query;
    }
  });

  describe('to a caller that has the picture already', () => {
    it.each([
      ['the tag itself', (etag: string) => etag],
      ['a weak tag', (etag: string) => `W/${etag}`],
      ['one of several tags', (etag: string) => `"other", W/"another" ,${etag}`],
      ['any tag', () => '*'],
    ])('sends nothing: %s', async (_what, tags) => {
      const answer = await ask({ headers: { 'if-none-match': tags(`"${name}"`), range: 'bytes=0-3' } });
      expect(answer).toMatchObject({ status: 304, length: picture.byteLength, body: Buffer.of() });
      expect(answer.headers).toEqual({ etag: `"${name}"`, 'cache-control': 'public, max-age=31536000, immutable' });
    });

    it.each(['"other"', 'nonsense', '', '"*"', '"'])('sends the picture at the tag %j', async (tag) => {
      expect((await ask({ headers: { 'if-none-match': tag } })).status).toBe(200);
    });
  });

  describe('at a range', () => {
    const last = picture.byteLength - 1;

    it.each([
      ['bytes=0-3', 0, 3],
      ['bytes=4-4', 4, 4],
      ['bytes=10-', 10, last],
      [`bytes=${last}-`, last, last],
      ['bytes=-5', last - 4, last],
      ['bytes=-999999', 0, last],
      ['bytes=5-999999999999999999999999', 5, last],
      ['Bytes= 2-3 ', 2, 3],
    ])('%s sends that part', async (range, start, end) => {
      const answer = await ask({ headers: { range } });
      expect(answer.status).toBe(206);
      expect(answer.headers['content-range']).toBe(`bytes ${start}-${end}/${picture.byteLength}`);
      expect(answer.length).toBe(end - start + 1);
      expect(answer.body.equals(picture.subarray(start, end + 1))).toBe(true);
    });

    it.each([`bytes=${last + 1}-`, `bytes=${last + 1}-${last + 9}`, 'bytes=-0', 'bytes=99999999999999999999-'])(
      '%s says how long the picture is',
      async (range) => {
        await expect(ask({ headers: { range } })).rejects.toMatchObject({
          status: 416,
          param: 'range',
          headers: { 'content-range': `bytes */${picture.byteLength}` },
        });
      },
    );

    it.each(['bytes=0-1,3-4', 'bytes=-', 'bytes=5-2', 'bytes', 'bytes=a-b', 'pixels=0-3', 'bytes=0--1', ''])(
      '%j sends the whole',
      async (range) => {
        const answer = await ask({ headers: { range } });
        expect([answer.status, answer.length]).toEqual([200, picture.byteLength]);
      },
    );

    it('sends the part if it is of the picture that the caller has', async () => {
      const part = await ask({ headers: { range: 'bytes=0-3', 'if-range': `"${name}"` } });
      expect(part.status).toBe(206);
    });

    it.each(['"other"', 'W/"other"', 'Wed, 21 Oct 2026 07:28:00 GMT'])(
      'sends the whole if the caller has something else: %s',
      async (ifRange) => {
        expect((await ask({ headers: { range: 'bytes=0-3', 'if-range': ifRange } })).status).toBe(200);
      },
    );

    it('sends what was asked for or the whole, whatever the header', async () => {
      const bound = fc.oneof(fc.constant(''), fc.nat(2 * picture.byteLength).map(String), fc.string());
      const header = fc.oneof(
        fc.string(),
        fc.tuple(bound, bound).map(([start, end]) => `bytes=${start}-${end}`),
      );
      await fc.assert(
        fc.asyncProperty(header, async (range) => {
          const answer = await ask({ headers: { range } }).catch((error: unknown) => {
            if (error instanceof GatewayError && error.status === 416) return undefined;
            throw error;
          });
          expect(answer?.body.byteLength).toBe(answer?.length);
          if (answer?.status === 200) expect(answer.length).toBe(picture.byteLength);
        }),
      );
    });
  });
});

interface Question {
  readonly name?: string | undefined;
  readonly method?: string;
  readonly headers?: IncomingHttpHeaders;
  readonly query?: URLSearchParams;
  readonly signer?: LinkSigner;
}

/** Runs the stage for one exchange and reads the answer to its end. Everything that was opened must be closed by then. */
async function ask(question: Question = {}) {
  const { method = 'GET', headers = {}, query = new URLSearchParams(), signer } = question;
  const asked = 'name' in question ? question.name : name;
  const deferred: ((end: ExchangeEnd) => void | Promise<void>)[] = [];
  const exchange = only<Exchange>({
    request: {
      method,
      headers,
      path: '/',
      query,
      parameters: asked === undefined ? {} : { name: asked },
      remoteAddress: '127.0.0.1',
    },
    signal: new AbortController().signal,
    defer: (work) => void deferred.push(work),
  });
  try {
    const catalogue = only<Catalogue>({ hosting: { publicUrl: undefined, path: '/files/:name', signer } });
    const env = only<StageEnv>({ blobs: countingStore(), clock, catalogue });
    const outcome = await serveImage.create({}, env)(exchange);
    if (outcome instanceof Halt || outcome.response.kind !== 'body') throw new Error('not a plain answer');
    const { response } = outcome;
    if (response.body instanceof Uint8Array) throw new Error('a picture in memory');
    const body = Buffer.from(await collect(response.body));
    return { status: response.status, headers: response.headers, length: response.body.length, body };
  } finally {
    for (const work of deferred) await work({ kind: 'answered', status: 200, error: undefined });
    expect(open).toBe(0);
  }
}

function countingStore(): BlobStore {
  return {
    ...files,
    async open(file): Promise<Blob | undefined> {
      looks += 1;
      const blob = await files.open(file);
      if (blob === undefined) return undefined;
      open += 1;
      return {
        ...blob,
        close() {
          open -= 1;
          return blob.close();
        },
      };
    },
  };
}

/** An object of which only a part may be used: reading anything else fails. */
function only<Whole extends object>(part: Partial<Whole>): Whole {
  const nothing = new Proxy(
    {},
    {
      get(_target, key) {
        throw new Error(`the stage must not need ${String(key)}`);
      },
    },
  );
  return Object.assign(Object.create(nothing), part);
}
